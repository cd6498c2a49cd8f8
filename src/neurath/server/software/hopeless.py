"""Builds of update files that failed: why, how often, and when the next try is due, for every server on the same database. It
knows that such a build fails again, unless the engine is another, and which failures say nothing about a build; it must never
hold one up for good."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Collection, Iterable
from concurrent.futures.process import BrokenProcessPool

from sqlalchemy import ColumnElement, Connection, Row, delete, select

from neurath import __version__
from neurath.server.store.sql import upsert
from neurath.server.store.tables import failed_build as failures

#: Whose failures count.
ENGINE = __version__
#: The first wait, seconds; each is twice the one before, up to a day.
RETRY, LONGEST = 60.0, 86400.0
#: ... or up to this for a bank in mid-rewrite: somebody waits for it.
TORN = 600.0

Key = tuple[str, str, str, int]
_NAMES = ("old", "new", "layout", "profile")
#: What a machine may be short of: memory, room, open files, processes.
_SHORT = {errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN}


def want(fault: BaseException, ends: Collection[int | None] = ()) -> str:
    """What this server lacked for a build, which says nothing about the build; "": it was the build. `ends`: how builders
    ended; where no memory is left the kernel kills."""
    if isinstance(fault, BrokenProcessPool):
        return "a builder was killed: is there memory left on this server?" if -signal.SIGKILL in ends else ""
    if isinstance(fault, MemoryError):
        return "not enough memory on this server"
    return str(fault) if isinstance(fault, OSError) and fault.errno in _SHORT else ""


def wait(tries: int, old: str = "") -> float:
    """Seconds from the last of so many failures to the next try."""
    most = TORN if old.startswith("left-") else LONGEST
    return min(RETRY * float(1 << min(max(tries - 1, 0), 20)), most)


def note(db: Connection, key: Key, reason: str, now: float) -> int:
    """One more failure; how many there have been."""
    row = _of(db, key)
    tries = row.tries + 1 if row is not None else 1
    values = {"engine": ENGINE, "tries": tries, "at": now, "reason": reason}
    query = upsert(failures).values(**dict(zip(_NAMES, key, strict=True)), **values)
    db.execute(query.on_conflict_do_update(index_elements=_NAMES, set_=values))
    return tries


def stands(db: Connection, key: Key, now: float) -> str:
    """Why it is not built now; "": nothing is known against it, or the next try is due."""
    row = _of(db, key)
    if row is None or now - row.at >= wait(row.tries, key[0]):
        return ""
    return told(row)


def told(row: Row[tuple[object, ...]]) -> str:
    """A failure as people are told of it."""
    if row.tries < 2:
        return str(row.reason)
    again = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(row.at + wait(row.tries, row.old)))
    return f"{row.reason}, {row.tries} times; again at {again}"


def over(db: Connection, key: Key) -> None:
    """It was built."""
    db.execute(delete(failures).where(*_is(key)))


def known(db: Connection, images: Iterable[str]) -> dict[tuple[str, str], str]:
    """(old, new) -> why, of the files to these images that this engine failed to build."""
    query = select(failures).where(failures.c.new.in_(list(images)), failures.c.engine == ENGINE).order_by(failures.c.at)
    return {(row.old, row.new): told(row) for row in db.execute(query)}


def _of(db: Connection, key: Key) -> Row[tuple[object, ...]] | None:
    return db.execute(select(failures).where(*_is(key), failures.c.engine == ENGINE)).one_or_none()


def _is(key: Key) -> list[ColumnElement[bool]]:
    return [failures.c[name] == value for name, value in zip(_NAMES, key, strict=True)]
