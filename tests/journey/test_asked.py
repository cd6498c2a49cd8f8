"""People are asked about several components at once and answer differently, or never; the agent starts anew in between. Hours
pass by its clock, which is moved on at each start (tests/rigs/clock.py); everything else is real."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.errors import NeurathError
from neurath.sim.processes import Running
from tests.journey.household import Household
from tests.journey.site import until
from tests.rigs.clock import shifted
from tests.rigs.verbs import verb

HOLDS = "import sys, time; held = open(sys.argv[1], 'rb'); print('ready', flush=True); time.sleep(600)"
HOUR = 3600
LIMIT = 200.0


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    made = Household(tmp_path, "abcdef")
    yield made
    made.end()


@pytest.fixture
def user(household: Household) -> Iterator[subprocess.Popen[bytes]]:
    """Has c open, and never ends that."""
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(household.path("c"))], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def later(household: Household, seconds: float, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The agent starts anew, and its clock says so many seconds more than it is."""
    if household.running[-1].who == "agent":
        household.running[-1].end()
    env = shifted(household.place, seconds)
    with monkeypatch.context() as moved:
        for name in ("LD_PRELOAD", "CLOCK_SHIFT"):
            moved.setenv(name, env[name])
        return household.agent()


def waits(household: Household, name: str) -> str:
    try:
        found = verb("agent", "status", "--socket", household.place / "state/agent.sock")
    except NeurathError:
        return ""  # not up yet
    return next(str(one.get("waits", "")) for one in found if one["component"] == name)


def hear(household: Household, expected: set[tuple[str, str]]) -> None:
    """All of these words are said about these components; others may be as well."""
    end, missing = time.monotonic() + LIMIT, set(expected)
    while missing:
        try:
            record = household.heard.get(timeout=max(0.0, end - time.monotonic())).record
        except queue.Empty:
            raise AssertionError(f"never said: {missing}") from None
        missing.discard((str(record.get("word")), str(record.get("component"))))


def answer(household: Household, name: str, word: str) -> None:
    verb("agent", "answer", name, word, "--socket", household.place / "state/agent.sock")


@pytest.mark.heavy
def test_in_an_hour_tonight_and_never_are_what_they_say_over_restarts_and_hold_up_nobody(
    household: Household, user: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = 'consent = "ask"'
    rules = {"a": ask, "b": ask, "c": f'{ask}\ndeadline = "8h"\nin_use = ["{household.path("c")}"]', "d": ask}
    household.setup(rules, top='control = "state/agent.sock"\nnotify = false')
    for name in household.names:
        household.release(name, 2)
    later(household, 0, monkeypatch)
    hear(household, {("ask", name) for name in "abcd"})
    until(lambda: all(household.holds(name, 2) for name in "ef"), LIMIT)  # nobody is asked about these, and they do not wait
    answer(household, "a", "hour")
    answer(household, "b", "tonight")

    later(household, HOUR - 300, monkeypatch)
    until(lambda: waits(household, "a") == "somebody said: hour", LIMIT)
    until(lambda: waits(household, "d") == "somebody is asked", LIMIT)
    assert all(household.holds(name, 1) for name in "acd")

    later(household, HOUR + 60, monkeypatch)
    until(lambda: household.holds("a", 2), LIMIT)

    later(household, 8 * HOUR - 300, monkeypatch)
    hear(household, {("last", "c")})
    assert household.holds("c", 1)

    later(household, 8 * HOUR + 60, monkeypatch)
    until(lambda: household.holds("c", 2), LIMIT)  # nobody ever answered, and it is in use
    assert user.poll() is None
    assert household.holds("d", 1)

    later(household, 25 * HOUR, monkeypatch)
    hear(household, {("ask", "d")})  # a day has passed: asked again, and still not installed
    until(lambda: household.holds("b", 2), LIMIT)
    assert household.holds("d", 1)
    until(lambda: all(household.ledger(name, 2).get("verdict") == "confirmed" for name in "abcef"), LIMIT)
    assert household.ledger("d", 2)["phase"] == "waiting-for-user"
