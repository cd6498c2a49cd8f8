"""PostgreSQL behind the store: the same migrations both ways, the same promises, and servers that hear what others wrote."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Connection, Integer, create_engine, insert, inspect, select, text
from sqlalchemy.types import TypeEngine

from neurath.errors import NeurathError, RefusedError, UsageError
from neurath.server.fleet import access, target
from neurath.server.fleet.access import Enrolment
from neurath.server.store import Store, database
from neurath.server.store import postgres as behind
from neurath.server.store.marks import EVERYBODY, NOBODY
from neurath.server.store.sql import expression, matches
from neurath.server.store.tables import metadata, setting, terminal
from tests.rigs import postgres
from tests.rigs.postgres import Postgres


@pytest.fixture
def url(postgresql: Postgres) -> Iterator[str]:
    yield postgresql.url("migrated")
    postgresql.empty("migrated")


@pytest.fixture
def two(tmp_path: Path, url: str) -> Iterator[tuple[Store, Store]]:
    """Two servers with directories of their own."""
    both = Store(tmp_path / "a", url), Store(tmp_path / "b", url)
    yield both
    for one in both:
        one.close()


def until(so: Callable[[], object], limit: float = 20.0) -> float:
    """Waits for it; gives how long it took."""
    begun = time.monotonic()
    while not so():
        assert time.monotonic() - begun < limit
        time.sleep(0.01)
    return time.monotonic() - begun


def steady(store: Store, number: int = 0) -> tuple[int, int]:
    """A mark that stands: the store hears."""
    until(lambda: store.marks.of(number) == store.marks.of(number))
    return store.marks.of(number)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_migration_goes_up_and_down_and_up_again(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'neurath.db'}")
    else:
        server: Postgres = request.getfixturevalue("postgresql")
        engine = create_engine(server.database().replace("postgresql:", "postgresql+psycopg:"))
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))

    def walk(how: Callable[..., None], there: str) -> dict[str, list[str]]:
        with engine.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            how(config, there)
            return tables(connection)

    steps = len(list(ScriptDirectory.from_config(config).walk_revisions()))
    seen = [walk(command.upgrade, "+1") for _ in range(steps)]
    for earlier in reversed(seen[:-1]):
        assert walk(command.downgrade, "-1") == earlier
    assert list(walk(command.downgrade, "base")) == ["alembic_version"]
    assert walk(command.upgrade, "head") == seen[-1]
    engine.dispose()


def tables(connection: Connection) -> dict[str, list[str]]:
    found = inspect(connection)
    return {name: sorted(one["name"] for one in found.get_columns(name)) for name in sorted(found.get_table_names())}


def test_the_migrations_lead_to_the_tables_as_they_are(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as db:
        differ = compare_metadata(MigrationContext.configure(db, opts={"compare_type": other_type}), metadata)
        assert differ == []
        narrow = "SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'integer'"
        assert db.execute(text(f"{narrow} AND table_schema = 'public'")).all() == []
    engine.dispose()


def other_type(
    _context: object, _there: object, _here: object, there: TypeEngine[object], here: TypeEngine[object]
) -> bool | None:
    """Whole numbers have 64 bits in every table (store/sql.py)."""
    return False if isinstance(here, Integer) and isinstance(there, BigInteger) else None


def test_a_write_is_all_or_nothing_and_a_reading_is_one_view(two: tuple[Store, Store]) -> None:
    here, there = two

    def failing() -> None:
        with here.write() as db:
            db.execute(insert(setting).values(key="a", value="1"))
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    with there.read() as db:
        assert db.execute(select(setting)).all() == []
        with here.write() as other:
            other.execute(insert(setting).values(key="b", value="2"))
        assert db.execute(select(setting)).all() == []
    with there.read() as db:
        assert db.scalar(select(setting.c.value)) == "2"


def test_writers_count_without_losing_one(two: tuple[Store, Store]) -> None:
    """A number read and written back by 2 servers with 4 threads each: nobody else writes meanwhile."""
    with two[0].write() as db:
        db.execute(insert(setting).values(key="n", value="0"))

    def work(store: Store) -> None:
        for _ in range(15):
            with store.write() as db:
                seen = int(str(db.scalar(select(setting.c.value).where(setting.c.key == "n"))))
                db.execute(setting.update().where(setting.c.key == "n").values(value=str(seen + 1)))

    threads = [threading.Thread(target=work, args=(store,)) for store in two for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with two[0].read() as db:
        assert db.scalar(select(setting.c.value)) == "120"


def test_writes_about_two_terminals_go_on_at_once_and_one_about_everything_waits(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "PATIENCE", 0.3)
    here, there = Store(tmp_path / "a", url), Store(tmp_path / "b", url)
    with here.write(1):
        with there.write(2):
            pass
        with there.write(NOBODY, alone=False):
            pass
        for about in (1, NOBODY, EVERYBODY):
            with pytest.raises(RefusedError) as caught, there.write(about) as db:
                raise AssertionError(db)
            assert caught.value.id == "NRT-310"
    here.close()
    there.close()


def test_what_one_server_writes_the_other_hears_at_once(two: tuple[Store, Store]) -> None:
    here, there = two
    before, about, other = steady(there), steady(there, 7), steady(there, 8)
    with here.write(7):
        pass
    assert until(lambda: there.marks.of(7) != about) < 10
    assert there.marks.of(8) == other
    with here.write(NOBODY):
        pass
    with here.write():
        pass
    assert until(lambda: there.marks.of(0) != before) < 10
    undone = steady(there)
    with pytest.raises(KeyError), here.write():
        raise KeyError
    with there.changes() as number:
        seen = number()
        with here.write(NOBODY):
            pass
        until(lambda: number() != seen)
    assert there.marks.of(0) == undone  # neither what was undone, nor what concerns nobody


def test_nothing_that_was_kept_stands_while_a_server_cannot_hear(tmp_path: Path) -> None:
    """The database goes away, comes back, and something was written meanwhile."""
    with postgres.running() as server:
        url = server.database()
        here, there = Store(tmp_path / "a", url), Store(tmp_path / "b", url)
        mark = steady(there)
        server.stop(signal.SIGQUIT)  # as if it had crashed
        until(lambda: there.marks.of(0) != there.marks.of(0))
        with pytest.raises(RefusedError) as caught, there.read():
            pass
        assert caught.value.id == "NRT-310"
        assert not there.claim("work")
        server.start()
        seen: list[object] = []

        def writes() -> bool:
            try:
                with here.write() as db:
                    db.execute(insert(setting).values(key="a", value="1"))
            except RefusedError:
                return False
            seen.append(there.marks.of(0))
            return True

        until(writes)
        after = steady(there)
        assert after != mark
        assert there.claim("work")
        assert not here.claim("work")
        here.close()
        there.close()


def test_a_piece_of_work_is_one_servers_until_it_ends(two: tuple[Store, Store]) -> None:
    here, there = two
    assert here.claim("delta")
    assert not there.claim("delta")
    assert not here.claim("delta")
    assert there.claim("another")
    here.release("delta")
    assert there.claim("delta")
    there.close()
    until(lambda: here.claim("delta"))


def test_what_no_database_can_read_is_kept_as_a_sign_for_it(two: tuple[Store, Store]) -> None:
    """NUL and half a character, in words and within attributes: no device can spoil a filter for the others."""
    here = two[0]
    with here.write() as db:
        access.register(db, Enrolment("t"), 0.0)
        access.configure(db, access.find(db, "t"), {"site": "osa\0ka\ud800", "\0": "x"}, 0.0)
        db.execute(insert(setting).values(key="a\0b", value="\ud800"))
    with here.read() as db:
        assert access.find(db, "t").attributes["site"] == "osa\ufffdka\ufffd"
        assert db.scalars(select(terminal.c.id).where(target.clause("site~osa*"))).all() == ["t"]
        assert db.scalar(select(setting.c.value)) in ("?", "\ufffd")


def test_patterns_mean_the_same_in_both_databases(two: tuple[Store, Store], tmp_path: Path) -> None:
    box = Store(tmp_path / "box")
    words = ["", "a", "lab-1", "Lab-1", "lab-17", "a.c", "abc", "a[c", "a]c", "a\\c", "a^c", "a-c", "ä", "x\ny", "$", "^"]
    patterns = [
        "*",
        "",
        "?",
        "lab-*",
        "lab-?",
        "lab-[0-9]",
        "a.c",
        "a[bc]c",
        "a[^b]c",
        "a[b",
        "[",
        "[]]",
        "a[]]c",
        "a\\c",
        "[^]]",
    ]
    patterns += ["a[[]c", "a[\\]c", "a[.-]c", "$", "^*", "*\n*", "lab-[", "[a-", "a[^^]c", "ä"]
    for pattern in patterns:
        found = []
        for store in (box, two[0]):
            with store.read() as db:
                found.append([word for word in words if db.scalar(select(matches(text(":w").bindparams(w=word), pattern)))])
        assert found[0] == found[1], (pattern, expression(pattern))
    box.close()


def test_a_database_that_is_none_is_said_in_words(tmp_path: Path, postgresql: Postgres) -> None:
    for url, kind in (
        ("mysql://host/db", UsageError),
        ("postgresql://host:port/x", UsageError),
        (postgresql.url("nothing-of-that-name"), NeurathError),
        ("postgresql:///x?host=/nowhere", NeurathError),
    ):
        with pytest.raises(kind) as caught:
            Store(tmp_path, url)
        assert "database" in caught.value.what
        assert caught.value.hint
