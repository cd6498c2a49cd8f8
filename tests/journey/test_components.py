"""Components that are files, from the signer's desk to the terminal's disk: server, signer and agent
are processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurath.errors import NeurathError
from tests.journey.household import Household
from tests.journey.site import until
from tests.parts import need
from tests.rigs.verbs import verb

HOLDS = "import sys, time; held = open(sys.argv[1], 'rb'); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def household(tmp_path: Path, request: pytest.FixtureRequest):
    made = Household(tmp_path, getattr(request, "param", "a"))
    yield made
    made.end()


@pytest.mark.heavy
@pytest.mark.parametrize("household", ["abcdefghij"], indirect=True)
def test_one_component_in_use_of_ten_holds_up_no_other(household: Household) -> None:
    """C4, P15: nine finish while the first one's user keeps it; then it goes on by itself."""
    household.setup({"a": f'in_use = ["{household.path("a")}"]'})
    user = subprocess.Popen([sys.executable, "-c", HOLDS, str(household.path("a"))], stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        for name in household.names:
            household.release(name, 2)
        household.agent()
        until(lambda: all(household.holds(name, 2) for name in "bcdefghij"), 60)
        until(lambda: household.ledger("a", 2).get("phase") == "waiting-for-use-end")
        assert household.holds("a", 1)
        assert household.ledger("a", 2)["bytes"] == 0
    finally:
        user.kill()
        user.wait(10)
        assert user.stdout is not None
        user.stdout.close()
    until(lambda: household.holds("a", 2))
    until(lambda: all(household.ledger(name, 2).get("verdict") == "confirmed" for name in household.names), 60)


@pytest.mark.heavy
def test_the_second_update_of_a_component_is_a_delta_and_a_bad_one_is_rolled_back(household: Household) -> None:
    check = household.place / "health"
    check.write_text("#!/bin/sh\ngrep -q 'a 3' home/a && { echo it does not start; exit 1; }\nexit 0\n")
    check.chmod(0o755)
    household.setup({"a": f"health = \"sh -c 'cd {household.place} && ./health'\""})
    household.release("a", 2)
    assert household.once() == 0
    assert household.holds("a", 2)
    household.release("a", 3)
    assert household.once() != 0
    assert household.holds("a", 2), "a release that fails its health check stays"
    line = household.ledger("a", 3)
    assert line.get("verdict") == "failed"
    assert "it does not start" in str(line["reason"])
    assert int(str(line["size"])) < 2000, "no delta was made"
    household.release("a", 4)
    assert household.once() == 0
    assert household.holds("a", 4)


def answer(household: Household, *words: str) -> None:
    verb("agent", *words, "--socket", household.place / "state/agent.sock")


def shown(household: Household) -> dict[str, object]:
    try:
        return dict(verb("agent", "status", "--socket", household.place / "state/agent.sock")[0])
    except NeurathError:
        return {}  # not up yet


def prompts(household: Household, seconds: float = 20.0) -> str:
    """The next word to people."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said = household.heard.get(timeout=seconds)
        if said.who == "agent" and said.record.get("word"):
            return str(said.record["word"])
    raise AssertionError("nobody was told anything")


@pytest.mark.heavy
def test_a_user_says_no_is_asked_again_says_yes_and_closes_the_program(household: Household) -> None:
    """C5, B4, P8: the answer survives a restart of the agent; after the exit it is installed within a moment."""
    rules = f'in_use = ["{household.path("a")}"]\nconsent = "ask"'
    household.setup({"a": rules}, top='control = "state/agent.sock"\nnotify = false')
    user = subprocess.Popen([sys.executable, "-c", HOLDS, str(household.path("a"))], stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        household.release("a", 2)
        agent = household.agent()
        assert prompts(household) == "ask"
        until(lambda: household.ledger("a", 2).get("phase") == "waiting-for-user")
        answer(household, "answer", "a", "no")
        until(lambda: shown(household).get("answer") == "no")
        agent.end()
        household.agent()
        until(lambda: shown(household).get("waits") == "somebody said no")
        verb("terminal", "remind", "h1", "--text", "please", *household.data)
        assert prompts(household) == "ask"
        until(lambda: not shown(household).get("answer"))
        answer(household, "answer", "a", "now")
        assert prompts(household) == "close"
        assert household.holds("a", 1)
        assert household.ledger("a", 2)["bytes"] == 0
    finally:
        user.kill()
        user.wait(10)
        assert user.stdout is not None
        user.stdout.close()
    ended = time.monotonic()
    until(lambda: household.holds("a", 2))
    assert time.monotonic() - ended < 10
    until(lambda: household.ledger("a", 2).get("verdict") == "confirmed")
    _both_sides_say_the_same(household)


def _both_sides_say_the_same(household: Household) -> None:
    """C3: what `neurath agent status` says at the terminal, also after a restart of the agent, is what the server says."""
    until(lambda: dict(shown(household).get("last") or {}).get("verdict") == "confirmed")
    last = shown(household)["last"]
    household.running[-1].end()
    household.agent()
    until(lambda: shown(household).get("last") == last)
    assert isinstance(last, dict)
    there = household.ledger("a", 2)
    assert (last["version"], last["size"], last["verdict"]) == (there["version"], there["size"], there["verdict"])
    assert 0 < last["offered"] <= last["distributed"] <= last["installed"]
    for moment in ("offered", "distributed", "installed"):
        assert abs(last[moment] - float(str(there[moment]))) < 30, moment


@pytest.mark.heavy
def test_downloaded_ahead_it_is_installed_after_the_exit_without_the_network(household: Household) -> None:
    """C7, P12, P13: the server is gone by the time the use ends."""
    household.setup({"a": f'in_use = ["{household.path("a")}"]\ndownload = "ahead"'})
    user = subprocess.Popen([sys.executable, "-c", HOLDS, str(household.path("a"))], stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        household.release("a", 2)
        household.agent("--trace", household.place / "trace")
        until(lambda: household.ledger("a", 2).get("phase") == "waiting-for-use-end", 30)
        assert household.ledger("a", 2)["distributed"]
        assert household.holds("a", 1)
        household.running[0].end()  # the server
    finally:
        user.kill()
        user.wait(10)
        assert user.stdout is not None
        user.stdout.close()
    ended = time.monotonic()
    until(lambda: household.holds("a", 2))
    assert time.monotonic() - ended < 10


@pytest.mark.heavy
def test_with_a_read_only_root_the_state_directory_is_all_it_needs(household: Household) -> None:
    need("root")
    household.setup()
    household.release("a", 2)
    place = household.place
    lines = [
        "mount --make-rprivate /", f"mount --bind {place} {place}", "mount -o remount,bind,ro /", "! touch /etc/neurath.probe",
        f"exec {sys.executable} -m neurath.cli.main agent run --setup {place / 'agent.toml'} --once",
    ]  # fmt: skip
    words = ["unshare", "--mount", "sh", "-ec", "\n".join(lines)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert household.holds("a", 2)
