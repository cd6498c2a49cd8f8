"""The database of many servers: PostgreSQL. It knows connections, locks between writers, and how each server hears what the
others wrote; it must never know what a row means, and never say that nothing was written while it cannot hear."""

from __future__ import annotations

import hashlib
import logging
import secrets
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import StrDumper
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import _PGBigInteger
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.types import Integer

from neurath.clock import CLOCK
from neurath.errors import UsageError
from neurath.server.store.marks import Heard, Marks

log = logging.getLogger(__name__)

#: How long a writer waits for another one, and anybody for a connection, seconds.
PATIENCE, CONNECT = 5, 5
#: The connection that hears is asked so often whether it does; what it said stands so long, seconds.
ASK, CERTAIN = 0.25, 0.75
#: Everything of ours is locked under numbers of this first half.
_SPACE = 0x4E52
_CHANNEL = "neurath"
#: Every server goes by this clock, and not by its own.
_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
#: Taken by each write before its first look: alone, or beside those that concern other terminals. The word about it leaves
#: with the commit, or not at all.
_ALONE = text(f"SELECT pg_advisory_xact_lock({_SPACE}, 0), pg_notify('{_CHANNEL}', :word)")
_BESIDE = text(
    f"SELECT pg_advisory_xact_lock_shared({_SPACE}, 0), pg_advisory_xact_lock({_SPACE}, :own), pg_notify('{_CHANNEL}', :word)"
)


class Postgres:
    """A database at `postgresql://...`."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url).set(drivername="postgresql")
        except Exception:
            raise UsageError("this is no database", "postgresql://[USER@]HOST[:PORT]/NAME is one", "--database URL") from None
        self.engine = _engine(self.url, isolation_level="REPEATABLE READ")
        self._writer = _engine(self.url, isolation_level="READ COMMITTED")
        self._claims = Claims(self.url)
        self._me = secrets.token_hex(8)
        self._heard = Heard(self._begin)
        self._over = threading.Event()
        self._listener: threading.Thread | None = None
        self._beginning = threading.Lock()

    @property
    def url(self) -> str:
        """As libpq takes it."""
        return self._url.render_as_string(hide_password=False)

    def marks(self) -> Marks:
        return self._heard

    @contextmanager
    def write(self, about: int, *, alone: bool) -> Iterator[Connection]:
        """Alone, or beside writes about other terminals."""
        word = f"{self._me} {about}"
        with self._writer.begin() as connection:
            if alone:
                connection.execute(_ALONE, {"word": word})
            else:
                connection.execute(_BESIDE, {"word": word, "own": about % (1 << 31) if about > 0 else -2})
            yield connection

    @contextmanager
    def changes(self) -> Iterator[Callable[[], int]]:
        yield self._heard.writes

    def migrate(self, current: Callable[[Connection], bool], upgrade: Callable[[Connection], None]) -> None:
        with self._writer.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # others may be at it for long
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_SPACE}, -1)"))
            asked = time.monotonic()
            CLOCK.told(connection.execute(text(_TIME)).scalar_one(), asked, time.monotonic())
            if not current(connection):
                upgrade(connection)

    def claim(self, name: str) -> bool:
        return self._claims.claim(name)

    def holds(self, name: str) -> bool:
        return self._claims.holds(name)

    def release(self, name: str) -> None:
        self._claims.release(name)

    def trouble(self, fault: DatabaseError) -> bool:
        """Whether it is over in a moment: a lock, a deadlock, a server that is away or was restarted, a full disk."""
        return isinstance(fault.orig, psycopg.OperationalError | psycopg.InterfaceError)

    def close(self) -> None:
        self._over.set()
        self._claims.close()
        self._writer.dispose()
        self.engine.dispose()
        if self._listener is not None:
            self._listener.join(2 * CONNECT)

    # ---- hearing what others wrote -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Whoever asks for marks hears; a verb beside the server does not."""
        with self._beginning:
            if self._listener is None and not self._over.is_set():
                self._listener = threading.Thread(target=self._listen, daemon=True, name="neurath-hears")
                self._listener.start()

    def _listen(self) -> None:
        said = ""
        while not self._over.is_set():
            try:
                with _connect(self.url) as link:
                    said = ""
                    self._hear(link)
            except (psycopg.Error, OSError, ValueError) as fault:
                # Once for each cause, not four times a second for as long as the database is away.
                if (why := str(fault).strip()) != said:
                    log.warning("what others write is not heard: %s", why)
                said = why
            self._heard.lost()
            self._over.wait(ASK)

    def _hear(self, link: psycopg.Connection[tuple[object, ...]]) -> None:
        link.add_notify_handler(lambda notify: self._take(notify.payload))
        link.execute(f"LISTEN {_CHANNEL}")
        self._heard.lost()  # what was written before
        while not self._over.is_set():
            asked = time.monotonic()
            row = link.execute(_TIME).fetchone()  # what was told before has come with the answer
            self._heard.certain(asked + CERTAIN)
            if row is not None and isinstance(row[0], float):
                CLOCK.told(row[0], asked, time.monotonic())
            while (left := asked + ASK - time.monotonic()) > 0 and not self._over.is_set():
                if select.select([link.fileno()], [], [], left)[0]:
                    link.pgconn.consume_input()
                    while (notify := link.pgconn.notifies()) is not None:
                        self._take(notify.extra.decode())

    def _take(self, word: str) -> None:
        who, _, about = word.partition(" ")
        if who != self._me:
            self._heard.written(int(about))


class Claims:
    """What this process alone does, among all on the database: locks that end with its connection, and so with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._link: psycopg.Connection[tuple[object, ...]] | None = None
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def claim(self, name: str) -> bool:
        with self._lock:
            if name in self._held:
                return False
            try:
                if self._link is None or self._link.closed:
                    self._held.clear()  # all of them ended with the connection
                    self._link = _connect(self._url)
                row = self._link.execute("SELECT pg_try_advisory_lock(%s)", (_number(name),)).fetchone()
            except psycopg.Error:
                self._drop()
                return False
            if row is not None and row[0]:
                self._held.add(name)
                return True
            return False

    def holds(self, name: str) -> bool:
        """Asked of the database: the connection may be gone, and another may have it."""
        with self._lock:
            if name not in self._held or self._link is None:
                return False
            try:
                self._link.execute("SELECT 1")
            except psycopg.Error:
                self._drop()
            return name in self._held

    def release(self, name: str) -> None:
        with self._lock:
            if name not in self._held or self._link is None:
                return
            self._held.discard(name)
            try:
                self._link.execute("SELECT pg_advisory_unlock(%s)", (_number(name),))
            except psycopg.Error:
                self._drop()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            with suppress(psycopg.Error):
                self._link.close()
        self._link = None
        self._held.clear()


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection apart from the pools; a peer that is gone without a word is noticed."""
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT, tcp_user_timeout=2000, keepalives_idle=2)


class _Text(StrDumper):
    """Text for PostgreSQL, which takes neither NUL nor half a character; devices send what they like."""

    def dump(self, obj: str) -> Buffer | None:
        try:
            return super().dump(obj.replace("\0", "\ufffd"))
        except UnicodeEncodeError:
            return super().dump(obj.encode("utf-8", "replace").decode())


def _engine(url: str, *, isolation_level: str) -> Engine:
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        isolation_level=isolation_level,
        pool_size=8,
        max_overflow=32,
        pool_timeout=PATIENCE,
        connect_args={
            "connect_timeout": CONNECT,
            "tcp_user_timeout": 10_000,
            "options": f"-c lock_timeout={int(PATIENCE * 1000)} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
        },
    )
    engine.dialect.colspecs = {**engine.dialect.colspecs, Integer: _PGBigInteger}  # as in sql.py, for keys that count up

    @event.listens_for(engine, "connect")
    def _opened(connection: psycopg.Connection[tuple[object, ...]], _record: object) -> None:
        connection.adapters.register_dumper(str, _Text)

    return engine
