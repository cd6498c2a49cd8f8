import shutil

import pytest

from neurath.server.store import Store
from tests.rigs import postgres
from tests.rigs.postgres import Postgres
from tests.server.world import open_world

#: Test files whose worlds are walked on both databases: what rests on the store's promises.
BOTH = {"test_alerts", "test_begin", "test_delivery", "test_waves"}
#: What takes long, and asks nothing of a database that the others do not.
ONE = {"test_the_first_wave_gets_it_the_others_when_it_succeeded", "test_the_verb_adds_tests_lists_and_removes"}


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A server of the tests' own, with one database that is migrated already: `migrated`."""
    with postgres.running() as server:
        server.run("CREATE DATABASE migrated TEMPLATE template0")
        Store(tmp_path_factory.mktemp("first"), server.url("migrated")).close()
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in BOTH and metafunc.function.__name__ not in ONE
        metafunc.parametrize("database", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture
def database(request):
    """The URL of an empty database: "" for SQLite in the directory."""
    if request.param == "sqlite":
        yield ""
        return
    server: Postgres = request.getfixturevalue("postgresql")
    yield server.url("migrated")
    server.empty("migrated")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A database of SQLite that is migrated already and holds nothing: a copy is had at once, migrations take a second."""
    folder = tmp_path_factory.mktemp("migrated")
    Store(folder).close()
    return folder / "neurath.db"


@pytest.fixture
def world(tmp_path, database, migrated):
    if not database:
        (tmp_path / "data").mkdir()
        shutil.copyfile(migrated, tmp_path / "data/neurath.db")
    opened = open_world(tmp_path / "data", database=database)
    yield opened
    opened.delivery.deltas.close()
    opened.store.close()
