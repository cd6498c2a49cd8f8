"""One update from upload to confirmed verdict, with real firmware, real processes, real HTTP on loopback and one bank file.
The order of things is read from outside: from what passes on the wire and from the bank file itself."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neurath.ids import TerminalId
from neurath.sim.ground import Ground
from neurath.sim.processes import Running
from neurath.sim.scenario import Actor, Fate, Scenario, board
from tests.journey.trace import Asked, Exchange, Trace, traced
from tests.parts import images
from tests.rigs.verbs import verb

ONE = TerminalId("terminal-1")
#: Seconds that one agent may take for its whole part.
PATIENCE = 90.0


@contextmanager
def prepared(name: str, folder: Path, seed: int) -> Iterator[Ground]:
    """A server with both images, one terminal that runs the old one, and a rollout of the new one."""
    pair = images(name)
    scenario = Scenario(pair, board(pair), (Actor(ONE, Fate.SMOOTH),), seed)
    ground = Ground(scenario, folder, lambda text, **fields: None)
    try:
        ground.prepare(None)
        verb("rollout", "create", "--release", ground.release(pair.new_version), "--all", "--start", "--data", ground.data)
        yield ground
    finally:
        if ground.server is not None:
            ground.server.end()


@dataclass
class Watcher:
    """Looks at the bank again and again: when did it first differ from the old image, and was a connection open then?"""

    ground: Ground
    trace: Trace
    first_change: float = 0.0
    open_then: int = -1
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        layout, old = self.ground.scenario.model.layout, self.ground.scenario.pair.old
        span = layout.bank[0]
        with self.ground.bank(ONE).open("rb") as bank:
            while not self.ended.wait(0.001) and not self.first_change:
                bank.seek(span.base)
                if bank.read(len(old)) != old:
                    self.first_change, self.open_then = time.monotonic(), self.trace.open


@contextmanager
def watching(ground: Ground, trace: Trace) -> Iterator[Watcher]:
    watcher = Watcher(ground, trace)
    thread = threading.Thread(target=watcher.watch, daemon=True)
    thread.start()
    yield watcher
    watcher.ended.set()
    thread.join(5)


def agent(ground: Ground, url: str, *more: str) -> Running:
    """One process that has nothing but the bank file and how to reach the server."""
    words = ["agent", "run", "--bank", str(ground.bank(ONE)), "--model", str(ground.vault / "model.toml"), "--server", url]
    return Running(ONE, [*words, "--token", ground.tokens[ONE], "--json", *more], ground.log("agent"), ground.heard)


def ended(process: Running) -> int:
    return process.process.wait(PATIENCE)


def offered(exchange: Exchange) -> bool:
    return exchange.method == "GET" and "/deploymentBase/" in exchange.path and b"neurath.file" in exchange.answer


def secured(asked: Asked | Exchange) -> bool:
    body = asked.body if isinstance(asked, Asked) else asked.sent
    return asked.path.endswith("/feedback") and b"neurath secured" in body


def fetched(exchange: Exchange) -> bool:
    return exchange.method == "GET" and "/artifacts/" in exchange.path and exchange.status in (200, 206)


def link_of(document: Any) -> str:
    """The download link of the first artifact in a deploymentBase document."""
    links = document["deployment"]["chunks"][0]["artifacts"][0]["_links"]
    return str(links.get("download-http", links.get("download"))["href"])


class Early:
    """Asks for the file the moment before the terminal says that its memory is secured; remembers the answer."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.trace = Trace()
        self.status = 0

    def __call__(self, asked: Asked) -> None:
        if not secured(asked) or self.status:
            return
        offers = [exchange for exchange in self.trace.exchanges if offered(exchange)]
        path = "/" + link_of(offers[-1].answer_json).split("/", 3)[3]
        request = urllib.request.Request(
            self.ground.url + path, headers={"Authorization": f"TargetToken {self.ground.tokens[ONE]}"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                self.status = answer.status
        except urllib.error.HTTPError as refusal:
            self.status = refusal.code


@pytest.mark.network
@pytest.mark.parametrize("name", ["primehub", "microbit"])
def test_real_firmware_goes_the_straight_path_from_upload_to_confirmed(name: str, tmp_path: Path, seed: int) -> None:
    with prepared(name, tmp_path, seed) as ground:
        pair = ground.scenario.pair
        early = Early(ground)
        with traced(ground.url.removeprefix("http://"), early) as (url, trace):
            early.trace = trace
            with watching(ground, trace) as watcher:
                process = agent(ground, url, "--once")
                assert ended(process) == 0, process.last_words()
                process.end()
        # Offer before transfer; memory secured before the request; without it, 409.
        first = [trace.places(kind)[0] for kind in (offered, secured, fetched)]
        assert first == sorted(first)
        assert early.status == 409
        # The link was closed before the first erase, and nothing was asked while the bank was neither old nor new.
        assert watcher.first_change
        assert watcher.open_then == 0
        last_piece = trace.exchanges[trace.places(fetched)[-1]]
        assert last_piece.at < watcher.first_change
        # Everybody says the same, and it is true.
        assert ground.runs_new(ONE)
        shown = verb("terminal", "show", ONE, "--data", ground.data)[0]
        line = next(one for one in shown["ledger"] if one["version"] == pair.new_version)
        assert line["verdict"] == "confirmed"
        assert shown["components"][0]["bank"] == hashlib.sha256(pair.new).hexdigest()
