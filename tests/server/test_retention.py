"""Old update files go and come again; what anybody may still ask for stays; the disk's last bytes are the records'."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple

import pytest
from sqlalchemy import select, update

from neurath.cli.main import main
from neurath.errors import RefusedError
from neurath.ids import digest
from neurath.server.delivery.decision import Offered
from neurath.server.fleet import actions
from neurath.server.software.retention import DAY, prune, usage
from neurath.server.store.files import CLAIM
from neurath.server.store.tables import action, component, delta, file
from tests.server.world import World, image

LATER = 400 * DAY
Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def offered(world: World) -> tuple[World, str]:
    """A terminal that was offered an update file and has said nothing since; the file."""
    world.release("1.0", image(1), 1)
    world.start(world.release("2.0", image(2), 2))
    terminal = world.terminal("t1")
    assert world.delivery.check(terminal, world.says(image(1)), world.now) is not None
    with world.store.read() as db:
        found = actions.current_action(db, terminal.n, "firmware")
    assert found is not None
    return world, found.file


def settled(world: World) -> None:
    with world.store.write() as db:
        for one in db.scalars(select(action.c.id)).all():
            found = actions.by_id(db, one)
            actions.end(db, found, "closed", world.now)
            actions.settle(db, found)


def test_a_file_that_a_terminal_may_ask_for_stays_however_old_it_is(offered: tuple[World, str]) -> None:
    world, name = offered
    assert name not in prune(world.store, 1, LATER).files  # the action is open
    with world.store.write() as db:
        for one in actions.current_actions(db, 1):
            actions.end(db, one, "closed", world.now)
    assert name not in prune(world.store, 1, LATER).files  # it is held: no verdict came
    settled(world)
    for column in ("open_file", "staged"):  # the terminal says that it is in the middle of it
        with world.store.write() as db:
            db.execute(update(component).values({column: name[:32]}))
        assert name not in prune(world.store, 1, LATER).files
        with world.store.write() as db:
            db.execute(update(component).values({column: ""}))
    assert world.store.files.sound(name)
    assert name in prune(world.store, 1, LATER).files
    assert not world.store.files.sound(name)


def test_what_was_given_lately_stays_and_images_always_do(offered: tuple[World, str]) -> None:
    world, name = offered
    settled(world)
    assert prune(world.store, 30, world.now + 29 * DAY).files == []
    gone = prune(world.store, 30, world.now + 31 * DAY)
    assert name in gone.files
    with world.store.read() as db:
        left = set(db.scalars(select(file.c.digest).where(file.c.added.is_not(None))))
    assert left == {digest(image(n)).hex() for n in (1, 2)}
    assert all(world.store.files.sound(one) for one in left)
    assert gone.bytes > 0


def test_a_file_that_went_is_built_again_where_it_is_wanted(offered: tuple[World, str]) -> None:
    world, name = offered
    settled(world)
    assert name in prune(world.store, 1, LATER).files
    terminal = world.terminal("t2")
    assert world.delivery.check(terminal, world.says(image(1)), world.now) is not None
    found = world.delivery.decide(terminal, "firmware", world.now)
    assert isinstance(found, Offered)
    assert found.action.file == name
    assert world.store.files.sound(name)
    with world.store.read() as db:
        assert db.scalar(select(file.c.added).where(file.c.digest == name)) is not None
        assert db.scalar(select(delta.c.file).where(delta.c.file == name)) == name


def test_leftovers_of_a_write_go_when_they_are_old_and_not_before(world: World) -> None:
    world.release("1.0", image(1), 1)
    stray = world.store.files.root / "ab" / ".abcd.1234"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"half")
    now = stray.stat().st_mtime
    assert prune(world.store, 90, now + 60).strays == 0
    os.utime(stray, (now - 2 * DAY, now - 2 * DAY))
    assert prune(world.store, 90, now, dry=True).strays == 1
    assert stray.exists()
    assert prune(world.store, 90, now).strays == 1
    assert not stray.exists()


def test_nothing_is_pruned_while_a_backup_is_made(offered: tuple[World, str]) -> None:
    world, _ = offered
    assert world.store.claim(CLAIM)
    with pytest.raises(RefusedError, match="can be pruned"):
        prune(world.store, 1, LATER)
    world.store.release(CLAIM)
    prune(world.store, 1, LATER)


def test_the_forecast_is_the_free_room_at_the_pace_of_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage(world.store, 0.0).days is None
    world.now = 100 * DAY
    world.release("1.0", image(1, 60_000), 1)
    world.now = 109 * DAY
    world.release("2.0", image(2, 40_000), 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Disk(100_000_000, 0, 3_000_000))
    found = usage(world.store, 110 * DAY)
    assert (found.count, found.files) == (2, 100_000)
    assert found.daily == 10_000
    assert found.days == (3_000_000 - 2_000_000) / 10_000
    assert usage(world.store, 200 * DAY).days is None


def test_an_upload_that_would_fill_the_disk_is_refused_before_a_byte_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Disk(1 << 40, 0, (64 << 20) + 50_000))
    with pytest.raises(RefusedError, match="too full") as caught:
        world.release("1.0", image(1, 50_001), 1)
    assert caught.value.id == "NRT-369"
    assert [path for path in world.store.files.root.rglob("*") if path.is_file()] == []
    assert world.release("1.0", image(1, 50_000), 1).size == 50_000


def test_the_verbs_show_and_prune(offered: tuple[World, str], capsys: pytest.CaptureFixture[str]) -> None:
    world, _ = offered
    settled(world)
    data = ["--data", str(world.store.directory)]
    assert main(["store", "show", *data]) == 0
    assert " free: " in capsys.readouterr().out
    assert main(["store", "prune", "--older", "1", "--dry-run", *data]) == 0
    assert "would go" in capsys.readouterr().out
    assert main(["store", "prune", "--older", "1", *data]) == 0
    assert main(["store", "prune", "--older", "1", *data]) == 3
