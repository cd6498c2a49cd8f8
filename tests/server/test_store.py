"""The store migrates, keeps files by digest whole and unchanged, and says in words when the disk or the lock fails."""

import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from neurath.errors import NeurathError, NotFound, RefusedError
from neurath.ids import digest
from neurath.server.store import Store, database, sqlite
from neurath.server.store.files import Files
from neurath.server.store.tables import metadata, setting


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


def test_the_migrations_lead_to_the_tables_as_they_are(store):
    with store.read() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []


def test_the_newest_migration_is_the_one_the_store_expects():
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [database.HEAD]


def test_processes_that_open_a_new_directory_at_once_all_can(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from neurath.server.store import Store; import alembic.command\n"
        "while time.time() < float(sys.argv[2]): pass\n"
        "Store(Path(sys.argv[1]))"
    )
    moment = str(time.time() + 2)
    words = [sys.executable, "-c", code, str(tmp_path / "d"), moment]
    every = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(4)]
    assert [p.communicate()[1] for p in every] == [b""] * 4


def test_a_write_is_all_or_nothing(store):
    def failing():
        with store.write() as db:
            db.execute(insert(setting).values(key="a", value="1"))
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    with store.read() as db:
        assert db.execute(select(setting)).all() == []


def test_a_store_that_others_hold_says_try_later(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    store = Store(tmp_path)
    other = sqlite3.connect(store.directory / "neurath.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RefusedError) as caught, store.write():
        pass
    assert caught.value.id == "NRT-310"
    other.execute("ROLLBACK")
    with store.write() as db:
        db.execute(insert(setting).values(key="a", value="1"))


@given(st.binary(max_size=3000))
def test_what_is_put_is_read(tmp_path_factory, data):
    files = Files(tmp_path_factory.getbasetemp() / "files")
    name = files.put(data)
    assert name == digest(data)
    assert files.read(name.hex()) == data


def test_a_sound_file_is_never_written_again(tmp_path):
    files = Files(tmp_path)
    name = files.put(b"image").hex()
    before = files.path(name).stat().st_ino
    files.put(b"image")
    assert files.path(name).stat().st_ino == before


def test_a_rotten_file_is_found_before_it_is_served_and_mended_by_putting_it_again(tmp_path):
    files = Files(tmp_path)
    name = files.put(b"image of a phone").hex()
    assert files.verified(name)
    for position in range(16):
        rotten = bytearray(b"image of a phone")
        rotten[position] ^= 1
        files.path(name).write_bytes(rotten)
        # The same length and, on a coarse clock, the same time: the check must not lean on luck.
        os.utime(files.path(name), ns=(1, position + 1))
        with pytest.raises(NeurathError) as caught:
            files.verified(name)
        assert caught.value.id == "NRT-260"
    files.put(b"image of a phone")
    assert files.read(name) == b"image of a phone"


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        Files(tmp_path).verified("ab" * 32)


def test_eight_threads_that_put_the_same_file_leave_one_and_no_drafts(tmp_path):
    files = Files(tmp_path)
    threads = [threading.Thread(target=files.put, args=(b"x" * 100_000,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert [p.name for p in left] == [digest(b"x" * 100_000).hex()]


def test_a_full_disk_refuses_the_file_and_leaves_nothing_half_written(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from neurath.server.store.files import Files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: Files(Path(sys.argv[1])).put(bytes(100_000))\n"
        "except OSError as fault: print(fault.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "27"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_directory_that_cannot_be_used_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NeurathError) as caught:
        Store(tmp_path / "file" / "data")
    assert "data directory" in caught.value.what
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "neurath.db").write_bytes(b"this is no database, and it is long enough to be told" * 40)
    with pytest.raises(NeurathError):
        Store(tmp_path / "d")
