"""The store: a database, migrated at start, and files by digest. It knows transactions and how they fail; it must never know
what a row means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from neurath.errors import NeurathError, RefusedError, UsageError
from neurath.server.store import acts, audit
from neurath.server.store.acts import Act
from neurath.server.store.files import Behind, Files
from neurath.server.store.marks import EVERYBODY, Marks
from neurath.server.store.sqlite import DATABASE, Sqlite

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest migration; tests/server/test_store.py holds it against the folder.
HEAD = "0025"
MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Database(Protocol):
    """What is asked of a database: Sqlite or Postgres."""

    engine: Engine

    def marks(self) -> Marks: ...

    def write(self, about: int, *, alone: bool) -> AbstractContextManager[Connection]: ...

    def changes(self) -> AbstractContextManager[Callable[[], int]]: ...

    def migrate(self, current: Callable[[Connection], bool], upgrade: Callable[[Connection], None]) -> None: ...

    def claim(self, name: str) -> bool: ...

    def holds(self, name: str) -> bool: ...

    def release(self, name: str) -> None: ...

    def trouble(self, fault: DatabaseError) -> bool: ...

    def close(self) -> None: ...


class Store:
    """A data directory with `files/`, and a database: `neurath.db` in it, or the one at `url`. Safe with other processes on
    the same of both. `objects`: where all servers keep their files, s3://BUCKET; the directory is a cache then."""

    def __init__(self, directory: Path, url: str = "", objects: str = "") -> None:
        self.directory = directory
        self._url = url
        #: Whether servers with other directories may share the database.
        self.shared = bool(url)
        try:
            (directory / "files").mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise _unusable(directory, fault.strerror or str(fault)) from None
        self.files = files_in(directory, objects)
        #: What every write is, where nothing else is said: a command's, which has the store to itself.
        self.act: Act | None = None
        self._database = _opened(directory, url)
        try:
            self._database.migrate(_is_current, _upgrade)
            self.marks = self._database.marks()
        except (DatabaseError, OSError) as fault:
            self._database.close()
            raise _no_use(directory, url, fault) from None

    def look(self) -> None:
        """Opens the database anew, since what is open may outlive its file; raises where it is not to be used."""
        if not stands_at(self.directory, self._url):
            raise _unusable(self.directory, "it holds no tables")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._translated(), self._database.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, about: int = EVERYBODY, *, alone: bool | None = None) -> Iterator[Connection]:
        """All of it or nothing; on return it survives a power cut. RefusedError "try later" when others hold the lock.
        `about`: the number of the only terminal whose answers it can change, or NOBODY. Nobody else writes meanwhile
        (`alone`), but that of writes about one terminal each those about others may."""
        act = acts.now() or self.act
        signs = act is not None and not act.signed
        with self._translated():
            try:
                with self._database.write(about, alone=about <= 0 if alone is None else alone) as connection:
                    yield connection
                    if act is not None and not act.signed:
                        audit.append(connection, act)
                        act.signed = True
            except BaseException:
                if act is not None and signs:
                    act.signed = False
                raise
            finally:
                self.marks.written(about)

    @contextmanager
    def changes(self) -> Iterator[Callable[[], int]]:
        """Gives a function whose number changes when anybody, in any process, has written since the last call."""
        with self._database.changes() as asked:

            def number() -> int:
                with self._translated():
                    return asked()

            yield number

    def claim(self, name: str) -> bool:
        """Whether this store has a piece of work to itself now, among all processes on the same database, until release() or
        its end. False while another has it, and while nobody can say."""
        return self._database.claim(name)

    def release(self, name: str) -> None:
        self._database.release(name)

    def leads(self, name: str) -> bool:
        """Whether a work that goes on for ever is this store's, among all processes on the same database: whoever asks first,
        until its end."""
        return self._database.holds(name) or self._database.claim(name)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Database trouble in our own words: locked means later, anything else is the disk's."""
        try:
            yield
        except IntegrityError:
            raise
        except NoConnection:
            raise _busy("all connections to the database are in use") from None
        except DatabaseError as fault:
            reason = str(fault.orig).strip()
            if self._database.trouble(fault):
                raise _busy(reason) from None
            raise NeurathError(
                "the store cannot be used", reason, "check the disk: space, rights, health", id="NRT-141"
            ) from None


@dataclass(frozen=True, slots=True)
class Filling:
    """What a new database is made of: the migration its rows are of, what puts them in, and what is done when they are those
    of today's tables."""

    migration: str
    fill: Callable[[Connection], None]
    after: Callable[[Connection], None]


def fresh(directory: Path, url: str, filling: Filling) -> None:
    """Makes a database, all of it or nothing; RefusedError where there is one already."""

    def make(connection: Connection) -> None:
        _refuse_tables(connection)
        _upgrade(connection, filling.migration)
        filling.fill(connection)
        _upgrade(connection)
        filling.after(connection)

    _over(directory, url, lambda made: made.migrate(lambda _connection: False, make))


def refuse_existing(directory: Path, url: str) -> None:
    """RefusedError where there is a database with tables."""

    def look(made: Database) -> None:
        with made.engine.connect() as connection:
            _refuse_tables(connection)

    if url or (directory / DATABASE).exists():
        _over(directory, url, look)


def _over(directory: Path, url: str, work: Callable[[Database], None]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    opened = _opened(directory, url)
    try:
        work(opened)
    except DatabaseError as fault:
        why = str(fault.orig).strip()
        raise (_away(why) if url else _unusable(directory, why)) from None
    finally:
        opened.close()


def _refuse_tables(connection: Connection) -> None:
    if inspect(connection).get_table_names():
        raise RefusedError(
            "there is a database already",
            "a backup never takes the place of what is there",
            "--data with a new directory, --database with an empty one",
            id="NRT-366",
        )


def known(migration: str) -> bool:
    """Whether there is a way from this migration to the newest one."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        return ScriptDirectory.from_config(_migrations()).get_revision(migration) is not None
    except CommandError:
        return False


def files_in(directory: Path, objects: str) -> Files:
    """The files of a data directory, and of the store behind it."""
    return Files(directory / "files", _behind(objects))


def _behind(url: str) -> Behind | None:
    if not url:
        return None
    try:
        from neurath.server.store.objects import Objects
    except ModuleNotFoundError as fault:
        why = f"{fault.name} is missing"
        raise UsageError("the client of object stores is not installed", why, "pip install 'neurath[objects]'") from None
    return Objects(url)


def _opened(directory: Path, url: str) -> Database:
    if not url:
        return Sqlite(directory)
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError(f"{url.partition(':')[0]!r} is no kind of database", "PostgreSQL is one", "--database postgresql://…")
    try:
        from neurath.server.store.postgres import Postgres
    except ModuleNotFoundError as fault:
        why = f"{fault.name} is missing"
        raise UsageError("the driver of PostgreSQL is not installed", why, "pip install 'neurath[postgres]'") from None
    return Postgres(url)


def stands_at(directory: Path, url: str = "") -> str:
    """The migration a database stands at, "" before the first, looked at without migrating it; raises as Store does."""
    database = _opened(directory, url)
    try:
        with database.engine.connect() as connection:
            return _version(connection)
    except (DatabaseError, OSError) as fault:
        raise _no_use(directory, url, fault) from None
    finally:
        database.close()


def _no_use(directory: Path, url: str, fault: DatabaseError | OSError) -> NeurathError:
    why = str(getattr(fault, "orig", fault)).strip()
    return _away(why) if url else _unusable(directory, why)


def _is_current(connection: Connection) -> bool:
    """Whether nothing is to be migrated; RefusedError for a database that a newer program has migrated."""
    found = _version(connection)
    if found and found != HEAD and not known(found):
        raise RefusedError(
            "this database belongs to a newer program",
            f"its tables are those of {found}, ours of {HEAD}",
            "upgrade",
            id="NRT-368",
        )
    return found == HEAD


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _upgrade(connection: Connection, to: str = "head") -> None:
    # Alembic takes a fifth of a second to import, so a verb on an up-to-date directory goes without it.
    from alembic import command

    config = _migrations()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _migrations() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _busy(reason: str) -> RefusedError:
    return RefusedError("the store is busy", reason, "try again in a few seconds", id="NRT-310")


def _unusable(directory: Path, why: str) -> NeurathError:
    return NeurathError(f"cannot use the data directory {directory}", why, "--data DIR with a directory you own", id="NRT-141")


def _away(why: str) -> NeurathError:
    hint = "--database URL: is the server up, and may this user in?"
    return NeurathError("cannot use the database", why, hint, id="NRT-144")
