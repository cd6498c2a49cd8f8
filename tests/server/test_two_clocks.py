"""Two servers on one store whose clocks are an hour apart (fault 35): what happens is ordered by the store, and a terminal
that is served by the one and then by the other notices nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.fleet import actions, progress, rollout, standing, waves
from neurath.server.fleet.access import Terminal
from neurath.server.software.catalog import Release
from neurath.server.store import Store
from neurath.wire import ticket
from neurath.wire.report import Phase, Report, Verdict
from tests.contracts.delivery import NEW, OLD
from tests.server.world import AtOnce, Here, World, build, need, open_world

HOUR = 3600.0


class Pair:
    """Server A and server B; each call comes a second after the one before, to the other of the two."""

    def __init__(self, place: Path, ahead: float) -> None:
        self.a = open_world(place)
        store = Store(place)
        deltas = AtOnce(store, builder=build, pool=Here(), clock=lambda: 1000.0)
        self.b = World(store, Delivery(store, deltas, tickets.load_key(place), need))
        self.ahead = ahead
        self.true, self.turn = 1_800_000_000.0, 0
        self.serials: dict[str, list[int]] = {}

    def next(self) -> tuple[World, float]:
        """Who is asked now, and what that server's clock says."""
        self.turn += 1
        self.true += 1
        world = (self.a, self.b)[self.turn % 2]
        world.now = self.true + (self.ahead if world is self.a else -self.ahead)
        return world, world.now

    def checks_in(self, terminal: Terminal, bank: bytes, sequence: int) -> str:
        """The action it is offered, "" for none."""
        world, now = self.next()
        world.delivery.heard(terminal, "http", "192.0.2.1", now)
        offer = world.delivery.check(terminal, world.says(bank, sequence), now)
        world.delivery.flush()
        if offer is None:
            return ""
        serial = ticket.verify(offer.ticket, [world.delivery.key.public]).serial
        self.serials.setdefault(terminal.id, []).append(serial)
        return str(offer.action)

    def reports(self, terminal: Terminal, action: str, phase: Phase, verdict: Verdict = Verdict.PENDING) -> None:
        world, now = self.next()
        with world.store.read() as db:
            found = actions.of_terminal(db, terminal.n, action)
        world.delivery.reported(found, Report(action, phase, verdict), now)


def story(place: Path, ahead: float) -> tuple[Pair, list[tuple[str, str, str]]]:
    """Two waves of two terminals: each is offered the release anew and anew, by both servers in turn, and ends on it."""
    pair = Pair(place, ahead)
    one, two = (pair.a.release(version, data, n) for n, (version, data) in enumerate((("1.0", OLD), ("1.1", NEW)), start=1))
    assert one.id != two.id
    phones = [pair.a.terminal(f"t{n}") for n in range(4)]
    pair.next()
    made = _rolled_out(pair, two)
    updated: set[str] = set()
    for _ in range(2):
        for phone in phones:
            held = (NEW, 2) if phone.id in updated else (OLD, 1)
            seen = [action for _ in range(3) if (action := pair.checks_in(phone, *held))]
            if seen:
                assert len(set(seen)) == 1  # the same action, whoever is asked
                for phase in (Phase.DOWNLOADING, Phase.UPDATING):
                    pair.reports(phone, seen[0], phase)
                pair.reports(phone, seen[0], Phase.UPDATED, Verdict.CONFIRMED)
                updated.add(phone.id)
                assert pair.checks_in(phone, NEW, 2) == ""
        world, now = pair.next()
        rollout.advance(world.store, now)
    with pair.b.store.read() as db:
        told = [(phone.id, line.kind, line.text) for phone in phones for line in progress.timeline(db, phone.n)]
        state = rollout.find(db, made).state
    return pair, [*told, ("rollout", state, "")]


def _rolled_out(pair: Pair, release: Release) -> int:
    world, now = pair.next()
    with world.store.write() as db:
        rule = waves.policy("waves=2,2 go-on=100% halt=1% patience=1d")
        made = rollout.create(db, rollout.Plan(release, None, 60.0, rule), now)
        rollout.move(db, made.id, "start", now)
    return int(made.id)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_the_servers_clocks_are_an_hour_apart_and_everything_happens_in_the_order_it_happened(
    tmp_path: Path, ahead: float
) -> None:
    agreed, plain = story(tmp_path / "agreed", 0.0)
    apart, told = story(tmp_path / "apart", ahead)
    assert told == plain
    assert {name: len(one) for name, one in apart.serials.items()} == {name: len(one) for name, one in agreed.serials.items()}
    assert all(len(one) == 3 for one in apart.serials.values())
    for one in apart.serials.values():
        assert one == sorted(set(one)), "a terminal would refuse a ticket whose serial fell"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_terminal_that_a_station_put_back_is_offered_the_release_again_whichever_clock_it_meets(
    tmp_path: Path, ahead: float
) -> None:
    pair = Pair(tmp_path, ahead)
    pair.a.release("1.0", OLD, 1)
    new = pair.a.release("1.1", NEW, 2)
    phone = pair.a.terminal("t1")
    pair.next()
    _rolled_out(pair, new)
    first = pair.checks_in(phone, OLD, 1)
    assert first
    while (pair.turn + 1) % 2:  # the verdict comes to server A
        pair.next()
    world, now = pair.next()
    with world.store.read() as db:
        found = actions.of_terminal(db, phone.n, first)
    world.delivery.reported(found, Report(first, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(NEW).digest()), now)
    with pair.b.store.read() as db:
        seen = standing.read(db, phone, "firmware")
    assert "runs 1.1 already" in standing.obstacle(seen, pair.true)  # it said so after its last check-in
    assert pair.checks_in(phone, OLD, 1)  # to server B: its bank was written over the wire
