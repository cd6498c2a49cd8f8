"""The agent's whole way on the real core: update, cuts, refusals, in one process or with nothing but the flash."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.errors import LinkError
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Nor, PowerCut
from neurath.terminal.gate import Closed
from neurath.terminal.machine import Policy, Step
from neurath.terminal.machine import events as ev
from neurath.wire.report import Phase, Verdict
from tests.carriers.ddi_stub import TOKEN, DdiStub
from tests.terminal.world import MODEL, NAME, NEW, OLD, Clock, World, factory, image


def verdicts(world: World) -> list[Verdict]:
    return [report.verdict for report in world.far.told if report.verdict is not Verdict.PENDING]


def moments(trace: Path) -> list[str]:
    return [json.loads(line)["event"] for line in trace.read_text().splitlines()]


def test_an_update_ends_confirmed_and_every_step_comes_in_its_order(tmp_path: Path) -> None:
    world = World.fresh()
    world.publish()
    world.power(tmp_path / "trace")
    world.until_rest()
    assert world.holds(NEW)
    assert verdicts(world) == [Verdict.CONFIRMED]
    assert world.nor.violations == 0
    seen = moments(tmp_path / "trace")
    order = ["check", "offer", "secured", "request", "pieces", "link closed", "proven", "first erase", "judged", "verdict"]
    assert sorted(seen.index(moment) for moment in order) == [seen.index(moment) for moment in order]
    before = seen[: seen.index("first erase")]
    assert before.index("link closed") > max(at for at, moment in enumerate(before) if moment in ("pieces", "request"))
    assert all(program.unharmed() for program in world.programs.values())


def test_identity_survives_an_update() -> None:
    world = World.fresh()
    world.publish()
    world.until_rest()
    assert world.bank.identify().id == NAME
    checks = world.far.heard
    assert {check.model for check in checks} == {MODEL.name}
    assert checks[0].bank != checks[-1].bank
    assert checks[0].nonce != checks[-1].nonce


def test_without_an_update_nothing_is_written() -> None:
    world = World.fresh()
    world.agent.power_up()
    operations = world.nor.operations
    for _ in range(5):
        world.agent.wait()
    assert world.nor.operations == operations
    assert len(world.far.heard) == 5
    assert world.far.told == []


def test_a_power_cut_at_any_operation_of_the_rewrite_is_finished_by_a_new_life(seed: int) -> None:
    """Nothing survives but the flash; the file is fetched again by the digest in the state log."""
    rng = random.Random(seed)
    whole = World.fresh()
    whole.publish()
    whole.until_rest()
    total = whole.nor.operations
    assert total > 40
    rescued = 0
    for place in sorted(rng.sample(range(total), 14)):
        world = World.fresh()
        world.publish()
        world.nor.cut_at(place, rng.choice(("before", "early", "late", "after")), seed)
        with pytest.raises(PowerCut):
            world.until_rest()
        world.nor.power(0)
        world.far.heard.clear()
        world.power()
        world.until_rest()
        assert world.holds(NEW), f"cut at operation {place} of {total}"
        assert verdicts(world)[-1] is Verdict.CONFIRMED
        assert world.nor.violations == 0
        rescued += any(moment.get("phase") == "updating" for moment in world.shown)
    assert rescued


def test_a_clock_at_1970_and_one_that_is_set_in_the_middle_put_nothing_off() -> None:
    """Fault 12: forward a lifetime, back to 1970, and forward again; the update comes, and no check-in is years away."""
    world = World.fresh()
    world.clock.at = 5.0
    world.agent.power_up()
    world.agent.wait()
    assert len(world.far.heard) == 1
    world.clock.at = 1_800_000_000.0
    world.agent.wait()
    assert len(world.far.heard) == 2
    world.clock.at = 60.0
    world.agent.wait()
    assert len(world.far.heard) == 3, "a clock that was set back put the next check-in off for decades"
    world.publish()
    for _ in range(10):
        world.agent.wait()
    assert world.holds(NEW)


#: Five wrong clocks (fault 12), as seconds since 1970 when the terminal wakes in November 2026; the last is set in mid-update.
RIGHT = 1_795_334_400.0
CLOCKS = {
    "1970": 5.0,
    "2106": 4_294_967_290.0,
    "before it was built": 1_577_836_800.0,
    "an hour slow": RIGHT - 3600,
    "jumps": RIGHT,
}


class Jumping(Clock):
    """Set back by a day, and on by two, whenever somebody waits."""

    def sleep(self, seconds: float) -> None:
        self.turn = getattr(self, "turn", 0) + 1
        self.at += seconds + (172_800 if self.turn % 2 else -86_400)


def _whole_way(clock: Clock, folder: Path) -> tuple[list[Verdict], int, list[str]]:
    """An update with a power cut in its rewrite: verdicts, check-ins, and each step that was shown."""
    world = World.fresh(clock=clock, folder=folder)
    cut_in_rewrite(world)
    world.agent.power_up()
    for _ in range(6):
        world.agent.wait()
    assert world.holds(NEW)
    assert world.nor.violations == 0
    return verdicts(world), len(world.far.heard), [str(moment.get("phase")) for moment in world.shown]


@pytest.mark.parametrize("clock", CLOCKS)
def test_with_each_of_five_wrong_clocks_an_update_and_its_rescue_are_what_they_are_with_a_right_one(
    clock: str, tmp_path: Path
) -> None:
    """Fault 12, the whole flow: check-in, transfer, rewrite, a power cut, the way on, the confirmation."""
    made = Jumping(CLOCKS[clock]) if clock == "jumps" else Clock(CLOCKS[clock])
    said = _whole_way(made, tmp_path / "wrong")
    assert said == _whole_way(Clock(RIGHT), tmp_path / "right")
    assert said[0] == [Verdict.CONFIRMED]


def cut_in_rewrite(world: World) -> None:
    """Power fails amid the rewrite, and the terminal wakes with an open plan."""
    world.publish()
    world.nor.cut_at(60, "early")
    with pytest.raises(PowerCut):
        world.until_rest()
    world.nor.power(0)
    world.power()


def test_a_file_in_durable_staging_needs_no_link_after_a_cut(tmp_path: Path) -> None:
    world = World.fresh(folder=tmp_path)
    cut_in_rewrite(world)
    world.carrier.line.left = 0
    world.agent.power_up()
    assert world.holds(NEW)
    assert world.agent.machine.step is Step.CONTACTING
    world.carrier.line.mend()
    for _ in range(10):
        world.agent.wait()
    assert verdicts(world) == [Verdict.CONFIRMED]


def test_a_torn_terminal_without_a_link_tries_for_ever_and_tells_the_wire_first() -> None:
    world = World.fresh()
    cut_in_rewrite(world)
    world.carrier.line.left = 0
    world.agent.power_up()
    began = world.clock.at
    for _ in range(30):
        world.agent.wait()
    assert world.agent.machine.step is Step.PARKED
    assert world.clock.at - began > 3600, "it does not wait longer from try to try"
    world.agent.hear(ev.WireSpeaks())
    assert world.agent.machine.phase is Phase.RESTORING


def test_memory_that_cannot_be_had_is_said_to_the_byte_and_everyone_keeps_running() -> None:
    world = World.fresh()
    offer = world.publish()
    world.ram = offer.need - 100
    world.power()
    world.until_rest()
    assert verdicts(world) == [Verdict.REFUSED]
    assert "short by 100 bytes" in world.far.told[-1].reason
    assert world.holds(OLD)
    assert all(p.length == p.tenant.length and p.unharmed() for p in world.programs.values())


def test_the_delta_of_a_taken_over_server_is_refused_three_times_and_then_left_alone() -> None:
    world = World.fresh()
    world.publish(swapped=image(77))
    world.agent.power_up()
    for _ in range(12):
        world.agent.wait(60)
        world.clock.sleep(600)
    assert world.holds(OLD)
    assert verdicts(world) == [Verdict.REFUSED]
    assert world.bank.facts.failed_proofs == 3
    assert world.nor.erases(MODEL.layout.bank[0].base) == 0
    fetched = len(world.far.told)
    world.far.closed.clear()
    for _ in range(5):
        world.agent.wait()
    assert len(world.far.told) == fetched, "an envelope that failed three times was tried again at once"


@pytest.mark.parametrize("spoil", ["envelope", "ticket", "base", "floor"])
def test_an_offer_that_a_gate_refuses_costs_no_transfer(spoil: str) -> None:
    world = World.fresh()
    offer = world.publish(sequence=1 if spoil == "floor" else 2, old=image(5) if spoil == "base" else OLD)
    if spoil in ("envelope", "ticket"):
        raw = bytearray(getattr(offer, spoil))
        raw[-1] ^= 1
        fields = {name: getattr(offer, name) for name in offer.__slots__} | {spoil: bytes(raw)}
        world.far.offer = type(offer)(**fields)
    world.until_rest()
    assert verdicts(world) == [Verdict.REFUSED]
    assert not any(report.secured for report in world.far.told)
    assert world.holds(OLD)


def test_a_gate_that_says_no_gets_the_memory_back_and_asks_again() -> None:
    world = World.fresh(gate=Closed("recorder runs", ask=True, wait=30))
    world.publish()
    world.agent.power_up()
    world.agent.wait()
    assert world.agent.machine.phase is Phase.WAITING_FOR_USER
    assert world.far.told[-1].reason == "recorder runs"
    assert all(p.length == p.tenant.length for p in world.programs.values())
    world.agent.hear(ev.Answered(True))
    world.agent.settle()
    assert world.holds(NEW)


@pytest.mark.parametrize(("withdrawn", "holds"), [(True, OLD), (False, NEW)])
def test_the_last_word_can_stop_an_update_before_the_first_erase(withdrawn: bool, holds: bytes) -> None:
    world = World.fresh(policy=Policy(ask_last=True))
    world.publish()
    if withdrawn:
        world.far.open_actions = frozenset  # type: ignore[assignment, method-assign]
    world.until_rest()
    assert world.holds(holds)
    assert verdicts(world) == [Verdict.REFUSED if withdrawn else Verdict.CONFIRMED]


def test_a_new_image_whose_self_test_fails_ends_in_restoration_and_says_so() -> None:
    world = World.fresh()
    world.publish()
    world.bank._self_test = lambda: False
    world.agent.power_up()
    for _ in range(4):
        world.agent.wait()
    assert world.agent.machine.step is Step.RESTORING
    assert verdicts(world) == [Verdict.RESTORATION]
    again = world.power()
    again.power_up()
    assert again.machine.step is Step.RESTORING


def test_an_image_that_never_confirms_ends_in_restoration() -> None:
    world = World.fresh()
    world.publish()
    world.carrier.check = _after_first(world)  # type: ignore[method-assign]
    world.agent.power_up()
    world.agent.wait()
    assert world.holds(NEW)
    assert world.agent.machine.step is Step.CONTACTING
    for _ in range(4):
        world.power().power_up(fault=True)
    assert world.agent.machine.step is Step.RESTORING


def _after_first(world: World) -> object:
    """A server that answers once and is never reached again."""
    true, asked = world.carrier.check, [0]

    def check(said: object) -> object:
        asked[0] += 1
        if asked[0] > 1:
            raise LinkError("gone")
        return true(said)  # type: ignore[arg-type]

    return check


def agent(folder: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["agent", "run", "--server", url, "--bank", str(folder / "bank"), "--model", str(folder / "model.toml")]
    argv = [sys.executable, "-m", "neurath.cli.main", *words, "--token", TOKEN, "--once", *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_killed_in_the_rewrite_is_followed_by_one_that_holds_nothing_but_the_bank_file(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(model_to_toml(MODEL))
    nor = Nor.file(MODEL.layout, tmp_path / "bank", create=True)
    factory(nor)
    world = World(nor)
    world.publish()
    nor.close()
    with DdiStub(world.far, NAME) as server:
        url = f"http://127.0.0.1:{server.place[1]}"
        first = agent(tmp_path, url, "--kill-at", "60")
        assert first.returncode == -9, first.stderr
        second = agent(tmp_path, url)
        assert second.returncode == 0, second.stderr
        third = agent(tmp_path, url, "--json")
        assert third.returncode == 3
        assert json.loads(third.stdout.splitlines()[-1])["result"] == "nothing newer"
    after = World(Nor.file(MODEL.layout, tmp_path / "bank"), far=world.far)
    assert after.holds(NEW)
    assert verdicts(world)[-1] is Verdict.CONFIRMED


def test_one_session_ends_even_where_a_candidate_cannot_reach_its_server() -> None:
    world = World.fresh()
    world.publish()
    world.carrier.check = _after_first(world)  # type: ignore[method-assign]
    assert world.agent.run(once=True).code == 6
    assert world.holds(NEW)
    assert world.power().run(once=True).code == 6
