"""Many terminals at once, from a list of any length, a CSV for one: read whole before anything is written, then written a
batch at a time so that nobody waits. It knows rows; it must never hold the whole list in memory, nor keep a token."""

from __future__ import annotations

import csv
import json
import secrets
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select

from neurath.errors import DataError, NotFound, RefusedError
from neurath.server.fleet.access import DEFAULT_TENANT, Enrolment, checked, hashed, is_token, new_row
from neurath.server.software.models import list_models
from neurath.server.store import Store
from neurath.server.store.marks import NOBODY
from neurath.server.store.tables import terminal as terminals

#: Rows of one write: some hundredths of a second.
BATCH = 1000
_MOST_LINE = 4096
#: Tenant, id, hash of the token ("": one is to be made), the other columns as JSON.
_Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One row done: its token, seen this once; "" where the terminal was known already."""

    tenant: str
    id: str
    token: str


def rows(lines: Iterable[str], tenant: str = DEFAULT_TENANT) -> Iterator[Enrolment]:
    """The terminals of a CSV with columns id, model and, if wanted, tenant, token, link, place; DataError with the line."""
    reader = csv.DictReader(_short(lines))
    try:
        if not {"id", "model"} <= set(reader.fieldnames or ()):
            why = "the first line names the columns id,model[,token,link,tenant,place]"
            raise DataError("this is not a list of terminals", why)
        for number, row in enumerate(reader, start=2):
            yield _row(number, row, tenant)
    except csv.Error as fault:
        raise DataError("this is not a list of terminals", str(fault), "save it as CSV, UTF-8") from None


def _short(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if len(line) > _MOST_LINE:
            raise DataError(f"line {number} of the list is malformed", f"longer than {_MOST_LINE} characters")
        yield line.removeprefix("\ufeff") if number == 1 else line


def _row(number: int, row: dict[str, str], tenant: str) -> Enrolment:
    link = (row.get("link") or "0").strip()
    if not (link.isascii() and link.isdigit() and len(link) <= 10) or None in row:
        raise DataError(f"line {number} of the list is malformed", "link is bytes a second; no more fields than columns")
    found = Enrolment(
        id=(row["id"] or "").strip(),
        model=(row["model"] or "").strip() or None,
        tenant=(row.get("tenant") or tenant).strip(),
        token=(row.get("token") or "").strip(),
        link=int(link),
        place=(row.get("place") or "").strip(),
    )
    try:
        checked(found)
    except DataError as fault:
        raise DataError(f"line {number} of the list is malformed", fault.what, fault.hint) from None
    if found.token and not is_token(found.token):
        raise DataError(f"line {number}: this is not a token", "32 to 128 letters and digits", id="NRT-262")
    return found


class Import:
    """A list that was read and found sound, in a file of its own beside the store; `count` rows, of which `known` are
    registered already. A context: the file goes with it."""

    def __init__(self, store: Store, listed: Iterable[Enrolment]) -> None:
        self.store = store
        self._folder = tempfile.TemporaryDirectory(prefix="import-", dir=store.directory)
        self._list = sqlite3.connect(Path(self._folder.name) / "list.db", isolation_level=None, check_same_thread=False)
        try:
            self.count = self._read(listed)
            self.known = sum(1 for batch in self._batches() for one in self._registered(batch) if one)
        except BaseException:
            self.close()
            raise

    def _read(self, listed: Iterable[Enrolment]) -> int:
        db, number = self._list, 0
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE row (tenant, id, token, more, UNIQUE (tenant, id))")
        db.execute("BEGIN")
        models: set[str] = set()
        with self.store.read() as store:
            models = set(list_models(store))
        try:
            for number, one in enumerate(listed, start=1):
                if one.model is not None and one.model not in models:
                    why = f"number {number} of the list, {one.id}, names it"
                    raise NotFound(f"no model {one.model!r}", why, "neurath model add FILE.toml", id="NRT-132")
                kept = hashed(one.token) if one.token else ""
                # A token of the list is kept as its hash here too; one that is to be made is made when it is written.
                values = (one.tenant, one.id, kept, json.dumps(new_row(one)))
                db.execute("INSERT INTO row VALUES (?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise DataError(f"{one.id} stands in the list twice", f"as number {number} too; an id is one terminal's") from None
        db.execute("COMMIT")
        return number

    def _batches(self) -> Iterator[list[_Row]]:
        last = 0
        while True:
            query = "SELECT rowid, tenant, id, token, more FROM row WHERE rowid > ? ORDER BY rowid LIMIT ?"
            found = self._list.execute(query, (last, BATCH)).fetchall()
            if not found:
                return
            last = found[-1][0]
            yield [(str(r[1]), str(r[2]), str(r[3]), str(r[4])) for r in found]

    def _registered(self, batch: list[_Row]) -> list[bool]:
        """Which of these are registered."""
        named: dict[str, list[str]] = {}
        for one in batch:
            named.setdefault(one[0], []).append(one[1])
        seen: set[tuple[str, str]] = set()
        with self.store.read() as db:
            # By the index, which begins with the tenant: without it each batch reads all rows.
            for tenant, ids in named.items():
                for start in range(0, len(ids), 500):
                    there = terminals.c.tenant == tenant, terminals.c.id.in_(ids[start : start + 500])
                    seen |= {(tenant, one) for one in db.scalars(select(terminals.c.id).where(*there))}
        return [(one[0], one[1]) in seen for one in batch]

    def check(self, *, skip_known: bool) -> None:
        """RefusedError where some are registered, unless those are to be left as they are."""
        if self.known and not skip_known:
            self.close()
            why = f"{self.known:,} of {self.count:,} are registered already"
            raise RefusedError("this list names terminals that are known", why, "--skip-known leaves those as they are")

    def write(self, now: float, *, skip_known: bool = False) -> Iterator[list[Enrolled]]:
        """Registers them, a batch at a time, and gives each batch when it is on the disk. RefusedError before anything is
        written where some are registered, unless those are to be left as they are."""
        self.check(skip_known=skip_known)
        for batch in self._batches():
            done, fresh = [], []
            for (tenant, name, kept, more), known in zip(batch, self._registered(batch), strict=True):
                token = "" if kept or known else secrets.token_hex(24)
                done.append(Enrolled(tenant, name, token))
                if not known:
                    fresh.append(json.loads(more) | {"token": kept or hashed(token), "registered": now})
            if fresh:
                with self.store.write(NOBODY) as db:
                    db.execute(insert(terminals), fresh)
            yield done

    def close(self) -> None:
        self._list.close()
        self._folder.cleanup()

    def __enter__(self) -> Import:
        return self

    def __exit__(self, *_fault: object) -> None:
        self.close()
