"""The machine explored whole: every state that any sequence of events can reach, times every event, under its invariants."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

from neurath.ids import Version
from neurath.terminal import machine as machine_module
from neurath.terminal.machine import MAX_PROOFS, Machine, Policy, Step
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import FLASH, OPENS, Do, Fate, Tell, Weight
from neurath.wire.offer import Kind, Offer
from neurath.wire.report import Phase, Verdict

DAY = 86400.0
OFFERS = tuple(Offer(Kind.DELTA, bytes([n]) * 32, 2, 3, bytes([n]) * 8, b"t", Version(str(n)), action=str(n)) for n in (1, 2))
PLAN = ev.OpenPlan(b"f" * 16, 2)
EVENTS: tuple[ev.Event, ...] = (
    ev.PoweredUp(Fate.BOOT),
    ev.PoweredUp(Fate.BOOT, candidate=True),
    ev.PoweredUp(Fate.BOOT, candidate=True, action="1"),
    ev.PoweredUp(Fate.BOOT, candidate=True, action="1", waits=True),
    ev.PoweredUp(Fate.FETCH, plan=PLAN),
    ev.PoweredUp(Fate.BOOT, action="1", back="its health check failed"),
    ev.PoweredUp(Fate.RESTORE, action="1"),
    ev.Notice(),
    *(ev.Offered(offer) for offer in OFFERS),
    ev.NothingNewer(),
    ev.NothingNewer(1.0),
    ev.LinkLost(),
    ev.LinkRefused("no"),
    ev.Weighed(Weight.ACCEPTED),
    ev.Weighed(Weight.INSTALLED),
    ev.Weighed(Weight.REFUSED, "below the floor"),
    ev.Secured(3),
    ev.Short(1),
    ev.MayInstall(),
    ev.MayNot("in use", ask=True, until=8.0),
    ev.MayNot("in use", until=8.0),
    ev.Answered(True),
    ev.Answered(False),
    ev.UseEnded(),
    ev.Received(1),
    ev.Complete(),
    ev.FileGood(),
    ev.FileBad("digest"),
    ev.Proved(),
    ev.NotProved(1, "leaves"),
    ev.NotProved(MAX_PROOFS, "leaves"),
    ev.Ready(),
    ev.NotReady("power low"),
    ev.Go(),
    ev.Stop("withdrawn"),
    ev.NoWord(),
    ev.Rewritten(),
    ev.RewriteRefused("log full"),
    ev.RewriteStopped("a leaf differs"),
    ev.RewriteFailed("stuck bits"),
    ev.Judged(True),
    ev.Judged(False),
    ev.SelfTested(True),
    ev.SelfTested(False),
    ev.Confirmed(),
    ev.NotConfirmed("log"),
    ev.Told(),
    ev.Found(True),
    ev.Found(False),
    ev.WireSpeaks(),
    ev.Restored(),
    ev.MayFetch(),
    ev.MayNotFetch("12 kB/s", until=8.0),
    ev.Paused(8.0),
    ev.RolledBack("its health check failed"),
)
#: Times at which Tick is tried: nothing is due yet, the next thing is due, everything is.
TICKS = (0.0, 8.0, 64.0)


class Passed:
    """What has truly happened since the last power-up or the last offer, as bits: the observer beside the machine."""

    NOTHING = 0
    WEIGHED = 1 << 0
    SECURED = 1 << 1
    ALLOWED = 1 << 2
    TOLD = 1 << 3  # the report "secured n bytes"
    FILE = 1 << 4
    PROVED = 1 << 5
    READY = 1 << 6
    WORD = 1 << 7
    CONFIRMED = 1 << 8
    INSTALLED = 1 << 9
    STARTED = 1 << 10  # power-up asked for the file
    LINK = 1 << 11
    MEMORY = 1 << 12
    ROOM = 1 << 13  # the line had room for a download ahead


BEFORE_WRITING = Passed.WEIGHED | Passed.SECURED | Passed.ALLOWED | Passed.TOLD | Passed.FILE | Passed.PROVED | Passed.READY
SESSION = Passed.LINK | Passed.MEMORY

_SEEN: dict[type, int] = {
    ev.Secured: Passed.SECURED | Passed.MEMORY,
    ev.MayInstall: Passed.ALLOWED,
    ev.FileGood: Passed.FILE,
    ev.Proved: Passed.PROVED,
    ev.Ready: Passed.READY,
    ev.Go: Passed.WORD,
    ev.MayFetch: Passed.ROOM,
    ev.Confirmed: Passed.CONFIRMED,
}


def observe(seen: int, event: ev.Event, policy: Policy, consent: bool) -> int:
    match event:
        case ev.PoweredUp(fate=fate):
            return Passed.STARTED if fate is Fate.FETCH else Passed.NOTHING
        case ev.Offered():
            return seen & (SESSION | Passed.CONFIRMED | Passed.STARTED)
        case ev.Weighed(weight=Weight.ACCEPTED):
            return seen | Passed.WEIGHED
        case ev.Weighed(weight=Weight.INSTALLED):
            return seen | Passed.INSTALLED
        case ev.MayNot(ask=True) if consent:
            return seen | Passed.ALLOWED
        case ev.NoWord() if policy.go_when_silent:
            return seen | Passed.WORD
    return seen | _SEEN.get(type(event), Passed.NOTHING)


def obey(seen: int, actions: tuple[Do | Tell, ...], policy: Policy, event: ev.Event) -> int:
    """Carries out the actions beside the machine; every invariant on an action is asserted at that action."""
    for action in actions:
        assert not (isinstance(event, ev.LinkLost) and action in FLASH), "a lost link touches flash"
        match action:
            case Tell(verdict=Verdict.CONFIRMED):
                assert seen & (Passed.CONFIRMED | Passed.INSTALLED), "a verdict before judging"
            case Tell(secured=secured) if secured:
                seen |= Passed.TOLD
            case Do.FETCH | Do.RESCUE:
                permit_transfer(seen, action, policy)
            case Do.REWRITE | Do.RESUME:
                permit_writing(seen, action, policy)
            case Do.RETURN_MEMORY:
                # Another file may lie there by now: what was found out about this one is worth nothing.
                seen &= ~(Passed.MEMORY | Passed.SECURED | Passed.FILE | Passed.PROVED | Passed.READY)
            case Do.CLOSE_LINK:
                seen &= ~Passed.LINK
        if isinstance(action, Tell) or action in OPENS:
            seen |= Passed.LINK
    return seen


def permit_transfer(seen: int, action: Do, policy: Policy) -> None:
    assert seen & Passed.SECURED, "transfer asked before the memory was secured"
    if action is Do.RESCUE:
        assert seen & Passed.STARTED, "rescue without an open plan"
        return
    assert seen & Passed.TOLD, "transfer asked before the server knew of the secured memory"
    needed = Passed.ROOM if policy.ahead else Passed.ALLOWED
    assert seen & needed, "transfer asked before the gate"


def permit_writing(seen: int, action: Do, policy: Policy) -> None:
    assert not seen & Passed.LINK, "the link is open at the first erase"
    if action is Do.RESUME:
        assert seen & Passed.STARTED, "resume without an open plan"
        assert seen & Passed.FILE, "resume of a file whose digest nobody checked"
        return
    missing = BEFORE_WRITING & ~seen
    assert not missing, f"rewrite before {missing:b}"
    assert seen & Passed.WORD or not policy.ask_last, "rewrite without the last word"
    assert seen & Passed.MEMORY, "the staged file's memory was given away"


RESTS = (Step.IDLE, Step.WAITING_FOR_USER, Step.WAITING_FOR_USE_END, Step.WAITING_FOR_QUIET, Step.RESTORING)


def keep(state: Machine, seen: int) -> None:
    """What is true of every reachable state."""
    if state.step in RESTS or state.step is Step.DARK:
        assert not seen & Passed.MEMORY, f"memory is kept in {state.step.name}"
        assert state.secured == 0
    if state.step in (Step.IDLE, Step.PARKED, Step.PROVING, Step.READYING, Step.REWRITING, Step.JUDGING):
        assert not seen & Passed.LINK, f"the link is open in {state.step.name}"
    assert (state.offer is None) or (state.rescue is None)
    assert not (state.rescue and state.phase is Phase.IDLE)


@dataclass(frozen=True, slots=True)
class Node:
    state: Machine
    seen: int


def relative(state: Machine, now: float) -> Machine:
    """The same state with times counted from now, so that a state met again is known again."""
    left = max(0.0, state.avoid_until - now)
    return replace(state, due=max(0.0, state.due - now), avoid_until=left, avoid=state.avoid if left else b"")


def possible(event: ev.Event, node: Node) -> bool:
    """The world's own rules. Memory cannot be secured twice; the rest may come at any time, in any order."""
    return not (isinstance(event, ev.Secured) and node.state.step is not Step.RESERVING)


def steps(node: Node) -> Iterator[tuple[ev.Event, Node]]:
    timed = [(event, 0.0) for event in EVENTS] + [(ev.Tick(), at) for at in TICKS]
    for event, now in timed:
        if not possible(event, node):
            continue
        state, actions = node.state.handle(event, now)
        if state == node.state and not actions:
            # Ignored: nothing happened, so nothing was passed either.
            yield event, node
            continue
        consent = node.state.offer is not None and node.state.consent == node.state.offer.envelope
        seen = observe(node.seen, event, state.policy, consent)
        seen = obey(seen, actions, state.policy, event)
        state = relative(state, now)
        keep(state, seen)
        # What no later promise asks about is forgotten, so that equal moments are one node.
        if state.step is Step.IDLE:
            seen &= SESSION | Passed.CONFIRMED
        if state.rescue is None:
            seen &= ~Passed.STARTED
        if not state.action and state.offer is None:
            seen &= ~Passed.CONFIRMED
        yield event, Node(state, seen)


def explore(policy: Policy) -> dict[Node, set[Node]]:
    """Every node that is reachable, with those it leads to."""
    first = Node(Machine(policy), Passed.NOTHING)
    edges: dict[Node, set[Node]] = {}
    waiting = deque([first])
    while waiting:
        node = waiting.popleft()
        if node in edges:
            continue
        edges[node] = {after for _, after in steps(node)}
        waiting.extend(edges[node] - edges.keys())
        assert len(edges) < 200_000, "the state space is not bounded"
    return edges


@functools.cache
def explored(policy: Policy) -> dict[Node, set[Node]]:
    """The sound machine's graph, explored once."""
    return explore(policy)


POLICIES = [
    Policy(
        poll=4.0, retry=1.0, retry_most=2.0, back_off=16.0, ask_again=4.0, most_tries=1,
        ask_last=ask, go_when_silent=go, confirm_by_contact=contact, ahead=ahead,
    )
    for ask, go, contact, ahead in ((False, True, True, False), (True, False, False, False), (False, True, True, True))
]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES, ids=["plain", "ask-last", "ahead"])
def test_every_reachable_state_keeps_every_promise_at_every_event(policy: Policy) -> None:
    edges = explored(policy)
    met = {node.state.step for node in edges}
    off = (set() if policy.ask_last else {Step.LAST_WORD}) | (set() if policy.confirm_by_contact else {Step.CONTACTING})
    off |= set() if policy.ahead else {Step.ASKING_LINE, Step.WAITING_FOR_QUIET}
    assert met == set(Step) - off, f"never reached: {set(Step) - off - met}"
    # From everywhere there is a way back to rest: no state is a trap.
    back: dict[Node, set[Node]] = {}
    for node, afters in edges.items():
        for after in afters:
            back.setdefault(after, set()).add(node)
    safe = {node for node in edges if node.state.step is Step.IDLE}
    waiting = deque(safe)
    while waiting:
        for before in back.get(waiting.popleft(), ()):
            if before not in safe:
                safe.add(before)
                waiting.append(before)
    assert safe == edges.keys(), "a state from which rest cannot be reached"


def test_no_state_waits_for_ever_without_a_power_cut() -> None:
    """Every state has an event other than power that it acts on, except the two that wait for power alone."""
    for node in explored(POLICIES[1]):
        if node.state.step in (Step.DARK, Step.RESTARTING):
            continue
        heard = [after for event, after in steps(node) if not isinstance(event, ev.PoweredUp) and after != node]
        assert heard, node.state


BREAKS = {
    "the gate before the file digest is skipped": (Step.CHECKING_FILE, ev.FileBad, (Step.PROVING, (Do.REHEARSE,))),
    "the proof is not waited for": (Step.PROVING, ev.NotProved, (Step.READYING, (Do.CHECK_READY,))),
    "the link stays open": (Step.CHECKING_FILE, ev.FileGood, (Step.PROVING, (Do.REHEARSE,))),
    "the transfer comes before the memory": (Step.RESERVING, ev.Short, (Step.RECEIVING, (Do.FETCH,))),
    "a lost link gives up": (Step.RECEIVING, ev.LinkLost, (Step.RESTORING, (Do.GIVE_UP,))),
    "a lost link keeps the memory": (Step.WEIGHING, ev.LinkLost, (Step.IDLE, ())),
    "the verdict is assumed": (Step.REWRITING, ev.Rewritten, (Step.TELLING, (Tell(Phase.UPDATED, Verdict.CONFIRMED),))),
    "memory is kept at rest": (Step.ASKING, ev.MayNot, (Step.WAITING_FOR_USER, (Do.CLOSE_LINK,))),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_machine_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at, kind, (target, wrong) = BREAKS[name]
    sound = machine_module.HANDLERS[at]

    def broken(m: Machine, event: ev.Event, now: float) -> tuple[Machine, machine_module.Actions]:
        if isinstance(event, kind):
            return replace(m, step=target), wrong
        return sound(m, event, now)

    monkeypatch.setitem(machine_module.HANDLERS, at, broken)
    with pytest.raises(AssertionError):
        explore(POLICIES[0])


def run(state: Machine, *events: ev.Event, now: float = 0.0) -> tuple[Machine, list[Do | Tell]]:
    done: list[Do | Tell] = []
    for event in events:
        state, actions = state.handle(event, now)
        done.extend(actions)
    return state, done


STRAIGHT: tuple[ev.Event, ...] = (
    ev.PoweredUp(Fate.BOOT), ev.Tick(), ev.Offered(OFFERS[0]), ev.Weighed(Weight.ACCEPTED), ev.Secured(3), ev.MayInstall(),
    ev.Received(1), ev.Complete(), ev.FileGood(), ev.Proved(), ev.Ready(), ev.Rewritten(), ev.Judged(True),
    ev.PoweredUp(Fate.BOOT, candidate=True, action="1"), ev.SelfTested(True), ev.NothingNewer(), ev.Confirmed(), ev.Told(),
)  # fmt: skip


def test_the_straight_path_ends_confirmed_and_told() -> None:
    state, done = run(Machine(), *STRAIGHT)
    assert state.step is Step.IDLE
    assert done == [
        Do.CHECK_IN, Do.WEIGH, Do.RESERVE, Do.ASK_GATE, Tell(Phase.DOWNLOADING, secured=3), Do.FETCH, Do.CHECK_FILE,
        Tell(Phase.DOWNLOADED), Do.CLOSE_LINK, Do.REHEARSE, Do.CHECK_READY, Do.REWRITE, Do.JUDGE, Do.DROP_STAGED,
        Do.RETURN_MEMORY, Do.RESTART, Do.SELF_TEST, Do.CHECK_IN, Do.CONFIRM,
        Tell(Phase.UPDATED, Verdict.CONFIRMED, action="1"), Do.CLOSE_LINK, Do.RETURN_MEMORY,
    ]  # fmt: skip


def test_without_an_update_the_session_ends_at_once() -> None:
    state, done = run(Machine(), ev.PoweredUp(Fate.BOOT), ev.Tick(), ev.NothingNewer(60.0))
    assert done == [Do.CHECK_IN, Do.CLOSE_LINK]
    assert (state.step, state.due) == (Step.IDLE, 60.0)


def test_a_terminal_that_cannot_lend_says_by_how_much_and_keeps_running() -> None:
    state, done = run(Machine(), *STRAIGHT[:4], ev.Short(1234), ev.Told())
    assert Tell(Phase.FAILED, Verdict.REFUSED, "cannot lend the memory: short by 1234 bytes") in done
    assert state.step is Step.IDLE
    assert Do.FETCH not in done


def test_a_lost_link_keeps_what_is_staged_and_tries_again_ever_later() -> None:
    state, _ = run(Machine(), *STRAIGHT[:6])
    waits = []
    for _ in range(5):
        state, done = run(state, ev.LinkLost())
        assert done == [Do.CLOSE_LINK]
        waits.append(state.due)
        state, done = run(state, ev.Tick(), now=state.due)
        assert done == [Do.FETCH]
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_a_file_that_is_here_is_not_forgotten_because_a_notice_came_and_nobody_answered() -> None:
    ahead = Machine(policy=Policy(ahead=True))
    here = (ev.MayFetch(), ev.Complete(), ev.FileGood(), ev.Proved(), ev.MayNot("recorder runs", until=100.0))
    state, done = run(ahead, *STRAIGHT[:5], *here)
    assert (state.step, state.late) == (Step.WAITING_FOR_USE_END, True), done
    state, done = run(state, ev.Notice(), ev.LinkLost(), now=7.0)
    assert done == [Do.CHECK_IN, Do.CLOSE_LINK]
    assert (state.step, state.late, state.due) == (Step.WAITING_FOR_USE_END, True, 7.0)
    _, done = run(state, ev.Tick(), ev.Secured(3), ev.FileGood(), ev.Proved(), ev.MayInstall(), now=7.0)
    assert done == [Do.RESERVE, Do.CHECK_FILE, Do.CLOSE_LINK, Do.REHEARSE, Do.ASK_GATE, Do.CHECK_READY]
    assert run(state, ev.Notice(), ev.Offered(OFFERS[1]))[0].late is False


def test_an_envelope_whose_proof_fails_three_times_is_left_alone() -> None:
    state, done = run(Machine(), *STRAIGHT[:9], ev.NotProved(3, "leaves"), ev.Told())
    assert Tell(Phase.FAILED, Verdict.REFUSED, "leaves") in done
    again, done = run(state, ev.Tick(), ev.Offered(OFFERS[0]), now=400.0)
    assert done == [Do.CHECK_IN, Do.CLOSE_LINK]
    _, done = run(again, ev.Tick(), ev.Offered(OFFERS[1]), now=1000.0)
    assert done == [Do.CHECK_IN, Do.WEIGH]
    _, done = run(again, ev.Tick(), ev.Offered(OFFERS[0]), now=2 * DAY)
    assert done == [Do.CHECK_IN, Do.WEIGH]


def test_a_no_of_a_person_is_respected_and_can_be_asked_again() -> None:
    state, done = run(Machine(), *STRAIGHT[:5], ev.MayNot("recorder runs", ask=True, until=100.0))
    assert done[-4:] == [
        Do.RETURN_MEMORY, Tell(Phase.WAITING_FOR_USER, reason="recorder runs"), Do.CLOSE_LINK, Do.ASK_USER
    ]  # fmt: skip
    state, done = run(state, ev.Answered(False), ev.Tick(), now=200.0)
    assert done == []
    _, done = run(state, ev.Tick(), now=200.0 + state.policy.ask_again)
    assert done == [Do.CHECK_IN]
    state, done = run(state, ev.Answered(True), ev.Offered(OFFERS[0]), ev.Weighed(Weight.ACCEPTED), ev.Secured(3))
    _, done = run(state, ev.MayNot("recorder runs", ask=True, until=100.0))
    assert Do.FETCH in done


def test_an_open_plan_fetches_the_same_file_and_goes_on() -> None:
    opened = ev.PoweredUp(Fate.FETCH, plan=PLAN)
    state, done = run(Machine(), opened, ev.Found(False), ev.Secured(2), ev.Complete(), ev.FileGood(), ev.Rewritten())
    assert done == [
        Do.OPEN_WIRE, Do.FIND_STAGED, Do.RESERVE, Do.RESCUE, Do.CHECK_FILE, Do.CLOSE_LINK, Do.RESUME, Do.JUDGE
    ]  # fmt: skip
    assert state.step is Step.JUDGING
    _, done = run(Machine(), opened, ev.Found(True), ev.FileGood())
    assert done == [Do.OPEN_WIRE, Do.FIND_STAGED, Do.CHECK_FILE, Do.CLOSE_LINK, Do.RESUME]


def test_the_wire_takes_precedence_over_rescue_by_air() -> None:
    opened = ev.PoweredUp(Fate.FETCH, plan=PLAN)
    state, done = run(Machine(), opened, ev.Found(False), ev.Secured(2), ev.WireSpeaks())
    assert state.step is Step.RESTORING
    assert done[-2:] == [Do.CLOSE_LINK, Do.RETURN_MEMORY]


def test_every_phase_of_the_world_is_shown_by_some_step() -> None:
    phases = {replace(Machine(), step=step).phase for step in Step}
    told = {Phase.UPDATED, Phase.FAILED}  # said in the report of the verdict, then the terminal is idle
    assert phases | told == set(Phase)


def test_a_machine_meets_any_two_events_without_a_fault() -> None:
    for first, second in product(EVENTS, EVENTS):
        run(Machine(POLICIES[1]), ev.PoweredUp(Fate.BOOT), first, second)


def test_a_torn_bank_is_never_left_running() -> None:
    """Stopped between two commit units the machine restarts, which finds the open plan; it neither rests nor reports."""
    for node in explored(POLICIES[0]):
        if node.state.step is Step.REWRITING:
            after, actions = node.state.handle(ev.RewriteStopped(), 0.0)
            assert after.step is Step.RESTARTING
            assert actions[-1] is Do.RESTART
            assert Do.DROP_STAGED not in actions, "what is staged durably may still be whole"
