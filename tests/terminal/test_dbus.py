"""The control socket's questions over a real D-Bus daemon, asked by others: busctl, gdbus, dbus-send."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from neurath.errors import NotFound, UsageError
from neurath.terminal.compose import compose
from neurath.terminal.dbus import INTERFACE, NAME, PATH, Facade, facade, introspection
from neurath.terminal.setup import setup_from_toml
from tests.parts import need
from tests.rigs.bus import Bus

SPEC = Path(__file__).parents[2] / "docs/spec/dbus.md"


class Desk:
    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.gone: list[str] = []
        self.notes: list[str] = []

    def ask(self, who: str, words: Mapping[str, Any]) -> Mapping[str, object]:
        self.asked.append(words)
        if words.get("component") == "nobody":
            raise NotFound("no component 'nobody'", "there are: a", "neurath agent status")
        restart = {"wanted": {"b": "2", "a": "3"}, "waits": "somebody is asked"}
        return {
            "restart": restart,
            "components": [{"component": "a", "phase": "idle", "size": 7, "asked": True, "deadline": 1.5}],
        }


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    for part in ("dbus-daemon", "busctl", "gdbus", "dbus-send"):
        need(part)
    made = Bus(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def served(bus: Bus) -> Iterator[tuple[Bus, Desk, Facade]]:
    desk = Desk()
    made = facade(bus.address, desk.ask, desk.gone.append, desk.notes.append)
    until(lambda: NAME in busctl(bus, "list", "--acquired").stdout)
    yield bus, desk, made
    made.close()


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def busctl(bus: Bus, *words: str) -> subprocess.CompletedProcess[str]:
    return said(["busctl", f"--address={bus.address}", *words])


def gdbus(bus: Bus, *words: str) -> subprocess.CompletedProcess[str]:
    return said(["gdbus", *words[:1], "--address", bus.address, *words[1:]])


def said(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_what_busctl_asks_reaches_the_desk_and_the_answer_comes_back(served: tuple[Bus, Desk, Facade]) -> None:
    bus, desk, _ = served
    status = busctl(bus, "--json=short", "call", NAME, PATH, INTERFACE, "Status")
    assert json.loads(status.stdout)["data"][0][0] == {
        "component": {"type": "s", "data": "a"},
        "phase": {"type": "s", "data": "idle"},
        "size": {"type": "x", "data": 7},
        "asked": {"type": "b", "data": True},
        "deadline": {"type": "d", "data": 1.5},
    }
    assert json.loads(status.stdout)["data"][0][1:] == [
        {
            "component": {"type": "s", "data": "restart"},
            "wanted": {"type": "s", "data": "a, b"},
            "waits": {"type": "s", "data": "somebody is asked"},
        }
    ]
    assert busctl(bus, "call", NAME, PATH, INTERFACE, "Answer", "ss", "a", "tonight").returncode == 0
    assert busctl(bus, "call", NAME, PATH, INTERFACE, "Remind", "s", "a").returncode == 0
    assert desk.asked[1:] == [{"do": "answer", "component": "a", "answer": "tonight"}, {"do": "remind", "component": "a"}]


def test_a_no_says_why_and_a_wrong_call_is_refused(served: tuple[Bus, Desk, Facade]) -> None:
    bus, desk, _ = served
    words = ["dbus-send", f"--bus={bus.address}", "--print-reply", f"--dest={NAME}", PATH]
    refused = said([*words, f"{INTERFACE}.Remind", "string:nobody"])
    assert refused.returncode != 0
    assert "org.neurath.Error.NRT" in refused.stderr
    assert "no component 'nobody'; there are: a" in refused.stderr
    before = len(desk.asked)
    assert "takes 'ss'" in busctl(bus, "call", NAME, PATH, INTERFACE, "Answer", "s", "a").stderr
    assert "no method Explode" in busctl(bus, "call", NAME, PATH, INTERFACE, "Explode").stderr
    assert len(desk.asked) == before


def test_the_object_says_what_it_takes_and_the_page_says_the_same(served: tuple[Bus, Desk, Facade]) -> None:
    bus, _, _ = served
    seen = gdbus(bus, "introspect", "--dest", NAME, "--object-path", PATH, "--xml").stdout
    assert ElementTree.fromstring(seen).find("interface").get("name") == INTERFACE  # type: ignore[union-attr]
    assert seen.strip() == introspection().strip()
    assert introspection() in SPEC.read_text()


def test_what_a_program_holds_is_let_go_when_it_leaves_the_bus(served: tuple[Bus, Desk, Facade]) -> None:
    bus, desk, _ = served
    assert busctl(bus, "call", NAME, PATH, INTERFACE, "Busy", "ssd", "a", "a recording runs", "600").returncode == 0
    assert desk.asked[-1] == {"do": "busy", "component": "a", "why": "a recording runs", "for": 600.0}
    until(lambda: len(desk.gone) == 1)  # busctl has left
    assert desk.gone[0].startswith(":1.")


def test_prompts_and_progress_are_signals(served: tuple[Bus, Desk, Facade], tmp_path: Path) -> None:
    bus, _, made = served
    heard = tmp_path / "heard"
    words = ["stdbuf", "-oL", "gdbus", "monitor", "--address", bus.address, "--dest", NAME]
    with heard.open("w") as out, subprocess.Popen(words, stdout=out) as listener:
        try:
            until(lambda: "is owned by" in heard.read_text())
            about = {"component": "a", "version": "2", "text": "may it?", "reason": "", "deadline": 0.0}
            made.tell({"event": "prompt", "word": "ask"} | about)
            made.tell({"event": "task_progress", "component": "a", "done": 3, "total": 2**70})
            until(lambda: "task_progress" in heard.read_text())
        finally:
            listener.kill()
    assert f"{INTERFACE}.Prompt ('ask', 'a', '2', 'may it?', '', 0.0)" in heard.read_text()
    assert "'done': <int64 3>" in heard.read_text()


def test_without_a_bus_nothing_is_lost_and_when_it_comes_the_object_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("dbus-daemon")
    need("busctl")
    monkeypatch.setattr("neurath.terminal.dbus.AGAIN", 0.1)
    desk = Desk()
    made = facade(f"unix:path={tmp_path / 'bus'}", desk.ask, desk.gone.append, desk.notes.append)
    until(lambda: desk.notes)
    made.tell({"event": "prompt"})
    bus = Bus(tmp_path)
    until(lambda: NAME in busctl(bus, "list", "--acquired").stdout)
    bus.stop()
    bus = Bus(tmp_path)
    try:
        until(lambda: NAME in busctl(bus, "list", "--acquired").stdout)
        assert len(desk.notes) == 2
    finally:
        made.close()
        bus.stop()


def test_what_is_no_bus_is_refused() -> None:
    with pytest.raises(UsageError, match="no bus"):
        facade("moon", lambda who, words: {}, lambda who: None, lambda why: None)


def test_an_agent_without_the_extra_works_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    monkeypatch.delitem(sys.modules, "neurath.terminal.dbus")
    setup = 'server = "http://127.0.0.1:9"\nid = "t"\nmodel = "m"\nstate = "s"\npush = false\ndbus = "session"\n'
    part = 'trace = "trace"\n[[component]]\nname = "tool"\ninstaller = "file"\npath = "tool"\n'
    agent = compose(setup_from_toml(setup + part, tmp_path), lambda kind, fields: None)
    agent.close()
    assert "dbus_fast is missing: pip install" in (tmp_path / "trace").read_text()
