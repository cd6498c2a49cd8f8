"""The gate that asks people: contract, memory over restarts, holds of other programs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurath.errors import RefusedError
from neurath.ids import ComponentName
from neurath.terminal.asking import AskingGate, Hold, Holds
from neurath.terminal.consent import Answer, Word
from neurath.terminal.gate import Gate, Wish
from neurath.terminal.inuse import FileInUse, InUse
from neurath.terminal.machine.events import MayInstall, MayNot
from neurath.terminal.notices import Notices, text_of
from neurath.terminal.setup import Asking
from tests.contracts.gate import NOW, GateContract

WISH = Wish(ComponentName("recorder"), b"f" * 32, "2.0")


class Site:
    def __init__(self, keep: Path, rules: Asking | None = None, inuse: InUse | None = None) -> None:
        self.told: list[Word] = []
        self.holds = Holds()
        self.changed = 0
        self.keep = keep
        self.rules = rules or Asking("ask")
        self.inuse = inuse
        self.gate = self.made()

    def made(self) -> AskingGate:
        gate = AskingGate(self.rules, self.inuse, self.keep, lambda word, *rest: self.told.append(word), self.holds)
        gate.changed = self._changed
        return gate

    def _changed(self) -> None:
        self.changed += 1


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "recorder.consent")


class TestAsking(GateContract):
    @pytest.fixture(params=["wait", "ask"])
    def gate(self, request: pytest.FixtureRequest, tmp_path: Path) -> Gate:
        return Site(tmp_path / "recorder.consent", Asking(request.param)).gate


def test_an_answer_survives_a_restart_of_the_agent(site: Site) -> None:
    assert site.gate.may_install(WISH, NOW) == MayNot("somebody is asked", True, NOW + 600)
    assert site.told == [Word.ASK]
    assert isinstance(site.made().may_install(WISH, NOW + 1), MayNot)
    assert site.told == [Word.ASK], "a restart is no reason to ask again"
    site.gate.answer(Answer.NO, NOW)
    later = site.made()
    assert later.may_install(WISH, NOW + 5) == MayNot("somebody said no", True, NOW + 86400)
    later.remind()
    assert isinstance(later.may_install(WISH, NOW + 6), MayNot)
    assert site.told == [Word.ASK, Word.ASK]
    later.answer(Answer.NOW, NOW + 7)
    assert site.made().may_install(WISH, NOW + 8) == MayInstall()
    assert site.changed == 3


def test_the_words_of_an_operators_reminder_go_with_the_question(tmp_path: Path) -> None:
    said: list[str] = []
    gate = AskingGate(Asking("ask"), None, None, lambda word, wish, reason, end: said.append(reason), Holds())
    gate.may_install(WISH, NOW)
    gate.answer(Answer.NO, NOW)
    gate.remind("Please update before the weekend")
    gate.may_install(WISH, NOW + 1)
    gate.may_install(WISH, NOW + 2)
    assert [("weekend" in one) for one in said] == [False, True]
    assert "weekend" in text_of(Word.ASK, WISH, said[1], 0.0)


def test_what_was_kept_and_makes_no_sense_is_asked_anew(site: Site) -> None:
    for junk in ("", "{", "[]", '{"wish": 5}', '{"wish": "zz", "met": 0}'):
        site.keep.write_text(junk)
        assert isinstance(site.made().may_install(WISH, NOW), MayNot)


def test_an_answer_to_nothing_is_refused(site: Site) -> None:
    with pytest.raises(RefusedError):
        site.gate.answer(Answer.NOW, NOW)


def test_once_it_is_installed_nothing_is_remembered(site: Site) -> None:
    site.gate.may_install(WISH, NOW)
    site.gate.answer(Answer.NOW, NOW)
    site.gate.forget(WISH.component)
    assert isinstance(site.gate.may_install(WISH, NOW), MayNot)


def test_a_program_that_says_it_is_busy_is_believed_until_it_is_free_or_gone(tmp_path: Path) -> None:
    site = Site(tmp_path / "k", Asking("wait"))
    site.holds.put("link 1", "recorder", Hold("a recording runs", NOW + 100))
    assert "a recording runs" in site.gate.may_install(WISH, NOW).reason  # type: ignore[union-attr]
    assert site.gate.may_install(WISH, NOW + 101) == MayInstall()
    site.holds.put("link 1", "", Hold("no reboot now", NOW + 100))
    assert isinstance(site.gate.may_install(WISH, NOW), MayNot)
    assert site.holds.drop("link 1")
    assert site.gate.may_install(WISH, NOW) == MayInstall()


def test_a_yes_waits_for_the_end_of_the_use_and_not_longer(tmp_path: Path) -> None:
    program = tmp_path / "recorder"
    program.write_bytes(b"a program")
    ended: list[float] = []
    site = Site(tmp_path / "k", inuse=InUse([FileInUse(program)], lambda: ended.append(time.monotonic())))
    code = "import sys, time; f = open(sys.argv[1]); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(program)], stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        site.gate.may_install(WISH, NOW)
        site.gate.answer(Answer.NOW, NOW)
        said = site.gate.may_install(WISH, NOW)
        assert isinstance(said, MayNot)
        assert f"pid {user.pid}" in said.reason
        assert site.told == [Word.ASK, Word.CLOSE]
        user.kill()
        user.wait(10)
        gone = time.monotonic()
    while not ended and time.monotonic() < gone + 10:
        time.sleep(0.01)
    assert ended[-1] - gone < 10
    assert site.gate.may_install(WISH, NOW + 1) == MayInstall()


@pytest.mark.parametrize("word", Word)
def test_a_notice_says_what_can_be_done(word: Word) -> None:
    text = text_of(word, WISH, "in use: recorder (pid 5) runs it", NOW)
    assert "recorder" in text
    assert ("neurath agent answer recorder" in text) is (word is Word.ASK)


def test_a_notice_goes_to_the_desktops_and_to_the_terminals_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of this name stand in for a desktop and for `wall`; the words to them are the real ones."""
    for name in ("gdbus", "wall", "setpriv"):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/log\nexit 0\n')
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if not Path("/bin/notify-send").exists() else str(tmp_path))
    Notices(tmp_path / "nobody")._everywhere(Word.LAST, WISH, "", NOW)
    (tmp_path / "user/0").mkdir(parents=True)
    (tmp_path / "user/0/bus").touch()
    Notices(tmp_path / "user")._everywhere(Word.LAST, WISH, "", NOW)
    lines = (tmp_path / "log").read_text().splitlines()
    assert ["wall" in line for line in lines] == [True, False]
    assert "org.freedesktop.Notifications.Notify" in lines[1]
    assert "Last warning" in lines[1]
