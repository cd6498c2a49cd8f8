"""The control socket: who may open it, what it takes, and that nobody's junk or silence harms it."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from neurath.errors import LinkError, NeurathError, NotFound
from neurath.terminal.control import Control, request

VECTOR = json.loads((Path(__file__).parents[2] / "vectors/control.json").read_text())


class Desk:
    def __init__(self) -> None:
        self.gone: list[str] = []
        self.asked: list[Mapping[str, Any]] = []

    def ask(self, who: str, words: Mapping[str, Any]) -> Mapping[str, object]:
        self.asked.append(words)
        if words["do"] == "fail":
            raise NotFound("no such thing", "it is not there", "look elsewhere", id="NRT-130")
        return {"did": words["do"]}


@pytest.fixture
def served(tmp_path: Path):
    desk = Desk()
    control = Control(tmp_path / "run/agent.sock", desk.ask, desk.gone.append)
    yield tmp_path / "run/agent.sock", desk, control
    control.close()


def test_only_its_owner_may_open_it(served) -> None:
    path, _, _ = served
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_with_a_group_its_members_may_too(tmp_path: Path) -> None:
    control = Control(tmp_path / "s", Desk().ask, lambda who: None, "root")
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    control.close()
    assert not (tmp_path / "s").exists()


def test_a_request_is_answered_and_a_no_says_why(served) -> None:
    path, desk, _ = served
    assert request(path, {"do": "check"}) == {"ok": True, "did": "check"}
    with pytest.raises(NeurathError) as said:
        request(path, {"do": "fail"})
    assert (said.value.what, said.value.id) == ("no such thing", "NRT-130")
    deadline = time.monotonic() + 5
    while len(desk.gone) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(desk.gone) == 2


def test_junk_is_refused_and_the_next_line_is_heard(served) -> None:
    path, _, _ = served
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        lines = link.makefile("rb")
        for junk in (b"\n", b"[]\n", b'{"do": 5}\n', b"\xff\xfe\n", b"{" * 5000 + b"\n"):
            link.sendall(junk)
            assert json.loads(lines.readline())["ok"] is False
            if len(junk) > 4096:
                assert json.loads(lines.readline())["ok"] is False  # the rest of the line
        link.sendall(b'{"do": "check"}\n')
        assert json.loads(lines.readline())["ok"] is True


def test_events_reach_everybody_who_listens(served) -> None:
    path, _, control = served
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(path))
        lines = link.makefile("rb")
        link.sendall(b'{"do": "listen"}\n')
        assert json.loads(lines.readline()) == {"ok": True}
        control.tell({"event": "prompt", "word": "ask"})
        assert json.loads(lines.readline()) == {"event": "prompt", "word": "ask"}


def test_many_silent_connections_stop_nobody(served) -> None:
    path, _, control = served
    silent = []
    for _ in range(31):
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(path))
        silent.append(link)
    began = time.monotonic()
    control.tell({"event": "x"})
    assert request(path, {"do": "check"})["ok"] is True
    assert time.monotonic() - began < 2
    for link in silent:
        link.close()


def test_where_no_agent_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="no agent answers"):
        request(tmp_path / "nothing", {"do": "status"})


def test_the_vectors_are_what_goes_over_the_socket(served) -> None:
    path, desk, _ = served
    for one in VECTOR["requests"]:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(one["line"].encode() + b"\n")
            link.makefile("rb").readline()
        assert desk.asked[-1] == one["value"]
