"""Software times terminals: each cell says what the ledger knows, and the head of each column adds it up (C3, P3, P4, P11)."""

from __future__ import annotations

import pytest

from neurath.server.fleet import actions, matrix, reach, telling
from neurath.server.fleet.matrix import Mark
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.wire.report import Phase, Report, Verdict
from tests.server.world import image


def seen(world, page: int = 1):
    with world.store.read() as db:
        return matrix.matrix(db, "phone", page)


def cell(world, name: str, component: str = "firmware"):
    found = seen(world)
    row = next(row for row in found.rows if row.id == name)
    return row.meshes[[one.component for one in found.columns].index(component)]


def says(world, offer, phase: Phase, verdict: Verdict = Verdict.PENDING, **more) -> None:
    with world.store.read() as db:
        action = actions.by_id(db, int(offer.action))
    world.delivery.reported(action, Report(offer.action, phase, verdict, **more), world.now)


def test_every_step_of_a_terminal_is_in_its_cell_with_its_moment(world) -> None:
    one = world.terminal("t1")
    world.release("1", image(1), 1)
    new = world.release("2", image(2), 2)
    assert (cell(world, "t1").mark, cell(world, "t1").runs) == (Mark.UNDISTRIBUTED, "")
    made = world.start(new)
    with world.store.write() as db:
        reach.notified(db, telling.lacking(db, made), 1001.0)
    assert (cell(world, "t1").mark, cell(world, "t1").notified) == (Mark.TOLD, 1001.0)
    world.now = 1002.0
    offer = world.delivery.check(one, world.says(image(1)), world.now)
    assert (cell(world, "t1").mark, cell(world, "t1").runs) == (Mark.TOLD, "1")
    says(world, offer, Phase.DOWNLOADING, done=100, secured=offer.size)
    assert (cell(world, "t1").mark, cell(world, "t1").done, cell(world, "t1").size) == (Mark.SENDING, 100, offer.size)
    world.now = 1003.0
    says(world, offer, Phase.DOWNLOADED, done=offer.size)
    assert (cell(world, "t1").mark, cell(world, "t1").distributed) == (Mark.DISTRIBUTED, 1003.0)
    world.now = 1004.0
    says(world, offer, Phase.UPDATED, Verdict.CONFIRMED, bank=bytes.fromhex(new.image))
    done = cell(world, "t1")
    assert (done.mark, done.installed, done.runs) == (Mark.INSTALLED, 1004.0, "1")  # its bank is read at the next check-in
    world.delivery.check(one, world.says(image(2), sequence=2), 1005.0)
    assert cell(world, "t1").runs == "2"


def test_a_failure_says_why(world) -> None:
    one = world.terminal("t1")
    world.release("1", image(1), 1)
    world.start(world.release("2", image(2), 2))
    offer = world.delivery.check(one, world.says(image(1)), world.now)
    says(world, offer, Phase.FAILED, Verdict.FAILED, reason="the flash is worn out")
    assert (cell(world, "t1").mark, cell(world, "t1").reason) == (Mark.FAILED, "the flash is worn out")


def test_a_new_release_makes_everybody_undistributed_again(world) -> None:
    one = world.terminal("t1")
    world.release("1", image(1), 1)
    world.delivery.check(one, world.says(image(1)), world.now)
    assert cell(world, "t1").mark is Mark.INSTALLED
    world.release("2", image(2), 2)
    assert (cell(world, "t1").mark, cell(world, "t1").runs) == (Mark.UNDISTRIBUTED, "1")


def test_each_column_tells_age_size_and_shares(world) -> None:
    some = [world.terminal(f"t{n}") for n in range(4)]
    world.release("1", image(1), 1)
    new = world.release("2", image(2), 2)
    catalog.add(world.store, Upload(image(9), "phone", "r1", component="radio", kind="swu"), world.now)
    made = world.start(new)
    with world.store.write() as db:
        reach.notified(db, telling.lacking(db, made), 1001.0)
    for one in some[:3]:
        offer = world.delivery.check(one, world.says(image(1)), world.now)
        says(world, offer, Phase.DOWNLOADED, done=offer.size)
        if one is not some[2]:
            says(world, offer, Phase.UPDATED, Verdict.CONFIRMED, bank=bytes.fromhex(new.image))
    found = seen(world)
    firmware, radio = found.columns
    assert (firmware.version, firmware.size, firmware.added) == ("2", len(image(2)), 1000.0)
    assert (firmware.terminals, firmware.told, firmware.distributed, firmware.installed) == (4, 4, 3, 2)
    assert firmware.share == pytest.approx(0.5)
    assert (radio.component, radio.version, radio.installed, radio.share) == ("radio", "r1", 0, 0.0)
    assert found.found == 4
    assert [row.id for row in found.rows] == ["t0", "t1", "t2", "t3"]


def test_who_comes_by_itself_was_told_by_its_offer(world) -> None:
    world.release("1", image(1), 1)
    one, _other = world.terminal("t1"), world.terminal("t2")
    new = world.release("2", image(2), 2)
    world.start(new)
    assert seen(world).columns[0].told == 0
    offer = world.delivery.check(one, world.says(image(1)), world.now)
    assert [(c.told, c.distributed, c.installed) for c in seen(world).columns] == [(1, 0, 0)]
    says(world, offer, Phase.UPDATED, Verdict.CONFIRMED, bank=bytes.fromhex(new.image))
    assert [(c.told, c.distributed, c.installed) for c in seen(world).columns] == [(1, 1, 1)]


def test_terminals_come_in_pages(world) -> None:
    for number in range(matrix.PAGE + 3):
        world.terminal(f"t{number:03}")
    world.release("1", image(1), 1)
    assert [len(seen(world, page).rows) for page in (1, 2, 3)] == [matrix.PAGE, 3, 0]
    assert seen(world, 2).found == matrix.PAGE + 3
