"""Backups: everything a server needs to go on elsewhere, in one directory, taken while it runs and put back whole or not at
all. It knows what belongs to a server; it must never write over anything that is there. Spec: docs/spec/backup.md."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from neurath.disk import write_whole
from neurath.errors import DataError, LinkError, NeurathError, NotFound, RefusedError
from neurath.server.delivery import tickets
from neurath.server.fleet import stop
from neurath.server.software import repository
from neurath.server.stock import RESTORATIONS, TOKEN_FILE, station_token
from neurath.server.store import Files, Store, audit, database, rows, shared
from neurath.server.store.acts import Act
from neurath.server.store.files import CLAIM
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import file as files

INDEX, ROWS = "backup.json", "rows.jsonl"
#: Version of the directory's form.
FORM = 1
#: What is of no use later: who is signed in just now, or tries to be.
PASSING = frozenset({"session", "failure", "oidc_try"})
#: Of the data directory itself: secrets, and what stations reported.
KEPT = (tickets.KEY_FILE, tickets.PUBLIC_FILE, TOKEN_FILE, repository.KEY_FILE, repository.PUBLIC_FILE)
_RECORDS = rf"{RESTORATIONS}/[0-9a-f-]{{1,80}}\.json|{repository.FOLDER}/[0-9A-Za-z.-]{{1,120}}\.json"
_MINE = re.compile(rf"{'|'.join(map(re.escape, KEPT))}|{_RECORDS}")
#: Numbers of actions that a server may have given out since: clients remember them, so none of them is given out again.
GAP = 1_000_000
_WHY = "restored from a backup: see what was recalled since, then `neurath rollout go-on`"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds. `rows` is the SHA-256 of its rows; `kept`: what of the data directory itself is in it, each with
    its SHA-256; `lost`: files that the server itself had no whole copy of."""

    made: float
    migration: str
    rows: str
    tables: dict[str, int]
    files: int
    bytes: int
    kept: dict[str, str]
    lost: list[str]


def create(store: Store, target: Path, now: float) -> Summary:
    """Takes a backup into a directory that is new, or holds what an interrupted one left. RefusedError where it holds a
    backup, or anything else."""
    _fit(target)
    shared.same(store, tickets.KEY_FILE, tickets.load_key)
    shared.same(store, TOKEN_FILE, station_token)
    shared.same(store, repository.KEY_FILE, repository.load_key)
    if not store.claim(CLAIM):
        raise RefusedError("a backup cannot begin now", "files are being pruned, or another backup is made", id="NRT-367")
    try:
        kept = {name: _keep(target, name, data) for name, data in _own(store.directory)}
        digest, tables, named = _write_rows(store, target)
        count, size, lost = _copy_files(store.files, Files(target / "files"), named)
    finally:
        store.release(CLAIM)
    made = Summary(now, database.HEAD, digest, tables, count, size, kept, lost)
    document = {"form": FORM} | dataclasses.asdict(made)
    write_whole(target / INDEX, json.dumps(document, indent=1).encode())  # last: with it the backup is one
    return made


def read(source: Path) -> Summary:
    """What a directory says it holds; NotFound, DataError."""
    try:
        found = json.loads((source / INDEX).read_bytes())
        if found.pop("form") != FORM:
            raise DataError("this backup has a form not known here", "it is newer than this program", "upgrade", id="NRT-237")
        made = Summary(**found)
        if not all(_MINE.fullmatch(name) for name in made.kept):
            raise ValueError
        return made
    except FileNotFoundError:
        raise NotFound(f"no backup in {source}", f"{INDEX} is missing: it was never finished", id="NRT-160") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(source / INDEX, "it is no index") from None


def verify(source: Path, found: Summary) -> None:
    """Compares every byte with its digest; DataError names the first that differs."""
    _check_rows(source, found)
    for name, digest in found.kept.items():
        path = source / "kept" / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise _damaged(path, "it differs from its digest")
    inside, lost = Files(source / "files"), set(found.lost)
    for name in _files_named(source):
        if name not in lost and not inside.sound(name):
            raise _damaged(inside.path(name), "it is missing or differs from its digest")


@dataclass(frozen=True, slots=True)
class Where:
    """Where a backup is put: a data directory, and the URLs of a database and a store, "" for what lies in it."""

    directory: Path
    database: str = ""
    store: str = ""


def restore(source: Path, where: Where, act: Act, now: float) -> Summary:
    """Makes a server's state of a backup; what an interrupted one left is used. The database comes last, all of it or nothing.
    RefusedError where there is one; DataError where the backup is damaged. The server it makes gives out nothing but to torn
    terminals until somebody says so: what was recalled after the backup nobody knows here."""
    found = read(source)
    if not database.known(found.migration):
        raise RefusedError(
            "this backup was made by a newer program", f"its tables are those of {found.migration}", "upgrade", id="NRT-368"
        )
    _check_rows(source, found)
    database.refuse_existing(where.directory, where.database)
    for name, digest in found.kept.items():
        _put_back(source / "kept" / name, where.directory / name, digest)
    inside = database.files_in(where.directory, where.store)
    for name in _files_named(source):
        if name not in found.lost and not inside.take(source / "files" / name[:2] / name, name):
            raise _damaged(source / "files" / name[:2] / name, "it differs from its digest")

    def fill(db: Connection) -> None:
        with (source / ROWS).open(encoding="ascii") as lines:
            rows.fill(db, lines)

    def after(db: Connection) -> None:
        rows.go_on_after(db, actions, GAP)
        if stop.stopped(db) is None:
            stop.stop(db, stop.Stop(now, act.who, _WHY))
        audit.append(db, act)

    database.fresh(where.directory, where.database, database.Filling(found.migration, fill, after))
    return found


# ---- taking ---------------------------------------------------------------------------------------------------------------


def _fit(target: Path) -> None:
    """A directory for this and nothing else, readable by nobody else: secrets come into it."""
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as fault:
        raise _unusable(target, fault) from None
    fit(target)
    target.chmod(0o700)


def fit(target: Path) -> None:
    """RefusedError for a directory that holds anything but an interrupted backup; an absent one is fit."""
    try:
        there = {path.name for path in target.iterdir()} if target.exists() else set()
    except OSError as fault:
        raise _unusable(target, fault) from None
    if INDEX in there or not {name for name in there if name[0] != "."} <= {ROWS, "kept", "files"}:
        why = "it holds a backup" if INDEX in there else "it holds something else"
        raise RefusedError(f"{target} is not overwritten", why, "-o with a new directory", id="NRT-366")


def _unusable(target: Path, fault: OSError) -> NeurathError:
    return NeurathError(f"cannot use {target}", fault.strerror or str(fault), "-o with a directory you own")


def _own(directory: Path) -> Iterator[tuple[str, bytes]]:
    for name in KEPT:
        if (directory / name).exists():
            yield name, (directory / name).read_bytes()
    for folder in (RESTORATIONS, repository.FOLDER):
        for path in sorted((directory / folder).glob("*.json")):
            yield f"{folder}/{path.name}", path.read_bytes()


def _keep(target: Path, name: str, data: bytes) -> str:
    path = target / "kept" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    path.chmod(0o600)
    return hashlib.sha256(data).hexdigest()


def _write_rows(store: Store, target: Path) -> tuple[str, dict[str, int], list[str]]:
    """One view of the database; (digest of the rows, rows of each table, files they name)."""
    digest, counts, table = hashlib.sha256(), dict[str, int](), ""
    with (target / ROWS).open("w", encoding="ascii") as out, store.read() as db:
        for line in rows.lines(db, PASSING):
            out.write(line)
            digest.update(line.encode())
            if line[0] == "{":
                table = json.loads(line)["table"]
                counts[table] = -1
            counts[table] += 1
        named = list(db.scalars(select(files.c.digest).where(files.c.added.is_not(None)).order_by(files.c.digest)))
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), counts, named


def _copy_files(source: Files, target: Files, named: list[str]) -> tuple[int, int, list[str]]:
    """(files, bytes, digests of those that are lost)."""
    count = size = 0
    lost: list[str] = []
    for name in named:
        try:
            path = source.verified(name)
        except LinkError:
            raise
        except NeurathError:
            lost.append(name)
            continue
        if not target.take(path, name):
            raise DataError(
                f"{path} changed while it was copied", "it was whole a moment ago", "see to the disk", id="NRT-260"
            )
        count, size = count + 1, size + path.stat().st_size
    return count, size, lost


# ---- putting back ---------------------------------------------------------------------------------------------------------


def _check_rows(source: Path, found: Summary) -> None:
    try:
        with (source / ROWS).open("rb") as given:
            if hashlib.file_digest(given, "sha256").hexdigest() == found.rows:
                return
    except FileNotFoundError:
        pass
    raise _damaged(source / ROWS, "it is missing or differs from its digest")


def _files_named(source: Path) -> Iterator[str]:
    """Digests of the files that the rows name."""
    inside: list[str] | None = None
    with (source / ROWS).open(encoding="ascii") as lines:
        for line in lines:
            if line[0] == "{":
                head = json.loads(line)
                inside = head["columns"] if head["table"] == files.name else None
            elif inside is not None:
                row = dict(zip(inside, json.loads(line), strict=True))
                if row["added"] is not None:  # else it was pruned
                    yield row["digest"]


def _put_back(source: Path, target: Path, digest: str) -> None:
    """A file of the data directory itself; one that is there and differs is somebody's."""
    data = source.read_bytes() if source.is_file() else b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged(source, "it differs from its digest")
    if target.exists() and target.read_bytes() != data:
        raise RefusedError(f"{target} is not overwritten", "it differs from the backup's", "move it away", id="NRT-366")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, data)
    target.chmod(0o600)


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"this backup is damaged: {path}", why, "another copy of it", id="NRT-237")
