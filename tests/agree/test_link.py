"""After a fault a real terminal (core, agent, flash) and a real server (store, delivery, builder) agree within two
check-ins, on what the bank holds and on what is done. Here what breaks off, dies or is lost between them; the other files of
this folder have the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from neurath.server.fleet import actions, recall
from neurath.server.software import catalog
from neurath.wire import package
from tests.agree.site import DONE, Site, Word, station
from tests.parts import ASSURANCE
from tests.terminal.world import MODEL, NEW, envelope_of


def test_without_a_fault_they_agree(tmp_path: Path) -> None:
    Site(tmp_path).goes_on()


@pytest.mark.parametrize("operation", range(0, 100, 4) if ASSURANCE else (2, 60))
def test_faults_1_to_4_the_power_fails_in_the_rewrite_and_again(operation: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cut_in_rewrite(operation)
    if operation == 60:
        site.cut_in_rewrite(5, "random")
    site.goes_on()


def test_faults_6_and_11_what_comes_is_another_file(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bent = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    site.until(lambda: site.calls > 6)
    assert site.holds() == "1.0"
    site.goes_on()


def test_fault_7_a_bit_of_the_bank_has_flipped(tmp_path: Path) -> None:
    """Nobody knows this bank, and it is given the whole image."""
    site = Site(tmp_path)
    at = MODEL.layout.bank[0].base + 5000
    site.world.nor.write_raw(at, bytes([site.world.nor.read_raw(at, 1)[0] ^ 1]))
    site.world.power()
    seen: list[str] = []
    site.offered = lambda: seen.append(site.server_says().bank)
    site.until(lambda: bool(seen))
    assert seen[0] not in ("1.0", "2.0")
    assert site.goes_on() == DONE


def test_fault_8_there_is_too_little_memory(tmp_path: Path) -> None:
    site = Site(tmp_path, ram=6000)
    site.until(lambda: site.checked >= 2)
    assert site.agreed() == Word("1.0")  # nothing is offered, and why
    assert "needs" in site.delivery.why(site.me(), "firmware", site.now)


@pytest.mark.parametrize("byte", range(100, 3000, 100) if ASSURANCE else (200, 1500))
def test_fault_10_the_transfer_breaks_off(byte: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.line.left = byte
    site.world.agent.power_up()
    for _ in range(6):
        site.world.agent.wait()
    assert site.holds() == "1.0"
    site.goes_on()


@pytest.mark.parametrize("clock", [0.0, 4_294_967_290.0])
def test_fault_12_its_clock_is_wrong(clock: float, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.world.clock.at = clock
    site.goes_on()


def test_fault_13_every_report_arrives_twice(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.twice = True
    site.until(lambda: site.holds() == "2.0")
    site.goes_on()


def test_faults_19_to_21_it_is_restored_over_the_wire_meanwhile(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cut_in_rewrite(60)
    station(site.world.nor).restore(package.build(envelope_of(NEW, 2), NEW, MODEL.layout.leaf))
    site.world.power()
    site.goes_on()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 11) if ASSURANCE else (2, 4, 6, 9))
def test_fault_22_the_server_is_killed_at_any_call(call: int, after: bool, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.dies_at = (call, after)
    site.world.agent.power_up()
    for _ in range(4):
        site.world.agent.wait()
    assert site.calls >= min(call, 2)
    site.goes_on()


@pytest.mark.parametrize("call", range(1, 11) if ASSURANCE else (1, 3, 6))
def test_faults_24_and_33_nobody_answers_for_a_while(call: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deaf_at = call
    site.world.agent.power_up()
    for _ in range(6):
        site.world.agent.wait()
    assert site.calls == call - 1
    site.goes_on()


def test_fault_26_the_file_rots_on_the_servers_disk(tmp_path: Path) -> None:
    site = Site(tmp_path)
    rotten = []

    def rot() -> None:
        with site.store.read() as db:
            (action,) = actions.current_actions(db, site.me().n)
        path = site.store.files.verified(action.file)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        rotten.append(path)

    site.offered = rot
    site.until(lambda: bool(rotten))
    site.goes_on()


@pytest.mark.parametrize("torn", [False, True])
def test_fault_32_the_release_is_revoked_when_it_was_offered(torn: bool, tmp_path: Path) -> None:
    """Who has not erased anything keeps what it runs; who was torn is served to the end, for there is nothing else."""
    site = Site(tmp_path)

    def revoke() -> None:
        with site.store.write() as db:
            recall.revoke(db, catalog.find_release(db, f"{MODEL.name}/2.0"), site.now)

    if torn:
        site.cut_in_rewrite(60)
        revoke()
        site.goes_on()
        return
    site.offered = revoke
    site.until(lambda: site.offered is None)
    site.goes_on(ends_in="1.0")


def test_fault_36_the_server_comes_back_from_a_backup_of_before(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")
    site.server.close()
    shutil.copytree(tmp_path / "data", tmp_path / "yesterday")
    site.server.open()
    site.until(lambda: site.holds() == "2.0")
    site.server.close()
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "yesterday", tmp_path / "data")
    site.server.open()
    site.goes_on()
