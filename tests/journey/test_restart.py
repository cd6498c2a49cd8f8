"""Software that counts from the next start of the machine on: real server, real agent, and a command in the place of `reboot`
that writes down that it ran. A start of the machine is another name in a file, which the setup names."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.errors import NeurathError
from tests.journey.household import Household
from tests.journey.site import until
from tests.parts import need
from tests.rigs.bus import Bus
from tests.rigs.verbs import verb

LIMIT = 200.0
OBJECT = ("org.neurath.Agent1", "/org/neurath/Agent1", "org.neurath.Agent1")


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    made = Household(tmp_path, "ab")
    (tmp_path / "boot").write_text("one")
    yield made
    made.end()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    need("dbus-daemon")
    need("busctl")
    made = Bus(tmp_path)
    yield made
    made.stop()


def prepared(household: Household, rules: str, health: str = "true", top: str = "") -> Path:
    ran = household.place / "ran"
    own = f'restart = "always"\nhealth = "sh -c \'{health}\'"\n'
    table = f'[restart]\ncommand = "sh -c \'echo x >> {ran}\'"\nboot = "{household.place / "boot"}"\n{rules}\n'
    household.setup({"a": own, "b": table}, top=f'control = "state/agent.sock"\nnotify = false\n{top}')
    return ran


def shown(household: Household) -> dict[str, object]:
    try:
        records = verb("agent", "status", "--socket", household.place / "state/agent.sock")
    except NeurathError:
        return {}  # not up yet
    return dict(next((one for one in records if one["component"] == "restart"), {}))


@contextlib.contextmanager
def vetoed(household: Household) -> Iterator[None]:
    """As a program does that has something to lose: the veto ends with its connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(60)
        link.connect(str(household.place / "state/agent.sock"))
        link.sendall(b'{"do": "busy", "component": "restart", "why": "a recording runs"}\n')
        assert b'"ok": true' in link.recv(4096)
        yield


def up(household: Household) -> bool:
    try:
        return bool(verb("agent", "status", "--socket", household.place / "state/agent.sock"))
    except NeurathError:
        return False


def times(ran: Path) -> int:
    return len(ran.read_text().split()) if ran.exists() else 0


@pytest.mark.heavy
def test_installed_it_waits_for_the_restart_which_waits_for_people_and_then_the_verdict_comes(
    household: Household, bus: Bus
) -> None:
    health = f"echo ran >> {household.place}/health"
    ran = prepared(household, 'consent = "ask"', health, top=f'dbus = "{bus.address}"')
    household.release("a", 2)
    household.release("b", 2)
    agent = household.agent()
    until(lambda: shown(household).get("wanted") == {"a": "2"}, LIMIT)
    assert household.holds("a", 2)
    until(lambda: household.ledger("b", 2).get("verdict") == "confirmed", LIMIT)  # nobody else waits
    until(lambda: household.ledger("a", 2).get("phase") == "judging", LIMIT)
    assert household.ledger("a", 2)["verdict"] == "pending"

    agent.end()
    agent = household.agent()  # another start of the agent, not of the machine
    until(lambda: shown(household).get("asked"), LIMIT)
    with vetoed(household):
        asked = ["busctl", f"--address={bus.address}", "call", *OBJECT, "Answer", "ss", "restart", "now"]
        until(lambda: subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0, LIMIT)
        until(lambda: "a recording runs" in str(shown(household).get("waits")), LIMIT)
        assert times(ran) == 0
    until(lambda: times(ran) == 1, LIMIT)
    assert household.ledger("a", 2)["verdict"] == "pending"
    assert not (household.place / "health").exists(), "what does not run yet was judged"

    agent.end()
    (household.place / "boot").write_text("two")
    household.agent()
    until(lambda: household.ledger("a", 2).get("verdict") == "confirmed", LIMIT)
    assert (household.place / "health").read_text() == "ran\n"
    assert shown(household) == {}


@pytest.mark.heavy
def test_what_is_not_healthy_after_the_start_is_left_by_another_one(household: Household) -> None:
    ran = prepared(household, 'consent = "none"', "echo it hangs; exit 1")
    household.release("a", 2)
    agent = household.agent()
    until(lambda: times(ran) == 1, LIMIT)
    agent.end()
    (household.place / "boot").write_text("2")
    agent = household.agent()
    until(lambda: household.ledger("a", 2).get("verdict") == "failed", LIMIT)
    assert household.holds("a", 1)
    until(lambda: times(ran) == 2, LIMIT)  # what was before runs only then
    agent.end()
    (household.place / "boot").write_text("three")
    household.agent()
    until(lambda: up(household) and shown(household) == {}, LIMIT)
