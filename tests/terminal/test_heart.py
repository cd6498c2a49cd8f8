"""A terminal whose updates ride on heartbeats: not one packet more, nobody's memory before the end, then the ordinary way."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.carriers.base import Descriptor
from neurath.errors import LinkError
from neurath.terminal.heart import EARLY, MEASURE, Heart, Spare
from neurath.terminal.machine import Policy, Step
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import trickle
from neurath.wire.offer import Offer
from neurath.wire.report import Verdict
from tests.terminal.test_trickle import Far, data
from tests.terminal.world import NEW, World

SLOW = Policy(poll=86400.0, own_pace=True)
BEATS = 1000


def world(folder: Path) -> World:
    return World.fresh(folder=folder, period=60.0, policy=SLOW)


def riding(world: World, offer: Offer, count: int = 1) -> Far:
    far = Far(world.far.files[offer.file], count=count)
    world.far.ride = far.answer
    return far


def beats(world: World, count: int) -> None:
    target = world.far.beats + count
    for _ in range(2 * count + 20):
        if world.far.beats >= target:
            return
        world.agent.wait()
    raise AssertionError("it does not beat")


def test_a_waiting_update_costs_not_one_packet_in_1000_heartbeats(tmp_path: Path) -> None:
    """B1: requests of every kind, in the same 1,000 heartbeats, with and without."""
    counts = []
    for waits in (False, True):
        one = world(tmp_path / str(waits))
        one.agent.power_up()
        beats(one, 1)
        if waits:
            one.far.ride = Far(data(1, 100_000), count=1).answer
        began = one.clock()
        checks, reports = len(one.far.heard), len(one.far.told)
        beats(one, BEATS)
        counts.append((one.far.beats, len(one.far.heard) - checks, len(one.far.told) - reports, one.far.served))
        assert one.clock() - began == pytest.approx(BEATS * 60.0)
    assert counts[0] == counts[1] == (BEATS + 1, 0, 0, 0)


def test_an_update_trickles_in_and_then_goes_the_ordinary_way(tmp_path: Path) -> None:
    one = world(tmp_path)
    one.agent.power_up()
    beats(one, 1)
    offer = one.publish()
    far = riding(one, offer, count=3)
    for _ in range(300):
        if one.far.told:
            break
        assert all(program.length == program.tenant.length for program in one.programs.values())
        assert one.agent.machine.step is Step.IDLE
        one.agent.wait()
    for _ in range(60):
        if one.far.told[-1].verdict is not Verdict.PENDING:
            break
        one.agent.wait()
    assert one.far.told[-1].verdict is Verdict.CONFIRMED
    assert one.holds(NEW)
    assert one.carrier.line.passed > 0
    assert set(far.sent.values()) == {1}
    assert len(one.far.heard) <= 3  # at power-up, for the ticket, and by the new image


def test_an_offer_at_power_up_is_left_to_the_heartbeats(tmp_path: Path) -> None:
    one = world(tmp_path)
    offer = one.publish()
    one.agent.power_up()
    one.agent.wait()
    assert len(one.far.heard) == 1
    assert one.far.told == []
    assert one.agent.machine.step is Step.IDLE
    riding(one, offer, count=9)
    for _ in range(60):
        one.agent.wait()
    assert one.holds(NEW)


def test_a_power_cut_at_any_heartbeat_costs_nothing(tmp_path: Path) -> None:
    one = world(tmp_path)
    one.agent.power_up()
    offer = one.publish()
    far = riding(one, offer, count=7)
    for _ in range(400):
        beats_before = one.far.beats
        for _ in range(5):
            if one.far.beats == beats_before and not one.holds(NEW):
                one.agent.wait()
        if one.holds(NEW):
            break
        one.power()
        one.agent.power_up()
    assert one.holds(NEW)
    assert set(far.sent.values()) == {1}


def test_a_dead_line_is_only_a_missed_heartbeat(tmp_path: Path) -> None:
    one = world(tmp_path)
    one.agent.power_up()
    far = riding(one, one.publish(), count=3)
    beats(one, 3)
    one.carrier.line.left = 0
    for _ in range(5):
        one.agent.wait()
    assert one.agent.machine.step is Step.IDLE
    one.carrier.line.mend()
    for _ in range(300):
        if not one.holds(NEW):
            one.agent.wait()
    assert one.holds(NEW)
    assert set(far.sent.values()) == {1}


@dataclass
class Line:
    """A line of this rate and latency; time passes only on it."""

    far: Far
    rate: float
    latency: float = 1.2
    at: float = 0.0
    period: float = 60.0
    dead: bool = False

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor("line", 0xFFFF, "dynamic", False, False)

    def beat(self, state: bytes) -> bytes:
        if self.dead:
            raise LinkError("dead", "", "")
        told = trickle.decode_state(state)
        share = 0.05 * trickle.rate_of(told.link) * self.period / self.far.piece
        self.far.count = max(1, int(share))
        answer = self.far.answer(state)
        self.at += self.latency + len(answer) / self.rate
        return answer


def test_the_number_of_pieces_goes_up_and_down_with_the_line() -> None:
    """B9: 9.6, 96, 9.6 kbit/s in one run."""
    far = Far(data(2, 3_000_000), piece=200)
    line = Line(far, 1200.0)
    heart = Heart(line, Session(Ram(1 << 22)), 60.0, watch=lambda: line.at)
    seen: dict[str, int] = {}
    for name, rate in (("narrow", 1200.0), ("wide", 12_000.0), ("narrow again", 1200.0)):
        line.rate = rate
        for beat in range(40):
            heart.beat(60.0 * beat)
        seen[name] = far.count
    assert 12 <= seen["narrow"] <= 20  # 5 % of 72,000 bytes are 18 pieces
    assert seen["wide"] >= 5 * seen["narrow"]
    assert seen["narrow again"] <= 25


def test_a_rise_of_the_round_trip_halves_the_rate_and_a_slower_network_is_learnt() -> None:
    spare = Spare()
    for _ in range(10):
        spare = spare.heard(2000, 1.0 + 2.0) if spare.floor else spare.heard(0, 1.0)
    assert spare.rate == pytest.approx(1000, rel=0.3)
    assert spare.heard(2000, 9.0).rate == spare.rate / 2
    for _ in range(200):
        spare = spare.heard(0, 2.0)
    assert spare.floor == pytest.approx(2.0)


def test_a_narrow_line_that_others_use_too_is_not_called_wide(seed: int) -> None:
    """96 kbit/s, answers delayed by chance, the first one most of all: on average the share of the line is kept."""
    rng = random.Random(seed)
    carried = beats = 0
    for _ in range(40):
        spare = Spare()
        for beat in range(1, 131):
            count = 0 if beat in EARLY or beat % MEASURE == 2 else max(1, int(0.05 * spare.rate * 0.53 / 200))
            waited = rng.expovariate(1 / 0.008) + (0.02 if beat <= 2 else 0)
            spare = spare.heard(count * 200, 0.13 + count * 200 / 12_000 + waited)
            carried, beats = carried + min(count, 5), beats + 1
    assert carried * 200 / (beats * 0.53 * 12_000) <= 0.05


@pytest.mark.parametrize("waited", [0.0, 0.2, 0.5, 2.0])
def test_an_empty_answer_that_was_slow_does_not_make_a_narrow_line_look_wide(waited: float) -> None:
    """9.6 kbit/s: the first measurement waited for something else, so that answers with pieces are quicker than it."""
    spare, counts = Spare(), []
    for beat in range(1, 40):
        count = 0 if beat in EARLY else max(1, int(0.05 * spare.rate * 5.0 / 200))
        counts.append(count)
        spare = spare.heard(count * 200, 1.2 + count * 200 / 1200 + (waited if beat == 2 else 0.0))
    assert max(counts) == 1
    assert spare.rate == pytest.approx(1200)


@dataclass
class Narrow(Line):
    """Answers have room for five pieces."""

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor("line", 1008, "dynamic", False, False)


def hurried(least: float, rate: float, size: int = 40_000) -> tuple[list[float], Heart, Narrow]:
    """The seconds between heartbeats until the file is complete and three more came; the server reckons as it does."""
    far = Far(data(2, size), piece=200)
    line = Narrow(far, rate, latency=0.2)
    heart = Heart(line, Session(Ram(1 << 22)), 600.0, watch=lambda: line.at)
    heart.least = least
    waits: list[float] = []
    now, after = 0.0, 0
    while after < 3:
        line.period = waits[-1] if waits else 600.0
        heart.beat(now)
        far.count = min(far.count, 5)
        after += heart.session.active is not None and heart.session.active.done
        waits.append(heart.due - now)
        now = heart.due
    return waits, heart, line


def test_the_period_is_the_operators_unless_he_allows_a_shorter_one() -> None:
    waits, _, _ = hurried(0.0, 1e6)
    assert set(waits) == {600.0}


def test_where_room_is_the_limit_the_period_goes_down_to_the_bound_and_back_at_the_end() -> None:
    waits, _, _ = hurried(30.0, 1e6)
    assert min(waits) == 30.0
    assert waits[0] == 600.0, "nothing is known of the line yet"
    assert waits[-2:] == [600.0, 600.0], "nothing is under way any more"
    full = waits.index(30.0)
    assert len(waits[full:-3]) > 20
    assert set(waits[full:-3]) == {30.0}, "what only measures changes nothing"


def test_a_shorter_period_never_takes_more_of_the_line_than_its_share() -> None:
    """100 bytes a second to spare: five pieces are a twentieth of what it carries in 200 seconds."""
    waits, heart, _ = hurried(1.0, 100.0)
    assert heart.spare.rate == pytest.approx(100.0, rel=0.1)
    assert min(waits) >= 1000 / (0.05 * 110.0)
    waits, _, _ = hurried(1.0, 10.0)
    assert set(waits) == {600.0}, "it is the line that holds pieces back"


def test_a_line_that_is_dead_or_pressed_is_not_hurried() -> None:
    _, heart, line = hurried(30.0, 1e6, 400_000 // 8)
    heart = Heart(line, Session(Ram(1 << 22)), 600.0, watch=lambda: line.at)
    heart.least, line.far.count = 30.0, 5
    for beat in range(12):
        heart.beat(600.0 * beat)
    assert heart.due == 600.0 * 11 + 30.0
    others = heart.foreground = Others()
    others.told = 2.0
    heart.beat(9000.0)
    assert heart.due == 9600.0
    others.told = 1.0
    heart.beat(9600.0)
    assert heart.due == 9630.0
    line.dead = True
    heart.beat(9630.0)
    assert heart.due == 10230.0


class Others:
    """Other traffic whose round trips are told."""

    told = 1.0

    def rise(self) -> float:
        return self.told


def test_the_rate_is_halved_at_every_heartbeat_while_other_traffic_fares_worse() -> None:
    """T23, B11: down to one piece; and up again when it is over."""
    far = Far(bytes(8 << 20), piece=200)
    line = Line(far, 12_000.0)
    heart = Heart(line, Session(Ram(1 << 24)), 60.0, watch=lambda: line.at)
    others = heart.foreground = Others()
    for beat in range(40):
        heart.beat(60.0 * beat)
    free = far.count
    assert free >= 60
    others.told = 1.3
    counts = []
    for beat in range(40, 55):
        heart.beat(60.0 * beat)
        counts.append(far.count)
    assert counts[0] <= free / 2 + 10
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    others.told = 1.05
    for beat in range(55, 110):
        heart.beat(60.0 * beat)
    assert far.count >= 0.6 * free


@settings(max_examples=4)
@given(st.lists(st.tuples(st.sampled_from([1_200.0, 4_000.0, 12_000.0]), st.integers(70, 80)), min_size=1, max_size=3))
def test_on_any_line_the_share_is_bounded_once_it_was_measured(parts: list[tuple[float, int]]) -> None:
    """9.6 to 96 kbit/s and back, in any order: never above a twentieth of the line, but for the answers that teach it."""
    far = Far(bytes(12 << 20), piece=4096)
    line = Line(far, parts[0][0], period=600.0)
    heart = Heart(line, Session(Ram(1 << 24)), 600.0, watch=lambda: line.at)
    for rate, count in parts:
        line.rate = rate
        above = 0
        for beat in range(count):
            heart.beat(60.0 * beat)
            above += far.count * 4096 > max(4096.0, 0.05 * rate * 600.0 * 1.25)
        assert above <= 8, f"{above} answers took more than their share of {rate}"
        assert far.count * 4096 >= 0.5 * 0.05 * rate * 600.0
