"""The database: SQLite in WAL mode, migrated at start, one writer at a time. It knows transactions and how the disk may
fail; it must never know what a row means."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from neurath.errors import NeurathError, RefusedError
from neurath.server.store.files import Files
from neurath.server.store.marks import EVERYBODY, Marks

#: The newest migration; tests/server/test_store.py holds it against the folder.
HEAD = "0011"
#: How long a writer waits for another one, seconds.
PATIENCE = 5.0
MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Store:
    """A data directory: `neurath.db` and `files/`. Safe with other processes on the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            (directory / "files").mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise _unusable(directory, fault.strerror or str(fault)) from None
        self.files = Files(directory / "files")
        self._writing = threading.Lock()
        self._engine = _engine(directory / "neurath.db")
        self._writer = _engine(directory / "neurath.db", poolclass=StaticPool)  # one connection, for Marks
        try:
            self._migrate()
            self.marks = Marks(_raw(self._writer), self._writing)
        except (DatabaseError, OSError) as fault:
            raise _unusable(directory, str(getattr(fault, "orig", fault))) from None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with _translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, about: int = EVERYBODY) -> Iterator[Connection]:
        """All of it or nothing; on return it survives a power cut. RefusedError "try later" when others hold the lock.
        `about`: the number of the only terminal whose answers it can change, or NOBODY."""
        with _translated(), self._writing:
            try:
                with self._writer.connect().execution_options(writing=True) as connection, connection.begin():
                    yield connection
            finally:
                self.marks.written(about)

    @contextmanager
    def changes(self) -> Iterator[Callable[[], int]]:
        """Gives a function whose number changes when anybody, in any process, has written since the last call."""
        with self._engine.connect() as connection:

            def number() -> int:
                with _translated():
                    found = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
                    connection.rollback()
                    return found

            yield number

    def close(self) -> None:
        self._writer.dispose()
        self._engine.dispose()

    def _migrate(self) -> None:
        # One at a time, the first look included: two processes cannot turn a new file to WAL mode at once.
        lock = os.open(self.directory / "migrate.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._version() != HEAD:
                self._upgrade()
        finally:
            os.close(lock)

    def _upgrade(self) -> None:
        # Alembic takes a fifth of a second to import, so a verb on an up-to-date directory goes without it.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._engine.connect().execution_options(writing=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _version(self) -> str:
        with self._engine.connect() as connection:
            if not connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")):
                return ""
            return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


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


@contextmanager
def _translated() -> Iterator[None]:
    """Database trouble in our own words: locked means later, anything else is the disk's."""
    try:
        yield
    except DatabaseError as fault:
        reason = str(fault.orig)
        if "locked" in reason or "busy" in reason:
            raise RefusedError("the store is busy", reason, "try again in a few seconds", id="NRT-310") from None
        if isinstance(fault.orig, sqlite3.IntegrityError):
            raise
        raise NeurathError("the store cannot be used", reason, "check the disk: space, rights, health", id="NRT-141") from None


def _unusable(directory: Path, why: str) -> NeurathError:
    return NeurathError(f"cannot use the data directory {directory}", why, "--data DIR with a directory you own", id="NRT-141")
