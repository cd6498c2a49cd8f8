"""The machine of waves, every reachable state times every event; and waves on a real store: who is in, is told, counts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from neurath.errors import NothingToDo, RefusedError, UsageError
from neurath.server.delivery.calls import Offered, Sync
from neurath.server.fleet import (
    access,
    actions,
    progress,
    reach,
    recall,
    rollout,
    selection,
    spread,
    stop,
    target,
    telling,
    waves,
)
from neurath.server.fleet.rollout import Person, Plan
from neurath.server.fleet.terms import Terms
from neurath.server.fleet.waves import (
    AT_ONCE,
    DEFAULT,
    Abort,
    Again,
    Approve,
    Deny,
    Open,
    Pause,
    Policy,
    Retry,
    Size,
    Start,
    State,
    Tally,
    Waves,
)
from neurath.server.software import catalog
from neurath.server.store.tables import component as components
from neurath.wire.report import Phase, Report, Verdict
from tests.server.world import image

MOST = 3
POLICIES = [AT_ONCE, DEFAULT, Policy((Size(1), Size(2)), 1.0, 0.0), Policy((Size(share=0.5),), 0.5, 0.4), Policy((), 0.9, 0.5)]


def tallies():
    """Every way in which up to three terminals can stand."""
    for targets in range(MOST + 1):
        for admitted in range(targets + 1):
            for confirmed, failed, silent in itertools.product(range(admitted + 1), repeat=3):
                if confirmed + failed + silent <= admitted:
                    yield Tally(targets, admitted, confirmed, failed, silent)


PEOPLE = [Approve(MOST, "ann"), Approve(MOST, "ben"), Approve(MOST, ""), Deny("ben", "no")]
EVENTS = [Start(0), Start(MOST), Start(MOST, "ann"), *PEOPLE, Pause(), Abort(), Abort("bad"), Retry(), *tallies()]


def reachable(policy: Policy) -> set[Waves]:
    """Every state that any sequence of events leads to; moments do not matter here, so there is one."""
    found, edge = {Waves(policy)}, [Waves(policy)]
    while edge:
        state = edge.pop()
        for event in EVENTS:
            after, _ = state.handle(event, 0.0)
            if after not in found:
                found.add(after)
                edge.append(after)
    return found


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_every_state_takes_every_event_and_keeps_its_promises(policy: Policy) -> None:
    seen = reachable(policy)
    assert {one.state for one in seen} >= {State.DRAFT, State.RUNNING, State.PAUSED, State.ABORTED}
    for state, event in itertools.product(seen, EVENTS):
        after, acts = state.handle(event, 0.0)
        assert state.step <= after.step <= len(policy.waves)  # waves only open
        assert len(acts) <= 1
        if acts:
            assert after.state is State.RUNNING
            assert isinstance(event, Start | Tally | Retry)
        if acts == (Again(),):
            assert (after.bad, after.excused, after.why, after.step) == (0, 0, "", state.step)
            assert state.opened
        if isinstance(event, Tally) and state.state is not State.RUNNING:
            assert after == state  # what stands still is moved by a person only
        if isinstance(event, Tally) and event.admitted and acts and isinstance(acts[0], Open):
            bad = max(0, event.bad - state.excused)
            assert bad <= policy.halt * event.admitted  # no wave opens on top of failures
            assert event.confirmed >= policy.go_on * max(0, event.admitted - state.excused)
            assert acts[0].size is None or acts[0].size > event.admitted
        if state.state is State.ABORTED:
            assert after == state
        if after.state is State.HALTED:
            assert after.why


BEGIN, UNTIL = 10.0, 20.0
TERMS = [Terms(begin=BEGIN), Terms(approve=True), Terms(begin=BEGIN, until=UNTIL, approve=True), Terms(until=UNTIL)]
FEW = [event for event in EVENTS if not isinstance(event, Tally) or event.targets in (0, 2)]


def lives(policy: Policy):
    """Every (state, moment, event, next state, acts) of every life, as time goes from before its first moment to after its
    last."""
    edge, found = [(Waves(policy), 0.0)], {(Waves(policy), 0.0)}
    while edge:
        state, at = edge.pop()
        for event, now in itertools.product(FEW, [t for t in (0.0, 15.0, 25.0) if t >= at]):
            after, acts = state.handle(event, now)
            yield state, now, event, after, acts
            if (after, now) not in found:
                found.add((after, now))
                edge.append((after, now))


@pytest.mark.parametrize("terms", TERMS, ids=str)
def test_no_life_of_a_rollout_breaks_its_terms(terms: Terms) -> None:
    policy = Policy((Size(1),), 1.0, 0.5, terms=terms)
    seen = set()
    for state, now, event, after, acts in lives(policy):
        seen.add(after.state)
        if any(isinstance(act, Open) for act in acts):
            # Nothing is opened before its first moment, nor on one person's word where two are needed.
            assert terms.begin is None or now >= terms.begin
            assert not terms.approve or (after.approver and after.author and after.approver != after.author)
        if isinstance(event, Tally) and terms.until is not None and now >= terms.until:
            assert after.state in (State.ABORTED, State.DRAFT)  # whatever it was doing
        if after.state is State.RUNNING and state.state is not State.RUNNING:
            assert after.opened
            assert isinstance(event, Start | Approve | Retry) or state.state is State.SCHEDULED
        if after.state is State.WAITING and state.state is not State.WAITING:
            assert isinstance(event, Start)
            assert terms.approve
        if isinstance(event, Approve) and (state.state is not State.WAITING or event.by in ("", state.author)):
            assert after == state
        if isinstance(event, Abort):
            assert after.state is State.ABORTED
        if state.state is State.ABORTED:
            assert (after, acts) == (state, ())
    wanted = {State.RUNNING, State.PAUSED, State.HALTED, State.ABORTED}
    wanted |= {State.SCHEDULED} if terms.begin is not None else set()
    wanted |= {State.WAITING, State.DRAFT} if terms.approve else set()
    assert seen >= wanted


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_no_wave_is_stuck_once_everybody_has_a_verdict_or_ran_out_of_patience(policy: Policy) -> None:
    for state in reachable(policy):
        for tally in tallies():
            if state.state is State.RUNNING and tally.admitted and tally.confirmed + tally.bad == tally.admitted:
                after, acts = state.handle(tally, 0.0)
                assert acts or after.state is State.HALTED or state.last


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_person_who_goes_on_after_a_halt_is_not_halted_by_the_same_failures(policy: Policy) -> None:
    for state in reachable(policy):
        if state.state is State.RUNNING:
            for tally in tallies():
                halted, _ = state.handle(tally, 5.0)
                if halted.state is State.HALTED:
                    again, acts = halted.handle(Start(tally.targets), 9.0)
                    assert (again.state, acts) == (State.RUNNING, ())
                    once_more, _ = again.handle(tally, 9.0)
                    assert once_more.state is State.RUNNING or "only" in once_more.why


def test_time_at_a_standstill_is_no_time() -> None:
    running, _ = Waves(DEFAULT).handle(Start(100), 1000.0)
    assert running.opened == ((0, 1000.0),)
    paused, _ = running.handle(Pause(), 1600.0)
    resumed, _ = paused.handle(Start(100), 5000.0)
    assert resumed.opened == ((0, 4400.0),)  # 600 s of patience are used up, as they were


def test_waves_nobody_was_there_for_are_opened_to_those_who_come() -> None:
    running, acts = Waves(DEFAULT).handle(Start(0), 0.0)
    assert acts == (Open(1),)
    assert running.handle(Tally(0, 0, 0, 0, 0), 5.0) == (running, ())
    after, acts = running.handle(Tally(40, 0, 0, 0, 0), 9.0)
    assert (after.step, after.opened, acts) == (0, ((0, 9.0),), (Open(2),))


@pytest.mark.parametrize(
    "text",
    [
        "at-once window=mon,tue,22:00-04:00,Europe/Berlin window=daily,00:00-24:00,terminal confirm=yes",
        "at-once urgency=soft:2026-11-22T03:00:00Z from=2026-11-22T03:00:00Z until=2026-12-01T00:00:00Z approve=yes",
        "waves=5% go-on=90% halt=10% patience=1d urgency=download-only",
        "at-once",
        "waves=5% go-on=90% halt=10% patience=1d",
        "waves=10,33.3%,400 go-on=0% halt=2.5% patience=90m",
    ],
)
def test_a_policy_is_read_as_it_is_written(text: str) -> None:
    assert str(waves.policy(text)) == text
    assert waves.policy(str(waves.policy(text))) == waves.policy(text)


def test_the_default_has_a_first_wave_and_an_error_threshold() -> None:
    assert waves.policy("default") == DEFAULT
    assert DEFAULT.waves
    assert 0 < DEFAULT.halt < 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "waves=0",
        "waves=101%",
        "waves=5%,",
        "halt=10",
        "patience=5",
        "patience=0s",
        "waves=" + "1," * 16 + "1",
        "at-once window=",
        "at-once window=someday,10:00-11:00,UTC",
        "at-once window=mon,10:00-10:00,UTC",
        "at-once window=mon,25:00-26:00,UTC",
        "at-once window=mon,10:00-24:30,UTC",
        "at-once window=mon,10:60-11:00,UTC",
        "at-once window=mon,10:00-11:00,Nowhere/Land",
        "at-once window=mon,10:00-11:00,../etc/passwd",
        "at-once from=tomorrow",
        "at-once from=2026-11-22T03:00",
        "at-once urgency=later",
        "at-once urgency=forced:2026-11-22T03:00Z",
        "at-once approve=perhaps",
        "at-once nothing=1",
        "at-once" + " window=mon,10:00-11:00,UTC" * 15,
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        waves.policy(text)


# ---- on a store ------------------------------------------------------------------------------------------------------


class Fleet:
    """Terminals of one model, a release, and a rollout of it."""

    def __init__(self, world, count: int, policy: str, start: str = "", **more) -> None:
        self.world = world
        self.terminals = [world.terminal(f"t{n:03}") for n in range(count)]
        self.old, self.new = world.release("1", image(1), 1), world.release("2", image(2), 2)
        with world.store.write() as db:
            made = rollout.create(db, Plan(self.new, None, policy=waves.policy(policy), **more), world.now)
            self.number = rollout.move(db, made.id, "start", world.now, Person(start)).id

    def found(self):
        with self.world.store.read() as db:
            return rollout.find(db, self.number)

    def tally(self):
        with self.world.store.read() as db:
            return rollout.tally(db, self.found(), self.world.now)

    def admitted(self):
        with self.world.store.read() as db:
            return [one for one in self.terminals if selection.select_release(db, one, "firmware") is not None]

    def told(self) -> set[str]:
        with self.world.store.read() as db:
            return {one.channel.partition("/")[2] for one in telling.lacking(db, self.found())}

    def command(self, word: str, by: str = "", why: str = ""):
        with self.world.store.write() as db:
            return rollout.move(db, self.number, word, self.world.now, Person(by, why))

    def ends(self, terminal, verdict: Verdict) -> None:
        """Checks in, takes the offer, and ends so."""
        world = self.world
        offer = world.delivery.check(terminal, world.says(image(1)), world.now)
        assert offer is not None
        with world.store.read() as db:
            action = actions.by_id(db, int(offer.action))
        phase = Phase.UPDATED if verdict is Verdict.CONFIRMED else Phase.FAILED
        bank = bytes.fromhex(self.new.image) if verdict is Verdict.CONFIRMED else b""
        word = Report(offer.action, phase, verdict, done=offer.size, secured=offer.size, bank=bank, reason="so")
        world.delivery.reported(action, word, world.now)

    def advance(self) -> bool:
        return rollout.advance(self.world.store, self.world.now)


def test_the_first_wave_gets_it_the_others_when_it_succeeded(world) -> None:
    fleet = Fleet(world, 20, "waves=10%,50% go-on=100% halt=0% patience=1h")
    first = fleet.admitted()
    assert len(first) == 2
    assert {str(one.id) for one in first} == fleet.told()
    fleet.ends(first[0], Verdict.CONFIRMED)
    assert not fleet.advance()
    assert fleet.told() == {str(first[1].id)}  # exactly those that lack it
    fleet.ends(first[1], Verdict.CONFIRMED)
    assert fleet.advance()
    assert len(fleet.admitted()) == 10
    inside = fleet.admitted()
    assert all(one in inside for one in first)
    for one in inside:
        if one not in first:
            fleet.ends(one, Verdict.CONFIRMED)
    assert fleet.advance()
    assert len(fleet.admitted()) == 20
    assert fleet.tally() == Tally(20, 20, 10, 0, 0)
    assert not fleet.advance()


def test_failures_above_the_threshold_halt_it_and_a_person_goes_on(world) -> None:
    fleet = Fleet(world, 20, "waves=4 go-on=75% halt=25% patience=1h")
    first = fleet.admitted()
    fleet.ends(first[0], Verdict.FAILED)
    fleet.advance()
    assert fleet.found().state == "running"
    fleet.ends(first[1], Verdict.FAILED)
    fleet.advance()
    found = fleet.found()
    assert (found.state, found.why) == ("halted", "wave 1: 2 of 4 failed")
    assert fleet.admitted() == []  # what is halted is offered to nobody
    with world.store.read() as db:
        shown = spread.rollouts(db, world.now)[0]
    assert (shown.state, shown.wave, shown.waves, shown.targets, shown.admitted, shown.failed) == ("halted", 1, 2, 20, 4, 2)
    fleet.command("resume")
    fleet.advance()
    assert fleet.found().state == "running"
    assert fleet.admitted() == first


def test_the_silent_count_as_failed_when_their_patience_is_over(world) -> None:
    fleet = Fleet(world, 10, "waves=5 go-on=80% halt=20% patience=1h")
    first = fleet.admitted()
    for one in first[:3]:
        fleet.ends(one, Verdict.CONFIRMED)
    world.now += 3599
    fleet.advance()
    assert fleet.found().state == "running"
    world.now += 2
    fleet.advance()
    assert (fleet.found().state, fleet.found().why) == ("halted", "wave 1: 2 of 5 failed, 2 of them silent")


def test_a_pause_stops_the_clock_of_the_silent(world) -> None:
    fleet = Fleet(world, 10, "waves=5 go-on=80% halt=20% patience=1h")
    world.now += 3000
    fleet.command("pause")
    with pytest.raises(NothingToDo):
        fleet.command("pause")
    assert fleet.admitted() == []
    world.now += 100_000
    fleet.command("resume")
    assert len(fleet.admitted()) == 5
    assert fleet.tally().silent == 0
    world.now += 601
    assert fleet.tally().silent == 5


def test_who_comes_late_joins_the_wave_that_its_draw_is_in_and_has_its_own_patience(world) -> None:
    fleet = Fleet(world, 40, "waves=50% go-on=80% halt=20% patience=1h")
    assert len(fleet.admitted()) == 20
    world.now += 3500
    late = [world.terminal(f"late{n:02}") for n in range(40)]
    fleet.terminals += late
    inside = [one for one in fleet.admitted() if one in late]
    assert 15 <= len(inside) <= 25  # an even share of them
    world.now += 200
    assert fleet.tally().silent == 20
    with world.store.write() as db:
        course = rollout.course(db, fleet.found())
        assert all(reach.admits(db, course, one.n) == (one in inside) for one in late)


def test_a_wave_opened_to_nobody_waits_for_the_first_terminals(world) -> None:
    fleet = Fleet(world, 0, "waves=2 go-on=80% halt=20% patience=1h")
    fleet.terminals = [world.terminal(f"t{n}") for n in range(10)]
    assert fleet.admitted() == []
    assert fleet.advance()
    assert len(fleet.admitted()) == 2


def test_what_a_pin_or_a_newer_release_took_elsewhere_does_not_count(world) -> None:
    fleet = Fleet(world, 6, "waves=none go-on=90% halt=50% patience=1h")
    newer = world.release("3", image(3), 3)
    with world.store.write() as db:
        rollout.pin(db, fleet.terminals[0], fleet.old, "firmware")
        rollout.pin(db, fleet.terminals[1], newer, "firmware")
    assert fleet.tally().targets == 4
    world.start(newer, fleet.terminals[2])
    world.delivery.check(fleet.terminals[2], world.says(image(1)), world.now)
    assert fleet.tally().targets == 3


def test_a_bank_that_runs_it_counts_as_confirmed_whoever_brought_it(world) -> None:
    fleet = Fleet(world, 4, "waves=1 go-on=100% halt=0% patience=1h")
    (first,) = fleet.admitted()
    world.delivery.check(first, world.says(image(2), sequence=2), world.now)
    assert fleet.tally() == Tally(4, 1, 1, 0, 0)
    assert fleet.told() == set()


def test_each_rollout_tries_others_first(world) -> None:
    everybody = [world.terminal(f"x{n}") for n in range(20)]
    firsts = []
    for number in range(1, 4):
        made = world.release(f"{number}", image(number), number)
        with world.store.write() as db:
            one = rollout.create(db, Plan(made, None, policy=waves.policy("waves=2")), 0.0)
            course = rollout.course(db, rollout.move(db, one.id, "start", 0.0))
            firsts.append({t.n for t in everybody if reach.admits(db, course, t.n)})
    assert [len(one) for one in firsts] == [2, 2, 2]
    assert len(set.union(*firsts)) > 3


def test_a_rollout_that_a_second_person_has_to_approve_reaches_nobody_before(world) -> None:
    fleet = Fleet(world, 4, "at-once approve=yes", start="ann")
    assert (fleet.found().state, fleet.admitted()) == ("waiting", [])
    for name in ("ann", ""):
        with pytest.raises(RefusedError, match="second person"):
            fleet.command("approve", name)
    fleet.command("deny", "ben", "not on a Friday")
    assert (fleet.found().state, fleet.found().why) == ("draft", "ben says no: not on a Friday")
    fleet.command("start", "ann")
    found = fleet.command("approve", "ben")
    assert (found.state, found.author, found.approver) == ("running", "ann", "ben")
    assert len(fleet.admitted()) == 4
    with pytest.raises(NothingToDo):
        fleet.command("approve", "cid")


def test_a_rollout_begins_and_ends_at_its_moments(world) -> None:
    moments = "from=1970-01-01T01:00Z until=1970-01-01T02:00Z"
    fleet = Fleet(world, 4, f"at-once {moments}")  # the world's clock says 1000
    assert (fleet.found().state, fleet.admitted(), fleet.advance()) == ("scheduled", [], False)
    world.now = 3600.0
    assert fleet.advance()  # somebody has to be told
    assert (fleet.found().state, fleet.found().started) == ("running", 3600.0)
    assert len(fleet.admitted()) == 4
    world.now = 7200.0
    assert world.delivery.check(fleet.terminals[0], world.says(image(1)), world.now) is None
    assert "ended" in world.delivery.why(fleet.terminals[0], "firmware", world.now)
    assert not fleet.advance()
    assert (fleet.found().state, fleet.found().why, fleet.found().ended) == ("aborted", "its time is over", 7200.0)


def test_who_failed_is_tried_again_at_once_and_only_he(world) -> None:
    fleet = Fleet(world, 10, "waves=4 go-on=75% halt=25% patience=1h")
    first = fleet.admitted()
    fleet.ends(first[0], Verdict.FAILED)
    fleet.ends(first[1], Verdict.REFUSED)
    fleet.ends(first[2], Verdict.CONFIRMED)
    fleet.advance()
    assert fleet.found().state == "halted"
    world.now += 30  # less than the back-off of a minute
    fleet.command("retry")
    assert fleet.found().state == "running"
    assert fleet.tally() == Tally(10, 4, 1, 0, 0)
    assert fleet.told() == {str(one.id) for one in first if one is not first[2]}
    for one in first[:2]:
        fleet.ends(one, Verdict.CONFIRMED)  # no back-off holds them up
    fleet.advance()
    assert len(fleet.admitted()) == 10
    with world.store.read() as db:
        opened = [at for _, at in rollout.course(db, fleet.found()).opened]
    assert min(opened) == world.now  # everybody has all his time again


def test_patience_runs_in_the_hours_of_the_window_only(world) -> None:
    fleet = Fleet(world, 2, "waves=2 halt=0% patience=1h window=daily,12:00-13:30,UTC")
    world.now = 11 * 3600.0
    assert fleet.tally().silent == 0  # nobody could have
    world.now = 13 * 3600.0 + 1
    assert fleet.tally().silent == 2


def test_a_revoked_release_is_given_to_nobody_from_one_write_on_but_to_who_was_torn(world) -> None:
    fleet = Fleet(world, 3, "at-once")
    torn, busy, pinned = fleet.terminals
    offers = [world.delivery.check(one, world.says(image(1)), world.now) for one in (torn, busy)]
    with world.store.write() as db:
        rollout.pin(db, pinned, fleet.new, "firmware")
    taken = []
    for offer in offers:
        with world.store.read() as db:
            action = actions.by_id(db, int(offer.action))
        world.delivery.reported(action, Report(offer.action, Phase.DOWNLOADING, secured=offer.size), world.now)
        with world.store.read() as db:
            taken.append(actions.by_id(db, action.id))
    states = [Sync(offer.file, 0) for offer in offers]
    assert all(world.delivery.answer(one, state, 200, world.now) for one, state in zip((torn, busy), states, strict=True))
    world.delivery.record(torn, world.says(b"half", open_file=offers[0].file[:16]), world.now)
    with world.store.write() as db:
        assert recall.revoke(db, fleet.new, world.now, Person("ann", "it burns")) == [fleet.number]
    assert world.delivery.answer(busy, states[1], 200, world.now) == b""
    assert world.delivery.answer(torn, states[0], 200, world.now)
    assert [world.delivery.served(one, 0, 1, world.now) for one in taken] == [True, False]
    assert isinstance(world.delivery.decide(torn, "firmware", world.now), Offered)
    for one in (busy, pinned):
        assert world.delivery.check(one, world.says(image(1)), world.now) is None
    assert (fleet.found().state, fleet.found().why) == ("aborted", "phone/2 was revoked: it burns")
    with world.store.read() as db:
        again = catalog.find_release(db, "phone/2")
        assert progress.shown(db, pinned.n)[0].pin is None  # free for what other rollouts give
    assert again.revoked_why == "it burns"
    with pytest.raises(NothingToDo), world.store.write() as db:
        recall.revoke(db, again, world.now)
    with pytest.raises(RefusedError), world.store.write() as db:
        rollout.pin(db, busy, again, "firmware")


def test_one_switch_stops_everything_and_puts_it_back(world) -> None:
    fleet = Fleet(world, 3, "at-once")
    torn, busy, pinned = fleet.terminals
    offer = world.delivery.check(torn, world.says(image(1)), world.now)
    world.delivery.check(busy, world.says(image(1)), world.now)
    with world.store.write() as db:
        rollout.pin(db, pinned, fleet.new, "firmware")
    world.delivery.record(torn, world.says(b"half", open_file=offer.file[:16]), world.now)
    with world.store.write() as db:
        mark = telling.notices_since(db, 0)[0]
        stop.stop(db, stop.Stop(world.now, "ann", "smoke"))
        with pytest.raises(NothingToDo):
            stop.stop(db, stop.Stop(world.now))
    with world.store.read() as db:
        told = {one.n for one in telling.notices_since(db, mark)[1]}
    assert told == {torn.n, busy.n}  # those who hold an offer, and not the whole fleet
    assert isinstance(world.delivery.decide(torn, "firmware", world.now), Offered)
    for one in (busy, pinned):
        assert world.delivery.check(one, world.says(image(1)), world.now) is None
        assert "everything is stopped by ann" in world.delivery.why(one, "firmware", world.now)
    with world.store.write() as db:
        stop.go_on(db)
        with pytest.raises(NothingToDo):
            stop.go_on(db)
    for one in (busy, pinned):
        assert world.delivery.check(one, world.says(image(1)), world.now) is not None


def test_commands_that_do_not_fit_are_refused(world) -> None:
    fleet = Fleet(world, 1, "default")
    with pytest.raises(NothingToDo):
        fleet.command("start")
    fleet.command("abort")
    for word in ("start", "resume", "pause"):
        with pytest.raises(RefusedError):
            fleet.command(word)


def test_the_draw_is_the_same_in_both_languages_and_even(world) -> None:
    some = [world.terminal(f"t{n}") for n in range(50)]
    from sqlalchemy import select

    with world.store.read() as db:
        for number in (1, 7, 5000):
            rows = db.execute(select(reach.terminals.c.n, reach._drawn(number).label("draw"))).all()
            assert {row.n: row.draw for row in rows} == {one.n: reach.draw(number, one.n) for one in some}
    for number in (1, 2, 3, 99):
        draws = sorted(reach.draw(number, n) for n in range(1, 1001))
        assert max(b - a for a, b in itertools.pairwise(draws)) < 4 * reach.OPEN / 1000


# ---- target filters ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tagged(world):
    with world.store.write() as db:
        for n, (site, tags) in enumerate([("osaka", {"field"}), ("osaka", {"lab"}), ("nara", {"field", "beta"}), ("", set())]):
            one = world_terminal(db, f"G-{n}")
            access.configure(db, one, {"site": site, "neurath.model": "phone", "a b": "it's"} if site else {}, 1.0)
            access.tag(db, one, tags, set())
            db.execute(components.insert().values(terminal=one.n, name="firmware", ram=16384 * n))
    return world


def world_terminal(db, name: str):
    access.register(db, access.Enrolment(name, "phone"), 1.0)
    return access.find(db, name)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("", "0123"),
        ("tag:field", "02"),
        ("tag:fiel", ""),
        ("site=osaka", "01"),
        ("site!=osaka", "23"),
        ("site~*a*", "012"),
        ("id:G-[12]", "12"),
        ("not tag:field", "13"),
        ("lends:32K", "23"),
        ("lends:32769", "3"),
        ("lends:1M", ""),
        ("not lends:16K and tag:field", "0"),
        ("tag:field and site=osaka or tag:lab", "01"),
        ("tag:field and (site=osaka or tag:beta)", "02"),
        ("not (site=osaka or site=nara)", "3"),
        ('site="osaka"', "01"),
        ('site="osaka" and id:"G-0"', "0"),
        ("site=' OR 1=1 --", ""),
        ("absent=", "0123"),
    ],
)
def test_a_target_filter_names_its_terminals(tagged, text: str, who: str) -> None:
    from sqlalchemy import select

    with tagged.store.read() as db:
        try:
            rows = db.scalars(select(reach.terminals.c.id).where(target.clause(text)).order_by(reach.terminals.c.id))
        except UsageError:
            assert "OR" in text  # words that are no test are refused, not passed on
            return
        assert "".join(str(one)[2:] for one in rows) == who


@pytest.mark.parametrize(
    "text",
    [
        "field", "and", "tag:", "(tag:a", "tag:a)", "tag:a tag:b", "not", "__import__('os')", 'site="open', "x" * 501,
        "lends:", "lends:9T", "lends:-1", "(" * 40 + "tag:a" + ")" * 40, "not " * 40 + "tag:a", 'a"b=1', "tag:a\x00",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        target.clause(text)


def test_a_rollout_with_a_filter_goes_to_those_it_names_then_and_later(tagged) -> None:
    fleet = Fleet(tagged, 0, "at-once", target="tag:field")
    with tagged.store.write() as db:
        fleet.terminals = access.all_terminals(db)
        assert [str(one.id) for one in fleet.admitted()] == ["G-0", "G-2"]
        access.tag(db, fleet.terminals[1], {"field"}, set())
        access.tag(db, fleet.terminals[0], set(), {"field"})
    assert [str(one.id) for one in fleet.admitted()] == ["G-1", "G-2"]
    assert replace(fleet.tally(), confirmed=0) == Tally(2, 2, 0, 0, 0)


def test_who_cannot_lend_enough_is_left_out_by_a_filter_and_counts_for_no_halt(tagged) -> None:
    fleet = Fleet(tagged, 0, "at-once", target="lends:32K")
    with tagged.store.write() as db:
        fleet.terminals = access.all_terminals(db)
        assert [str(one.id) for one in fleet.admitted()] == ["G-2", "G-3"]
    assert fleet.tally().targets == 2
