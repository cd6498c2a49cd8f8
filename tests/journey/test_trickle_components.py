"""Components that are files, riding on heartbeats, with real processes: plain data is delivered whole without a question, a
program ends in the question to its user, and two of them at once do not mix."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.journey.household import Household
from tests.journey.site import until
from tests.journey.test_components import answer, prompts, shown
from tests.rigs.verbs import verb

PERIOD = 'trickle = 0.1\ncontrol = "state/agent.sock"\nnotify = false'


@pytest.fixture
def household(tmp_path: Path, request: pytest.FixtureRequest):
    made = Household(tmp_path, getattr(request, "param", "a"))
    yield made
    made.end()


def prompted(household: Household) -> list[str]:
    found = []
    while not household.heard.empty():
        said = household.heard.get_nowait()
        if said.who == "agent" and said.record.get("word"):
            found.append(str(said.record["word"]))
    return found


def trickled(household: Household, name: str, number: int) -> None:
    """Nothing of it came but on heartbeats: when the transfer began, all of it was here."""
    line = household.ledger(name, number)
    lines = [json.loads(one) for one in (household.place / "trace").read_text().splitlines()]
    asked = [one["offset"] for one in lines if one["event"] == "request"]
    assert asked
    assert all(offset in (household.size + 120, line["size"]) for offset in asked), "something came in bulk"
    assert line["sync"] == line["size"]


@pytest.mark.heavy
@pytest.mark.parametrize("household", ["ab"], indirect=True)
def test_plain_data_trickles_and_is_delivered_without_a_question(household: Household) -> None:
    """T20, B10: two tables at once, whole and verified, and nobody is asked for anything."""
    household.setup(top=PERIOD)
    for name in "ab":
        household.release(name, 2)
    household.agent("--trace", household.place / "trace")
    until(lambda: all(household.holds(name, 2) for name in "ab"), 90)
    until(lambda: all(household.ledger(name, 2).get("verdict") == "confirmed" for name in "ab"), 30)
    assert prompted(household) == []
    for name in "ab":
        trickled(household, name, 2)


@pytest.mark.heavy
def test_what_an_operator_prefers_overtakes_and_what_the_other_had_is_not_sent_again(tmp_path: Path) -> None:
    """B10: one file at a time, by priority; a table that is begun waits for the other and goes on where it was."""
    household = Household(tmp_path, "ab", size=40_000)
    try:
        _overtakes(household)
    finally:
        household.end()


def _overtakes(household: Household) -> None:
    household.setup(top=PERIOD.replace("0.1", "0.2"))
    for name in "ab":
        household.release(name, 2)
    prefer(household, "a", 1)
    household.agent("--trace", household.place / "trace")
    until(lambda: int(str(household.ledger("a", 2).get("sync", 0))) > 1_000, 60)
    prefer(household, "b", 9)
    until(lambda: household.holds("b", 2), 120)
    assert household.holds("a", 1), "the one that was preferred came second"
    for name in "ab":
        until(lambda name=name: household.ledger(name, 2).get("verdict") == "confirmed", 120)
        trickled(household, name, 2)
        line = household.ledger(name, 2)
        # Header and file, and at most one answer's pieces for each change from one to the other.
        assert int(str(line["bytes"])) <= int(str(line["size"])) + 3 * 1024


def prefer(household: Household, name: str, priority: int) -> None:
    """At once: a verb takes longer than some of these files."""
    url = f"{household.url}/api/v1/releases/box/2/{name}/priority"
    assert httpx.put(url, json={"priority": priority}, trust_env=False, timeout=30).status_code == 200


@pytest.mark.heavy
def test_a_program_that_trickled_ends_in_the_question_and_no_leaves_the_old_one(household: Household) -> None:
    """B4, T12, T13: asked only when it is complete; "no" is respected; reminded, asked again; "now" installs."""
    household.setup({"a": 'consent = "ask"'}, top=PERIOD)
    household.release("a", 2)
    household.agent("--trace", household.place / "trace")
    assert prompts(household, 60) == "ask"
    until(lambda: household.ledger("a", 2).get("phase") == "waiting-for-user", 30)
    assert household.ledger("a", 2)["distributed"], "asked before it was complete"
    answer(household, "answer", "a", "no")
    until(lambda: shown(household).get("answer") == "no")
    assert household.holds("a", 1)
    verb("terminal", "remind", "h1", "--text", "please", *household.data)
    answer(household, "remind", "a")
    assert prompts(household) == "ask"
    assert household.holds("a", 1)
    answer(household, "answer", "a", "now")
    until(lambda: household.holds("a", 2), 60)
    until(lambda: household.ledger("a", 2).get("verdict") == "confirmed", 30)
    trickled(household, "a", 2)
