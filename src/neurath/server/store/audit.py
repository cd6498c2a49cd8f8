"""The audit log: one entry for each change a person, a script or the server itself made, each bound to the one before by its
hash. It knows how the chain is made and what breaks it; it must never change or delete an entry. Spec: docs/spec/audit.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass

from sqlalchemy import Connection, insert, select, update

from neurath.clock import agreed
from neurath.errors import DataError
from neurath.server.store.acts import Act
from neurath.server.store.tables import audit as entries
from neurath.server.store.tables import audit_head as head

#: What the first entry is bound to.
BEGINNING = 64 * "0"
#: Entries are read so many at a time.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """`at` in milliseconds since 1970; `detail` as JSON; `before` the hash of the entry before, `hash` its own."""

    n: int
    at: int
    who: str
    role: str
    way: str
    address: str
    what: str
    subject: str
    detail: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries there are, and the hash of the last one: kept elsewhere it shows that none of them went."""

    n: int
    hash: str

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Found:
    """What an examination found: `broken` says where and why the chain does not hold, "" where it does."""

    head: Head
    broken: str = ""


def append(db: Connection, act: Act) -> None:
    """One more entry, in the transaction of the change itself. The head's row is the lock between writers."""
    if not db.execute(update(head).where(head.c.id == 1).values(n=head.c.n + 1)).rowcount:
        last = page(db, limit=1)
        found = Head(last[0].n, last[0].hash) if last else Head(0, BEGINNING)
        db.execute(insert(head).values(id=1, n=found.n + 1, hash=found.hash))
    row = db.execute(select(head.c.n, head.c.hash).where(head.c.id == 1)).one()
    values = (row.n, int(agreed() * 1000), act.who, act.role, act.way, act.address, act.what, act.subject[:500], act.told())
    made = Entry(*values, before=row.hash, hash=hashed((*values, row.hash)))
    db.execute(insert(entries).values({name: getattr(made, name) for name in Entry.__slots__}))
    db.execute(update(head).where(head.c.id == 1).values(hash=made.hash))


def hashed(values: Iterable[object]) -> str:
    """The hash over everything in an entry but itself: SHA-256 of the values as a JSON array in UTF-8, without spaces."""
    return hashlib.sha256(json.dumps(list(values), ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def page(db: Connection, before: int | None = None, limit: int = 100) -> list[Entry]:
    """The newest entries, or those before one, newest first; a page takes as long wherever it lies."""
    query = select(entries).order_by(entries.c.n.desc()).limit(limit)
    if before is not None:
        query = query.where(entries.c.n < before)
    return [_entry(row) for row in db.execute(query)]


def everything(db: Connection, after: int = 0) -> Iterator[Entry]:
    """All entries after one, oldest first, a batch at a time."""
    while True:
        found = db.execute(select(entries).where(entries.c.n > after).order_by(entries.c.n).limit(_BATCH)).all()
        yield from (_entry(row) for row in found)
        if len(found) < _BATCH:
            return
        after = found[-1].n


def the_head(db: Connection) -> Head:
    row = db.execute(select(head.c.n, head.c.hash).where(head.c.id == 1)).one_or_none()
    return Head(0, BEGINNING) if row is None else Head(row.n, row.hash)


def parsed(text: str) -> Head:
    """A head as it was printed."""
    n, _, given = text.partition(":")
    if not (n.isdecimal() and len(n) < 16 and len(given) == 64 and set(given) <= set("0123456789abcdef")):
        raise DataError("this is no head of an audit log", f"{text[:80]!r}", "as `neurath audit head` prints it", id="NRT-226")
    return Head(int(n), given)


def verify(db: Connection, known: Iterable[Head] = ()) -> Found:
    """Examines the whole chain: every hash, every binding, every number, the end; and that it contains the heads that were
    kept elsewhere, which is what shows an end that was cut off together with its count."""
    wanted = {one.n: one.hash for one in known}
    n, before = 0, BEGINNING
    for one in everything(db):
        if one.n != n + 1:
            return Found(Head(n, before), f"entry {n + 1} is missing; the next one is {one.n}")
        if one.before != before:
            return Found(Head(n, before), f"entry {one.n} is not bound to the one before")
        if hashed(astuple(one)[:-1]) != one.hash:
            return Found(Head(n, before), f"entry {one.n} was changed")
        n, before = one.n, one.hash
        if wanted.pop(n, before) != before:
            return Found(Head(n, before), f"entry {n} is not the one that was there before")
    if the_head(db) != Head(n, before):
        return Found(Head(n, before), f"entries after {n} are missing: there were {the_head(db).n}")
    wanted.pop(0, None)
    if wanted:
        return Found(Head(n, before), f"entries after {n} are missing: there was one numbered {max(wanted)}")
    return Found(Head(n, before))


def line(one: Entry) -> str:
    """An entry as a line of an export."""
    return json.dumps({name: getattr(one, name) for name in Entry.__slots__}, ensure_ascii=False, separators=(",", ":"))


def heads_of(lines: Iterable[str]) -> Iterator[Head]:
    """The heads that an earlier export holds, each line examined by itself."""
    for number, text in enumerate(lines, 1):
        try:
            given = json.loads(text)
            values = [given[name] for name in Entry.__slots__]
        except (ValueError, KeyError, TypeError):
            raise DataError(
                "this is no export of an audit log", f"line {number}", "neurath audit export", id="NRT-226"
            ) from None
        if hashed(values[:-1]) != values[-1]:
            raise DataError("this export was changed", f"line {number}", "another copy", id="NRT-226")
        yield Head(values[0], values[-1])


def _entry(row: object) -> Entry:
    return Entry(**{name: getattr(row, name) for name in Entry.__slots__})
