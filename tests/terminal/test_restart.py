"""The restart of the machine: who waits for one, who may say no, and that it comes when it may and not before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurath.errors import DataError
from neurath.terminal.asking import AskingGate, Hold, Holds
from neurath.terminal.consent import HOUR, Answer, Word
from neurath.terminal.restart import NAME, STILL_HERE, Restarts
from neurath.terminal.setup import Asking, Restart, setup_from_toml

#: A morning, local time.
NOW = 1_700_000_000.0


class Machine:
    """Restarts by a script that writes down that it ran; `boot` names its present start."""

    def __init__(self, place: Path, asking: Asking, rule: str = "always", command: str = "") -> None:
        self.place = place
        self.ran = place / "ran"
        self.boot = place / "boot"
        self.boot.write_text("one\n")
        self.holds = Holds()
        self.told: list[Word] = []
        self.said: list[str] = []
        self.rules = Restart(("sh", "-c", command or f"echo x >> {self.ran}"), asking, boot=self.boot, components={"a": rule})
        self.start()

    def start(self) -> None:
        """A new process of the agent."""
        gate = AskingGate(self.rules.asking, None, self.place / "consent", lambda word, *_: self.told.append(word), self.holds)
        self.restarts = Restarts(self.rules, self.place, gate, lambda moment, **words: self.said.append(f"{moment} {words}"))
        waiting = self.restarts.of("a")
        assert waiting is not None
        self.waiting = waiting
        gate.changed = self.restarts.hasten

    def times(self) -> int:
        return len(self.ran.read_text().split()) if self.ran.exists() else 0

    def install(self) -> None:
        self.waiting.begin("2", "7")
        assert self.waiting.waits()


@pytest.fixture
def asked(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, Asking("ask", deadline=8 * HOUR, warning=900.0))
    machine.install()
    return machine


def test_nobody_restarts_a_machine_that_no_component_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Asking("none"))
    machine.restarts.tick(NOW)
    assert machine.times() == 0
    assert machine.restarts.due == float("inf")
    assert machine.restarts.of("b") is None


def test_people_are_asked_once_and_their_yes_restarts(asked: Machine) -> None:
    for second in range(3):
        asked.restarts.tick(NOW + second)
    assert (asked.told, asked.times()) == ([Word.ASK], 0)
    asked.restarts.gate.answer(Answer.NOW, NOW + 3)
    asked.restarts.tick(NOW + 3)
    assert asked.times() == 1


def test_a_machine_that_still_runs_is_told_again_and_why_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Asking("none"), command="echo not today; exit 1")
    machine.install()
    machine.restarts.tick(NOW)
    assert "the restart failed: not today" in machine.said[-1]
    assert machine.restarts.due == NOW + STILL_HERE


@pytest.mark.parametrize("component", ["", NAME])
def test_a_veto_holds_it_back_until_it_is_taken_back(tmp_path: Path, component: str) -> None:
    machine = Machine(tmp_path, Asking("wait"))
    machine.install()
    machine.holds.put("link 1", component, Hold("a recording runs", NOW + HOUR))
    machine.restarts.tick(NOW)
    assert machine.times() == 0
    assert "a recording runs" in machine.said[-1]
    machine.holds.drop("link 1")
    machine.restarts.gate.changed()
    machine.restarts.tick(NOW + 1)
    assert machine.times() == 1


def test_a_hold_of_another_component_is_no_veto(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Asking("wait"))
    machine.install()
    machine.holds.put("link 1", "b", Hold("b is busy", NOW + HOUR))
    machine.restarts.tick(NOW)
    assert machine.times() == 1


def test_with_nobody_there_it_comes_at_the_deadline_after_a_last_warning_vetoes_or_not(asked: Machine) -> None:
    asked.holds.put("link 1", "", Hold("never", NOW + 30 * HOUR))
    moments = [NOW]
    while asked.times() == 0 and len(moments) < 100:
        asked.restarts.tick(moments[-1])
        moments.append(max(asked.restarts.due, moments[-1] + 1))
        if asked.times() == 0:
            asked.start()  # the agent starts anew every time, in the same start of the machine
            assert asked.waiting.waits()
    assert moments[-2] == NOW + 8 * HOUR
    assert asked.told == [Word.ASK, Word.LAST]


def test_a_restart_of_the_agent_is_none_of_the_machine(asked: Machine) -> None:
    asked.start()
    assert asked.waiting.waits()
    asked.boot.write_text("two\n")
    asked.start()
    assert not asked.waiting.waits()
    assert asked.restarts.shown() == {}
    assert asked.waiting.action() == "7"  # the server is still to be told
    asked.waiting.end()
    assert not (asked.place / "a.restart").exists()


def test_a_file_that_says_so_is_what_needs_a_restart(tmp_path: Path) -> None:
    flag = tmp_path / "reboot-required"
    machine = Machine(tmp_path, Asking("wait"), rule=str(flag))
    machine.waiting.begin("2")
    assert not machine.waiting.waits()
    flag.touch()
    assert machine.waiting.waits()


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"boot": 1}', b"\xff", json.dumps({"boot": "zero"}).encode()])
def test_what_was_kept_and_makes_no_sense_waits_for_nothing(tmp_path: Path, junk: bytes) -> None:
    machine = Machine(tmp_path, Asking("wait"))
    (tmp_path / "a.restart").write_bytes(junk)
    assert not machine.waiting.waits()


SETUP = 'server = "http://h"\nid = "t"\nmodel = "m"\nstate = "s"\n'
PART = '[[component]]\nname = "a"\ninstaller = "file"\npath = "a"\n'


def test_a_setup_says_who_needs_a_restart_and_how_it_is_done(tmp_path: Path) -> None:
    table = '[restart]\ncommand = "doas reboot"\nconsent = "wait"\nwindow = "02:00-04:00"\nin_use_lock = "lock"\n'
    made = setup_from_toml(SETUP + PART + 'restart = "always"\n' + table, tmp_path).restart
    assert made is not None
    assert (made.command, made.asking.consent, made.asking.window) == (("doas", "reboot"), "wait", (7200, 14400))
    assert made.components == {"a": "always"}
    assert made.uses.locks == (tmp_path / "lock",)
    assert setup_from_toml(SETUP + PART, tmp_path).restart is None
    by_file = setup_from_toml(SETUP + PART + 'restart = "/run/reboot-required"\n', tmp_path).restart
    assert by_file is not None
    assert (by_file.components, by_file.asking.consent) == ({"a": "/run/reboot-required"}, "ask")


@pytest.mark.parametrize(
    "text",
    [
        SETUP + PART + 'restart = "always"\n[restart]\nwhen = "now"\n',
        SETUP + PART.replace('"a"\ni', '"restart"\ni') + 'restart = "always"\n',
        SETUP + '[[component]]\nname = "a"\npath = "a"\nmodel = "m"\nrestart = "always"\n',
    ],
)
def test_a_setup_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="not an agent's setup"):
        setup_from_toml(text, tmp_path)
