"""What may go from the disk, and how long it lasts: update files that nobody was given for long, and what no row names. It
knows who may still need a file; it must never take away an image, nor what a terminal without a verdict may ask for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, or_, select, update

from neurath.errors import RefusedError
from neurath.server.fleet.actions import ACTIVE
from neurath.server.store import Store
from neurath.server.store.files import CLAIM
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import component as components
from neurath.server.store.tables import delta as deltas
from neurath.server.store.tables import file as files
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import veiled

DAY = 86400.0
#: Days after which an update file that nobody was given goes; it is built again where it is wanted.
KEEP_DAYS = 90
#: How fast the disk fills is judged by so many days.
WINDOW = 30
#: What no row names may just be on its way in: it is left this long, seconds.
ON_ITS_WAY = DAY
#: Digests of this many digits are what terminals say of files they have begun.
_SHORT = 32


@dataclass(frozen=True, slots=True)
class Usage:
    """A data directory's disk: bytes in all and free; `files` and `database` are ours. `daily`: bytes of files that came each
    day of late, and stayed; `days`: until the disk is full at that pace, None where it does not fill."""

    size: int
    free: int
    files: int
    count: int
    database: int
    daily: float
    days: float | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: update files by digest, and bytes of them and of what no row named."""

    files: list[str]
    strays: int
    bytes: int


def usage(store: Store, now: float) -> Usage:
    disk = shutil.disk_usage(store.directory)
    with store.read() as db:
        there = select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(files.c.added.is_not(None))
        count, size = db.execute(there).one()
        first = db.scalar(select(func.min(files.c.added)))
        came = int(db.execute(there.where(files.c.added > now - WINDOW * DAY)).one()[1])  # PostgreSQL's sums are decimals
    days = min(float(WINDOW), max(1.0, (now - first) / DAY)) if first is not None else float(WINDOW)
    daily = came / days
    own = sum(path.stat().st_size for path in store.directory.glob("neurath.db*"))
    left = None if daily == 0 else max(0.0, disk.free - store.files.reserve) / daily
    return Usage(disk.total, disk.free, int(size), int(count), own, daily, left)


def prune(store: Store, older: float, now: float, *, dry: bool = False) -> Pruned:
    """Takes away update files that nobody was given for `older` days, and what an interrupted write left. RefusedError while a
    backup is made."""
    if not store.claim(CLAIM):
        raise RefusedError("nothing can be pruned now", "a backup is made, or another is pruning", id="NRT-367")
    try:
        if dry:
            with store.read() as db:
                found = _old(db, now - older * DAY)
        else:
            with store.write() as db:
                found = _old(db, now - older * DAY)
                for name in found:
                    db.execute(delete(deltas).where(deltas.c.file == name))
                    db.execute(delete(veiled).where(veiled.c.file == name))
                    db.execute(update(files).where(files.c.digest == name).values(added=None))
        for name in () if dry else found:
            store.files.remove(name)
        strays = list(_strays(store, now))
        count = sum(size for _, size in strays) + sum(found.values())
        for path, _ in () if dry else strays:
            path.unlink(missing_ok=True)
    finally:
        store.release(CLAIM)
    return Pruned(sorted(found), len(strays), count)


def _old(db: Connection, before: float) -> dict[str, int]:
    """Update files, and their sizes, that were neither built nor given to anybody since, and that nobody may ask for."""
    used = func.max(func.coalesce(actions.c.closed, actions.c.fetched, actions.c.created))
    lately = select(actions.c.file).group_by(actions.c.file).having(used >= before)
    needed = select(actions.c.file).where(or_(actions.c.held, actions.c.state.in_(ACTIVE)))
    query = (
        select(deltas.c.file, files.c.size).join(files, files.c.digest == deltas.c.file).group_by(deltas.c.file, files.c.size)
    )
    query = query.having(func.max(deltas.c.built) < before)
    query = query.where(deltas.c.file.not_in(lately), deltas.c.file.not_in(needed))
    query = query.where(deltas.c.file.not_in(select(releases.c.image)))
    hiding = select(veiled.c.file, files.c.size).join(files, files.c.digest == veiled.c.file).where(veiled.c.made < before)
    hiding = hiding.where(veiled.c.file.not_in(lately), veiled.c.file.not_in(needed))
    begun = _begun(db)
    every = [*db.execute(query).all(), *db.execute(hiding).all()]
    return {name: size for name, size in every if name[:_SHORT] not in begun}


def _begun(db: Connection) -> set[str]:
    """What terminals said last that they are in the middle of, with or without an action of ours."""
    query = select(components.c.open_file, components.c.staged).where(
        or_(components.c.open_file != "", components.c.staged != "")
    )
    return {name[:_SHORT] for row in db.execute(query) for name in row if name}


def _strays(store: Store, now: float) -> Iterator[tuple[Path, int]]:
    """Files of the directory that no row names."""
    for path in store.files.root.rglob("*"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        if not path.is_file() or stat.st_mtime > now - ON_ITS_WAY:
            continue
        with store.read() as db:
            known = db.scalar(select(files.c.digest).where(files.c.digest == path.name, files.c.added.is_not(None)))
        if known is None:
            yield path, stat.st_size
