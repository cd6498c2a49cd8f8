"""The database of one box: a SQLite file in WAL mode, one writer at a time, any number of processes on the same directory. It
knows how the file is opened, locked and asked about; it must never know what a row means."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from neurath.server.store.marks import LookedUp, Marks

#: The file in the data directory.
DATABASE = "neurath.db"
#: How long a writer waits for another one, seconds.
PATIENCE = 5.0
#: struct flock of Linux on 64 bits: type, whence, start, length, process.
_FLOCK = "hhqqi4x"


class Sqlite:
    """`neurath.db` in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = threading.Lock()
        self.engine = _engine(directory / DATABASE)
        self._writer = _engine(directory / DATABASE, poolclass=StaticPool)  # one connection, for its marks
        self._claims = -1
        self._held: set[str] = set()
        self._claiming = threading.Lock()

    def marks(self) -> Marks:
        return LookedUp(_raw(self._writer), self._writing)

    @contextmanager
    def write(self, _about: int, *, alone: bool) -> Iterator[Connection]:
        """Everybody writes alone."""
        with self._writing, self._writer.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def changes(self) -> Iterator[Callable[[], int]]:
        with self.engine.connect() as connection:

            def number() -> int:
                found = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
                connection.rollback()
                return found

            yield number

    def migrate(self, current: Callable[[Connection], bool], upgrade: Callable[[Connection], None]) -> None:
        # One at a time, the first look included: two processes cannot turn a new file to WAL mode at once.
        lock = os.open(self._directory / "migrate.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.engine.connect() as connection:
                if current(connection):
                    return
            with self.engine.connect().execution_options(writing=True) as connection, connection.begin():
                upgrade(connection)
        finally:
            os.close(lock)

    def claim(self, name: str) -> bool:
        """A lock on one byte of a file: it ends with the process that holds it, however that ends."""
        with self._claiming:
            if name in self._held:
                return False
            if self._claims < 0:
                self._claims = os.open(self._directory / "claims.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, name))
            except OSError:
                return False
            self._held.add(name)
            return True

    def holds(self, name: str) -> bool:
        return name in self._held

    def release(self, name: str) -> None:
        with self._claiming:
            if name in self._held:
                self._held.discard(name)
                fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, name))

    def trouble(self, fault: DatabaseError) -> bool:
        """Whether it is over in a moment."""
        reason = str(fault.orig)
        return "locked" in reason or "busy" in reason

    def close(self) -> None:
        self._writer.dispose()
        self.engine.dispose()
        if self._claims >= 0:
            os.close(self._claims)
            self._claims = -1
            self._held.clear()


def _lock(kind: int, name: str) -> bytes:
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    return struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0)


def _engine(path: Path, **pool: Any) -> Engine:
    arguments = {"timeout": PATIENCE, "check_same_thread": False}
    pool = pool or {"pool_size": 8, "max_overflow": 32}
    engine = create_engine(f"sqlite:///{path}", connect_args=arguments, **pool)

    @event.listens_for(engine, "connect")
    def _opened(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _raw(engine: Engine) -> sqlite3.Connection:
    """The one connection of an engine with a StaticPool."""
    with engine.connect() as connection:
        return cast(sqlite3.Connection, connection.connection.dbapi_connection)
