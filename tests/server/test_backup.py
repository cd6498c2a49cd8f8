"""A backup is taken while others write, is whole or none, and is put back elsewhere, on either database, over nothing that is
there."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from neurath.cli.main import main
from neurath.errors import DataError, NotFound, RefusedError
from neurath.server import backup
from neurath.server.backup import GAP, Where
from neurath.server.fleet import access, actions, progress, stop
from neurath.server.store import Store, audit, database
from neurath.server.store.acts import Act
from neurath.server.store.tables import action, metadata, session, setting
from tests.rigs import objects
from tests.rigs.postgres import Postgres
from tests.server.world import World, image

ACT = Act("ann", "admin", "command", "", "neurath backup restore")


@pytest.fixture
def busy(world: World) -> World:
    """A world in the middle of something."""
    old, new = image(1), image(2)
    world.release("1.0", old, 1)
    world.start(world.release("2.0", new, 2))
    for name in ("t1", "t2", "t3"):
        terminal = world.terminal(name)
        world.delivery.check(terminal, world.says(old), world.now)
    return world


def rows_of(store: Store) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    with store.read() as db:
        for table in metadata.sorted_tables:
            if table.name not in backup.PASSING:
                found[table.name] = [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key.columns))]
    return found


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_there_on_either_database(
    to: str, busy: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = ""
    if to == "postgresql":
        server: Postgres = request.getfixturevalue("postgresql")
        name = f"restored_{time.monotonic_ns()}"
        server.run(f"CREATE DATABASE {name} TEMPLATE template0")
        url = server.url(name)
    made = backup.create(busy.store, tmp_path / "b", 5000.0)
    assert made.lost == []
    backup.verify(tmp_path / "b", backup.read(tmp_path / "b"))
    backup.restore(tmp_path / "b", Where(tmp_path / "new", url), ACT, 6000.0)
    there = Store(tmp_path / "new", url)
    before, after = rows_of(busy.store), rows_of(there)
    changed = {"audit", "audit_head", "setting", "notice"}  # somebody restored it, and it is stopped
    assert {k: v for k, v in before.items() if k not in changed} == {k: v for k, v in after.items() if k not in changed}
    assert any(before.values())
    for name in (*before["file"],):
        assert there.files.read(str(name[0]))
    assert (tmp_path / "new/ticket.pem").read_bytes() == (busy.store.directory / "ticket.pem").read_bytes()
    with there.read() as db:
        assert audit.verify(db).broken == ""
        assert audit.page(db)[0].what == "neurath backup restore"
        assert stop.stopped(db) is not None
        newest = db.scalar(select(func.max(action.c.id)))
        terminal = access.find(db, "t1")
    # A client may know a number that was given out after the backup: none of them is given out again.
    with there.write() as db:
        old = actions.current_action(db, terminal.n, "firmware")
        assert old is not None
        draft = actions.Draft(terminal.n, "firmware", old.release, None, "delta", old.file, old.size)
        assert actions.open_action(db, draft, 0.0).id > newest + GAP - 1
        access.register(db, access.Enrolment("t4", "phone"), 0.0)  # PostgreSQL counts on, too
    there.close()


def test_a_backup_taken_while_others_write_is_one_moment_of_all_of_it(world: World, tmp_path: Path) -> None:
    over = threading.Event()

    def write() -> None:
        n = 0
        while not over.is_set():
            with world.store.write() as db:  # two rows that are never apart
                db.execute(insert(setting).values(key=f"a{n:06}", value=""))
                db.execute(insert(setting).values(key=f"b{n:06}", value=""))
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            backup.create(world.store, tmp_path / f"b{n}", 0.0)
    finally:
        over.set()
        writer.join()
    seen = []
    for n in range(5):
        lines = (tmp_path / f"b{n}/rows.jsonl").read_text().splitlines()
        keys = [json.loads(one)[0] for one in lines if one.startswith(('["a0', '["b0'))]
        assert {one[1:] for one in keys if one[0] == "a"} == {one[1:] for one in keys if one[0] == "b"}
        seen.append(len(keys))
    assert seen == sorted(seen)


def test_sessions_stay_out_and_secrets_are_for_their_owner_alone(busy: World, tmp_path: Path) -> None:
    assert session.name in backup.PASSING
    backup.create(busy.store, tmp_path / "b", 0.0)
    assert '"table":"session"' not in (tmp_path / "b/rows.jsonl").read_text()
    assert (tmp_path / "b").stat().st_mode & 0o77 == 0
    assert (tmp_path / "b/kept/ticket.pem").stat().st_mode & 0o77 == 0


def test_nothing_that_is_there_is_overwritten(busy: World, tmp_path: Path) -> None:
    backup.create(busy.store, tmp_path / "b", 0.0)
    with pytest.raises(RefusedError, match="not overwritten"):
        backup.create(busy.store, tmp_path / "b", 0.0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("")
    with pytest.raises(RefusedError, match="not overwritten"):
        backup.create(busy.store, tmp_path / "full", 0.0)
    before = rows_of(busy.store)
    with pytest.raises(RefusedError, match="a database already"):
        backup.restore(tmp_path / "b", Where(busy.store.directory), ACT, 0.0)
    assert rows_of(busy.store) == before
    (tmp_path / "new").mkdir()
    (tmp_path / "new/ticket.pem").write_text("somebody's")
    with pytest.raises(RefusedError, match="not overwritten"):
        backup.restore(tmp_path / "b", Where(tmp_path / "new"), ACT, 0.0)
    assert (tmp_path / "new/ticket.pem").read_text() == "somebody's"


def test_an_interrupted_backup_goes_on_and_so_does_an_interrupted_restoration(
    busy: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, files = tmp_path / "b", busy.store.files
    verified, calls = files.verified, []

    def cut(name: str) -> Path:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return verified(name)

    monkeypatch.setattr(type(files), "verified", lambda _self, name: cut(name))
    with pytest.raises(KeyboardInterrupt):
        backup.create(busy.store, target, 0.0)
    with pytest.raises(NotFound, match="no backup"):
        backup.read(target)
    monkeypatch.undo()
    first = {path: path.stat().st_ino for path in (target / "files").rglob("*") if path.is_file()}
    assert len(first) == 2
    backup.create(busy.store, target, 0.0)
    assert {path: path.stat().st_ino for path in first} == first  # what was there was not copied again

    monkeypatch.setattr(database, "fresh", cut_off)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(target, Where(tmp_path / "new"), ACT, 0.0)
    monkeypatch.undo()
    backup.restore(target, Where(tmp_path / "new"), ACT, 0.0)
    assert rows_of(Store(tmp_path / "new"))["terminal"] == rows_of(busy.store)["terminal"]


def cut_off(*_given: object) -> None:
    raise KeyboardInterrupt


def test_a_restoration_that_fails_in_the_rows_leaves_no_database(busy: World, tmp_path: Path) -> None:
    backup.create(busy.store, tmp_path / "b", 0.0)
    lines = (tmp_path / "b/rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "b/rows.jsonl").write_text("".join(lines[:-1]) + '{"table":"elsewhere","columns":[]}\n')
    _sealed_again(tmp_path / "b")
    for _ in range(2):  # and may be tried again
        with pytest.raises(DataError, match="no rows of a backup"):
            backup.restore(tmp_path / "b", Where(tmp_path / "new"), ACT, 0.0)
    database.refuse_existing(tmp_path / "new", "")


def _sealed_again(folder: Path) -> None:
    index = json.loads((folder / "backup.json").read_text())
    index["rows"] = hashlib.sha256((folder / "rows.jsonl").read_bytes()).hexdigest()
    (folder / "backup.json").write_text(json.dumps(index))


def test_a_flipped_bit_anywhere_is_found_before_anything_is_restored(busy: World, tmp_path: Path) -> None:
    backup.create(busy.store, tmp_path / "b", 0.0)
    every = [path for path in sorted((tmp_path / "b").rglob("*")) if path.is_file() and path.name != "backup.json"]
    assert len(every) > 5
    for path in every:
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(DataError, match="damaged"):
            backup.verify(tmp_path / "b", backup.read(tmp_path / "b"))
        with pytest.raises(DataError, match="damaged"):
            backup.restore(tmp_path / "b", Where(tmp_path / path.name), ACT, 0.0)
        assert not (tmp_path / path.name / "neurath.db").exists()
        path.write_bytes(whole)
    backup.verify(tmp_path / "b", backup.read(tmp_path / "b"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"form": 2}', '{"form": 1, "kept": {"../../etc/passwd": ""}}', "null"])
def test_an_index_that_is_none_is_refused_in_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "backup.json").write_text(text)
    with pytest.raises(DataError):
        backup.read(tmp_path)


def test_a_backup_of_a_newer_program_is_refused_and_one_of_an_older_is_brought_up_to_date(busy: World, tmp_path: Path) -> None:
    backup.create(busy.store, tmp_path / "b", 0.0)
    index = json.loads((tmp_path / "b/backup.json").read_text())
    (tmp_path / "b/backup.json").write_text(json.dumps(index | {"migration": "9999"}))
    with pytest.raises(RefusedError, match="newer"):
        backup.restore(tmp_path / "b", Where(tmp_path / "new"), ACT, 0.0)
    # As the migration before the audit log had it.
    lines, inside = [], True
    for line in (tmp_path / "b/rows.jsonl").read_text().splitlines(keepends=True):
        if line[0] == "{":
            inside = json.loads(line)["table"] in _TABLES_OF_0012
        lines += [line] * inside
    (tmp_path / "b/rows.jsonl").write_text("".join(lines))
    (tmp_path / "b/backup.json").write_text(json.dumps(index | {"migration": "0012"}))
    _sealed_again(tmp_path / "b")
    backup.restore(tmp_path / "b", Where(tmp_path / "new"), ACT, 0.0)
    there = Store(tmp_path / "new")
    assert len(rows_of(there)["model"]) == 1
    assert rows_of(there)["model"] == rows_of(busy.store)["model"]
    with there.read() as db:
        assert audit.the_head(db).n == 1
    there.close()


#: What this test's rows are in; the columns of these have not changed since.
_TABLES_OF_0012 = {"model", "release_key", "setting"}


def test_files_behind_in_an_object_store_come_with_it_and_go_into_another(
    busy: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in objects.KEYS.items():
        monkeypatch.setenv(name, value)
    backup.create(busy.store, tmp_path / "b", 0.0)
    with objects.bucket() as bucket:
        backup.restore(tmp_path / "b", Where(tmp_path / "new", "", bucket.url), ACT, 0.0)
        shutil.rmtree(tmp_path / "new/files")  # a cache
        again = Store(tmp_path / "new", "", bucket.url)
        made = backup.create(again, tmp_path / "b2", 0.0)
        again.close()
    assert made.lost == []
    assert made.files == backup.read(tmp_path / "b").files > 2
    backup.verify(tmp_path / "b2", made)


def test_the_verbs_take_look_at_and_put_back(busy: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b, data, new = (str(tmp_path / name) for name in ("b", "data", "new"))
    assert main(["backup", "create", "-o", b, "--data", data]) == 0
    assert main(["backup", "show", b, "--json"]) == 0
    assert main(["backup", "restore", b, "--data", new, "--dry-run"]) == 0
    assert not Path(new).exists()
    assert main(["backup", "restore", b, "--data", new]) == 0
    assert "rollout go-on" in capsys.readouterr().err
    assert main(["backup", "restore", b, "--data", new]) == 5
    assert main(["backup", "show", data]) == 4
    with Store(Path(new)).read() as db:
        assert progress.entries(db, progress.Wanted())
    name = next(path for path in Path(data, "files").rglob("*") if path.is_file())
    name.unlink()
    assert main(["backup", "create", "-o", b + "2", "--data", data]) == 1
    assert "1 files are not in it" in capsys.readouterr().out
