"""What our phases are in LwM2M's object 5 is what the page says; registrations have one form; nothing crashes a reader."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import lwm2m
from neurath.wire.lwm2m import Result, State, object5, phase_of
from neurath.wire.report import Phase, Verdict

PAGE = (Path(__file__).parents[2] / "docs/spec/report.md").read_text()
ROWS = re.findall(r"^\| `([a-z-]+)` \|[^|]*\| (\d) [^|]*\| ([^|]*)\|", PAGE, re.MULTILINE)


def test_the_page_names_every_phase_once() -> None:
    assert [name for name, _, _ in ROWS] == [phase.value for phase in Phase]


@pytest.mark.parametrize(("name", "state", "result"), ROWS)
def test_states_and_results_are_those_of_the_page(name: str, state: str, result: str) -> None:
    told = object5(Phase(name))
    assert told[0] == int(state)
    if result[0].isdigit():
        assert told[1] == int(result.split()[0])
    else:
        assert name == "failed"
        assert told[1] == Result.UPDATE_FAILED
        assert object5(Phase.FAILED, Verdict.REFUSED)[1] == Result.INTEGRITY


def test_a_phase_and_what_a_client_says_of_it_mean_the_same() -> None:
    """Not reversible where two of ours share one of theirs: the earlier of them is meant."""
    shared = {Phase.OFFERED: Phase.IDLE, Phase.WAITING_FOR_USE_END: Phase.WAITING_FOR_USER, Phase.JUDGING: Phase.UPDATING}
    for phase in Phase:
        assert phase_of(*object5(phase)) is shared.get(phase, phase)


@given(st.integers(-1, 20), st.integers(-1, 20))
def test_every_pair_of_numbers_is_a_phase_or_refused(state: int, result: int) -> None:
    try:
        found = phase_of(state, result)
    except DataError:
        assert state not in set(State) or result not in set(Result)
    else:
        assert found in Phase


def test_registrations_are_read_as_clients_write_them() -> None:
    given = lwm2m.queries(["ep=dev-1", "lt=60", "lwm2m=1.0", "b=U"])
    plain = lwm2m.Registration("dev-1", "DEFAULT", 60)
    assert lwm2m.registration(given, b"</5/0>,</3/0>") == plain
    assert lwm2m.registration(given, b'</>;rt="oma.lwm2m";ct=110,</1/0>,</5>;ver=1.1') == plain
    assert lwm2m.registration(given, b"</3/0>,</55/0>").firmware is False
    assert lwm2m.registration(lwm2m.queries(["ep=blue/dev-1"]), b"</5/0>") == lwm2m.Registration("dev-1", "blue")
    assert lwm2m.download_state({"nrt": "40" * 12}) == b"\x40" * 12
    assert lwm2m.download_state({}) is None


@given(st.lists(st.text(max_size=40), max_size=5), st.binary(max_size=60))
def test_no_registration_crashes_its_reader(words: list[str], objects: bytes) -> None:
    with contextlib.suppress(DataError):
        given = lwm2m.queries(words)
        lwm2m.registration(given, objects)
    with contextlib.suppress(DataError):
        lwm2m.download_state(lwm2m.queries(words))
