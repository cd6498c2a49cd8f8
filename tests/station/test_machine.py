"""The station's machine, explored: every state it can reach, every event in it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from neurath.ids import ModelName, TerminalId
from neurath.station import machine as m
from neurath.station.machine import Choice, Do, Event, Machine, Step, Unplug, Verdict
from neurath.wire.smp import BirthState, Fate, Held, Identity, Wanted, Why

OLD, NEW, OTHER = (Held(bytes([n]) * 16, bytes([n]) * 32, 100, n, 0) for n in (1, 2, 3))
TORN = Identity(
    bank=4096,
    grains=(4, 256, 1024, 512),
    fate=Fate.RESTORE,
    why=Why.REWRITE,
    birth=BirthState.WRITTEN,
    id=TerminalId("a"),
    model=ModelName("m"),
    installed=OLD,
)
HALF = replace(TORN, restoring=True, why=Why.RESTORE, target=Wanted(NEW, bytes(16), 500))
WHOLE = replace(TORN, fate=Fate.BOOT, why=Why.NONE, installed=NEW, candidate=True)
WRONG = replace(WHOLE, installed=OTHER)
STRANGER = replace(TORN, id=TerminalId("b"))
NAMELESS = replace(TORN, birth=BirthState.BLANK, id=TerminalId(""), model=ModelName(""))
CHOICE = Choice(NEW.envelope, NEW.image, "2", "newest of its model")
EVENTS: tuple[Event, ...] = (
    m.Plugged(),
    m.Pulled(),
    *(m.Identified(i) for i in (TORN, HALF, WHOLE, WRONG, STRANGER, NAMELESS)),
    m.Mistaken(STRANGER, "the label says c"),
    m.Mistaken(WHOLE, "the label says c"),
    m.Silent(),
    m.Chosen(CHOICE),
    m.NothingFits("none"),
    m.Moved(100, 500),
    m.Moved(500, 500),
    m.Sent(),
    m.Refused("no"),
    m.Bent("not what was sent"),
)


def explore() -> dict[Machine, list[tuple[Event, Machine, tuple[Do, ...]]]]:
    """Every state reachable from an empty port, with its edges."""
    seen: dict[Machine, list[tuple[Event, Machine, tuple[Do, ...]]]] = {}
    waiting = deque([Machine()])
    while waiting:
        state = waiting.popleft()
        if state in seen:
            continue
        seen[state] = [(event, *state.handle(event)) for event in EVENTS]
        waiting.extend(after for _, after, _ in seen[state])
    return seen


GRAPH = explore()


def test_the_graph_is_closed_and_not_small() -> None:
    assert 50 < len(GRAPH) < 100_000
    assert all(after in GRAPH for edges in GRAPH.values() for _, after, _ in edges)
    assert {state.step for state in GRAPH} == set(Step)
    assert {state.verdict for state in GRAPH} == set(Verdict)


def test_nothing_is_sent_before_identify_and_choose() -> None:
    for state, edges in GRAPH.items():
        for event, after, actions in edges:
            if Do.SEND in actions:
                assert after.step is Step.WRITE, (state, event)
                assert after.choice is not None
                assert after.identity is not None
                assert after.identity.enrolled
                assert after.identity.open


def test_unplugging_is_never_called_safe_while_the_bank_is_open() -> None:
    for state in GRAPH:
        assert isinstance(state.unplug, Unplug)
        if state.step in (Step.WRITE, Step.JUDGE):
            assert state.unplug is not Unplug.YES
        if state.step is Step.UNPLUG and state.unplug is Unplug.YES:
            assert state.identity is not None
            assert not state.identity.open or state.verdict is Verdict.MISTAKEN
        if state.choice is not None and state.step is not Step.UNPLUG:
            assert state.unplug is not Unplug.YES


def test_success_is_only_what_the_terminal_itself_says_it_runs() -> None:
    for state, edges in GRAPH.items():
        for event, after, _ in edges:
            if after.verdict is Verdict.RESTORED and state.verdict is not Verdict.RESTORED:
                assert isinstance(event, m.Identified)
                assert event.identity.installed is not None
                assert state.choice is not None
                assert event.identity.installed.envelope == state.choice.envelope
                assert not event.identity.open


def test_a_refused_package_never_ends_in_success_without_another_upload() -> None:
    refused = [
        after for edges in GRAPH.values() for event, after, _ in edges if isinstance(event, m.Refused) and after.verdict
    ]
    assert refused
    for state in refused:
        if state.verdict is Verdict.REFUSED:
            for _, after, _ in GRAPH[state]:
                assert after.verdict in (Verdict.REFUSED, Verdict.NONE)


def test_every_end_is_recorded_once() -> None:
    for state, edges in GRAPH.items():
        for event, after, actions in edges:
            ended = after.step is Step.UNPLUG and state.step is not Step.UNPLUG
            assert (Do.RECORD in actions) == (ended and after.verdict is not Verdict.HEALTHY), (state, event)


def test_a_pulled_cable_is_taken_up_by_the_same_terminal_only() -> None:
    pulled = [s for s in GRAPH if s.step is Step.CONNECT and s.choice is not None]
    assert pulled
    for state in pulled:
        assert state.identity is not None
        same, other = (HALF, STRANGER) if state.identity.id == HALF.id else (STRANGER, HALF)
        plugged, _ = state.handle(m.Plugged())
        again, actions = plugged.handle(m.Identified(same))
        assert (again.step, again.choice, again.held, actions) == (Step.WRITE, state.choice, state.held, (Do.SEND,))
        changed, actions = plugged.handle(m.Identified(other))
        assert (changed.step, changed.choice, changed.held, actions) == (Step.CHOOSE, None, 0, (Do.SELECT,))


def test_the_last_byte_written_and_the_cable_pulled_before_the_verdict_is_still_judged() -> None:
    state = Machine(step=Step.CONNECT, identity=TORN, choice=CHOICE, held=500, total=500)
    state, _ = state.handle(m.Plugged())
    state, actions = state.handle(m.Identified(WHOLE))
    assert (state.verdict, state.unplug, actions) == (Verdict.RESTORED, Unplug.YES, (Do.RECORD,))


def test_progress_never_moves_back_and_a_silent_terminal_is_given_up() -> None:
    state = Machine(step=Step.WRITE, identity=TORN, choice=CHOICE, held=400, total=500)
    state, _ = state.handle(m.Moved(100, 500))
    assert state.held == 400
    for _ in range(m.STALLS):
        state, actions = state.handle(m.Silent())
        assert actions == (Do.SEND,)
    state, actions = state.handle(m.Silent())
    assert (state.verdict, state.unplug, actions) == (Verdict.FAILED, Unplug.NO, (Do.RECORD,))


def test_the_verdict_is_asked_for_patiently_and_a_terminal_that_never_says_it_is_given_up() -> None:
    state = Machine(step=Step.JUDGE, identity=TORN, choice=CHOICE, held=500, total=500)
    for _ in range(m.QUESTIONS):
        state, actions = state.handle(m.Silent())
        assert actions == (Do.ASK_VERDICT,)
    state, actions = state.handle(m.Silent())
    assert (state.verdict, state.unplug, actions) == (Verdict.FAILED, Unplug.NO, (Do.RECORD,))


def test_what_arrives_bent_is_sent_again_and_given_up_with_its_reason() -> None:
    state = Machine(step=Step.WRITE, identity=TORN, choice=CHOICE, held=400, total=500)
    for _ in range(m.STALLS):
        state, actions = state.handle(m.Bent("a leaf differs"))
        assert actions == (Do.SEND,)
        state, _ = state.handle(m.Moved(400, 500))  # the same leaf again is no progress
    state, actions = state.handle(m.Bent("a leaf differs"))
    assert (state.verdict, state.reason, actions) == (Verdict.REFUSED, "a leaf differs", (Do.RECORD,))


def test_from_every_state_the_next_terminal_can_be_served() -> None:
    for state in GRAPH:
        empty, _ = state.handle(m.Pulled())
        plugged, actions = empty.handle(m.Plugged())
        assert plugged.step is Step.IDENTIFY
        assert Do.ASK_IDENTITY in actions


def test_a_device_that_was_not_meant_is_written_to_by_nothing() -> None:
    for state, edges in GRAPH.items():
        for event, after, actions in edges:
            if isinstance(event, m.Mistaken) and state.step is Step.IDENTIFY:
                assert (after.step, after.verdict, after.unplug) == (Step.UNPLUG, Verdict.MISTAKEN, Unplug.YES)
                assert actions == (Do.RECORD,)
            if state.verdict is Verdict.MISTAKEN:
                assert Do.SEND not in actions
