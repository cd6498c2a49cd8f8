"""An update that rides on heartbeats, with real processes, real HTTP and one bank file, while server and agent are killed in
turn. What was sent is read from the wire; what was installed from the bank file."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.ids import TerminalId
from neurath.sim.corpus import Pair
from neurath.sim.ground import Ground
from neurath.sim.processes import Running
from neurath.sim.scenario import Actor, Fate, Scenario, board
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply, State
from tests.journey.trace import Trace, traced
from tests.rigs.verbs import verb

ONE = TerminalId("terminal-1")
#: SIGKILLs of each side in the quick form.
KILLS = 5
PATIENCE = 150.0
PERIOD = "0.15"


@dataclass
class Site:
    ground: Ground
    url: str
    trace: Trace
    stage: Path
    agent: Running | None = None

    def live(self) -> None:
        """A new process that has nothing but the bank file and the staging directory."""
        words = ["agent", "run", "--bank", self.ground.bank(ONE), "--model", self.ground.vault / "model.toml"]
        link = ["--server", self.url, "--token", self.ground.tokens[ONE], "--trickle", PERIOD, "--stage", self.stage]
        self.agent = Running(ONE, [*words, *link, "--once", "--json"], self.ground.log("agent"), self.ground.heard)

    def serve_again(self) -> None:
        self.ground._serve(int(self.ground.url.rsplit(":", 1)[1]))

    def beats(self) -> list[tuple[State, Reply]]:
        """Every heartbeat that was answered, in order."""
        with self.trace.lock:
            seen = [e for e in self.trace.exchanges if e.path.endswith("/heartbeat") and e.status == 200]
        return [(trickle.decode_state(e.sent), trickle.decode_reply(e.answer)) for e in seen]

    def carried(self, more: int, deadline: float) -> bool:
        """Waits for so many more answers with pieces; False when the agent has ended."""
        begin = sum(bool(reply.pieces) for _, reply in self.beats())
        while sum(bool(reply.pieces) for _, reply in self.beats()) < begin + more:
            assert self.agent is not None
            if not self.agent.alive:
                return False
            assert time.monotonic() < deadline, f"no pieces; {self.agent.last_words()}"
            time.sleep(0.03)
        return True


@pytest.fixture
def site(tmp_path: Path, seed: int) -> Iterator[Site]:
    rng = random.Random(seed)
    old = rng.randbytes(200_000)
    pair = Pair("made", "1.0", "2.0", old, rng.randbytes(80_000) + old[80_000:], real=False)
    ground = Ground(Scenario(pair, board(pair), (Actor(ONE, Fate.SMOOTH),), seed), tmp_path, lambda text, **fields: None)
    made = None
    try:
        ground.prepare(None)
        with traced(ground.url.removeprefix("http://")) as (url, trace):
            made = Site(ground, url, trace, tmp_path / "stage")
            yield made
            if made.agent is not None:
                made.agent.end()
    finally:
        if ground.server is not None:
            ground.server.end()


@pytest.mark.heavy
def test_server_and_agent_are_killed_in_turn_and_nothing_before_the_sync_point_comes_again(site: Site, seed: int) -> None:
    rng = random.Random(seed + 1)
    ground = site.ground
    verb(
        "rollout", "create", "--release", ground.release(ground.scenario.pair.new_version), "--all", "--start",
        "--data", ground.data,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    victims = ["server", "agent"] * KILLS
    rng.shuffle(victims)
    site.live()
    for victim in victims:
        assert site.carried(rng.randint(1, 3), deadline), "it ended before it was killed often enough"
        time.sleep(rng.random() * 0.2)
        assert site.agent is not None
        assert ground.server is not None
        process = ground.server if victim == "server" else site.agent
        process.process.kill()
        process.end()
        if victim == "server":
            site.serve_again()
        else:
            site.live()
    assert site.agent is not None
    assert site.agent.process.wait(max(1.0, deadline - time.monotonic())) == 0, site.agent.last_words()
    assert ground.runs_new(ONE)
    _read_the_wire(site)


def _read_the_wire(site: Site) -> None:
    beats = site.beats()
    wanted = [state.sync for state, _ in beats if state.ask is Ask.PIECES]
    assert wanted == sorted(wanted), "a terminal asked for what it had"
    sent: dict[int, int] = {}
    most = 0
    for state, reply in beats:
        if reply.pieces:
            assert reply.first == state.sync
            most = max(most, len(reply.pieces))
            for index in range(reply.first, reply.first + len(reply.pieces)):
                sent[index] = sent.get(index, 0) + 1
    again = sum(count - 1 for count in sent.values())
    assert again <= 2 * KILLS * most, "more than one answer's pieces came again for one kill"
    assert sorted(sent) == list(range(len(sent))), "no piece was left out"
    with site.trace.lock:
        paths = [exchange.path for exchange in site.trace.exchanges]
    assert not any("/artifacts/" in path or "/neurath/v1/file/" in path for path in paths), "nothing came in bulk"
