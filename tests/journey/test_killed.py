"""kill -9 of server, gateway and terminal, each alone and all at once, at moments of chance, while a file trickles over the
heartbeat of a high-availability pair whose nodes are two of them; with a staging that survives power cuts and with one that
does not. What was asked and sent is read from the cable between the two nodes."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from neurath.ids import TerminalId
from neurath.sim.corpus import Pair
from neurath.sim.ground import Ground
from neurath.sim.processes import Running, free_port
from neurath.sim.scenario import Actor, Fate, Scenario, board
from neurath.wire import pair, trickle
from neurath.wire.pair import Beat, Role
from neurath.wire.trickle import Ask, Reply, State
from tests.journey.trace import Trace, traced
from tests.parts import ASSURANCE
from tests.rigs.verbs import verb

ONE = TerminalId("terminal-1")
KEY = b"k" * 32
#: Each of these is killed so often; a few more follow in the full form.
ROUNDS = 6 if ASSURANCE else 1
LIMIT = 1200.0 if ASSURANCE else 500.0
EVERYBODY = ("server", "gateway", "agent")
#: An answer that took longer may have come too late, seconds: the pair's patience is 1.
LATE = 0.5


@dataclass
class Heard:
    """One heartbeat of the terminal and what came on its answer, if one came."""

    state: State
    at: float
    life: int
    reply: Reply | None = None
    took: float = 0.0


@dataclass
class Cable:
    """What lies between the nodes: it passes everything, and reads it."""

    terminal: tuple[str, int]
    gateway: tuple[str, int]
    life: int = 0
    heard: list[Heard] = field(default_factory=list)
    roles: dict[int, Role] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.ends = [_bound(), _bound()]  # the terminal's peer, and the gateway's
        self._open: dict[int, Heard] = {}
        for way in (0, 1):
            threading.Thread(target=self._pass, args=(way,), daemon=True).start()

    def _pass(self, way: int) -> None:
        while True:
            try:
                data = self.ends[way].recv(4096)
            except OSError:
                return
            with self.lock:
                self._read(pair.decode(data, KEY))
            self.ends[1 - way].sendto(data, self.gateway if way == 0 else self.terminal)

    def _read(self, beat: Beat) -> None:
        self.roles[beat.node] = beat.role
        if beat.node == 2 and not beat.answer:
            self._open[beat.number] = Heard(trickle.decode_state(beat.riding), time.monotonic(), self.life)
            self.heard.append(self._open[beat.number])
        elif beat.node == 1 and beat.answer and beat.number in self._open and beat.riding:
            of = self._open.pop(beat.number)
            of.reply, of.took = trickle.decode_reply(beat.riding), time.monotonic() - of.at

    def carried(self, life: int) -> int:
        """Answers with pieces in a life of the terminal."""
        with self.lock:
            return sum(one.life == life and one.reply is not None and bool(one.reply.pieces) for one in self.heard)

    def close(self) -> None:
        for end in self.ends:
            end.close()


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


@dataclass
class Site:
    """Server, gateway and terminal as processes, and the cable."""

    ground: Ground
    cable: Cable
    url: str
    staging: tuple[str | Path, ...]
    token: str
    running: dict[str, Running] = field(default_factory=dict)

    def write_nodes(self) -> None:
        ends = [end.getsockname() for end in self.cable.ends]
        shared = f'key = "{KEY.hex()}"\npatience = 1.0\n'
        for node, own, peer, more in (
            (2, self.cable.terminal, ends[0], ""),
            (1, self.cable.gateway, ends[1], f'terminal = "{ONE}"\n'),
        ):
            told = f'node = {node}\naddress = "{own[0]}:{own[1]}"\npeer = "{peer[0]}:{peer[1]}"\n{shared}{more}'
            (self.ground.root / f"node{node}.toml").write_text(told)

    def start(self, who: str) -> None:
        """A new process that has nothing but its files. Nobody waits until it is ready: the others go on meanwhile."""
        ground = self.ground
        port = ground.url.rsplit(":", 1)[1]
        words: dict[str, list[str | Path]] = {
            "server": ["serve", "--data", ground.data, "--port", port, "--sleep", "1", "--json"],
            "gateway": [
                "carrier", "pair", "--config", ground.root / "node1.toml", "--beat", "0.3", "--server", ground.url,
                "--token", self.token, "--period", "0.3", "--keep", ground.root / "kept", "--json",
            ],
            "agent": [
                "agent", "run", "--bank", ground.bank(ONE), "--model", ground.vault / "model.toml", "--server", self.url,
                "--token", ground.tokens[ONE], "--trickle", "0.2", "--heartbeat", f"pair:{ground.root / 'node2.toml'}",
                *self.staging, "--json",
            ],
        }  # fmt: skip
        if who == "agent":
            self.cable.life += 1
        self.running[who] = Running(who, words[who], ground.log(who), ground.heard)

    def kill(self, *victims: str) -> None:
        """All of them at once."""
        for who in victims:
            self.running[who].process.kill()
        for who in victims:
            self.running[who].process.wait()
            self.running[who].end()

    def carries(self, more: int, deadline: float) -> None:
        """Waits for so many more answers with pieces in this life of the terminal."""
        begin = self.cable.carried(self.cable.life)
        while self.cable.carried(self.cable.life) < begin + more:
            agent = self.running["agent"]
            assert agent.alive, f"it ended before everybody was killed; {agent.last_words()}"
            assert time.monotonic() < deadline, f"no pieces; {agent.last_words()}"
            time.sleep(0.02)

    def ends_confirmed(self, deadline: float) -> None:
        """Until the server knows that the new image runs; and it does."""
        while True:
            with suppress(httpx.HTTPError):
                told = httpx.get(f"{self.ground.url}/api/v1/terminals/{ONE}", trust_env=False, timeout=30).json()
                if told["ledger"][0]["verdict"] == "confirmed":
                    break
            agent = self.running["agent"]
            assert agent.alive, agent.last_words()
            assert time.monotonic() < deadline, agent.last_words()
            time.sleep(0.1)
        self.running["agent"].end(60)
        assert self.ground.runs_new(ONE)


@contextmanager
def opened(place: Path, seed: int, *staging: str | Path) -> Iterator[tuple[Site, Trace]]:
    rng = random.Random(seed)
    changed = 20_000 + 40_000 * ROUNDS
    old = rng.randbytes(2 * changed)
    images = Pair("made", "1.0", "2.0", old, rng.randbytes(changed) + old[changed:], real=False)
    actors = (Actor(ONE, Fate.SMOOTH),)
    ground = Ground(Scenario(images, board(images, 4 << 20), actors, seed), place, lambda text, **fields: None)
    cable = Cable(("127.0.0.1", free_port()), ("127.0.0.1", free_port()))
    running: dict[str, Running] = {}
    try:
        ground.prepare(None)
        token = str(verb("gateway", "add", "site", ONE, "--data", ground.data)[0]["token"])
        verb("rollout", "create", "--release", ground.release(images.new_version), "--all", "--start", "--data", ground.data)
        with traced(ground.url.removeprefix("http://")) as (url, trace):
            assert ground.server is not None
            running["server"] = ground.server
            made = Site(ground, cable, url, staging, token, running)
            made.write_nodes()
            made.start("gateway")
            yield made, trace
    finally:
        for one in running.values():
            one.end()
        cable.close()


@pytest.mark.heavy
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("kept", ["durable", "volatile"])
def test_everybody_is_killed_alone_and_together_and_it_goes_on_at_the_sync_point(tmp_path: Path, seed: int, kept: str) -> None:
    rng = random.Random(f"{seed}/{kept}")
    staging = ("--stage", tmp_path / "stage") if kept == "durable" else ("--spare", str(1 << 20))
    victims = [(who,) for who in EVERYBODY] + [EVERYBODY]
    victims = [one for _ in range(ROUNDS) for one in rng.sample(victims, len(victims))]
    deadline = time.monotonic() + LIMIT
    with opened(tmp_path, seed, *staging) as (site, trace):
        site.start("agent")
        for killed in victims:
            site.carries(rng.randint(2, 3), deadline)
            time.sleep(rng.random() * 0.2)
            site.kill(*killed)
            for who in killed:
                site.start(who)
        site.carries(1, deadline)
        site.ends_confirmed(deadline)
        with site.cable.lock:
            heard = list(site.cable.heard)
        with trace.lock:
            paths = [exchange.path for exchange in trace.exchanges]
    assert not any("/artifacts/" in path or "/neurath/v1/file/" in path for path in paths), "nothing came in bulk"
    _read_the_cable(heard, kept == "durable", len(victims))


def _read_the_cable(heard: list[Heard], durable: bool, kills: int) -> None:
    """Nothing before a sync point was sent; none ever fell, but where a power cut took what was there; of each kill at most
    one answer's pieces came again."""
    # Once it has installed it asks what there is, and a gateway that has not heard of that yet begins anew with the same file,
    # until it has: that is nobody's sync point.
    heard = heard[: next(n for n, one in enumerate(heard) if one.reply is not None and one.reply.last) + 1]
    most = max(len(one.reply.pieces) for one in heard if one.reply is not None)
    for one in heard:
        if one.reply is not None and one.reply.pieces:
            assert one.reply.first == one.state.sync
    lives = [[one for one in heard if one.life == life] for life in sorted({one.life for one in heard})]
    assert len(lives) > 1
    for life in lives if not durable else [heard]:
        syncs = [one.state.sync for one in life if one.state.ask is Ask.PIECES]
        assert syncs == sorted(syncs), "a terminal asked for what it had"
        sent = [index for one in life if (got := one.reply) for index in range(got.first, got.first + len(got.pieces))]
        late = sum(one.took > LATE for one in life)
        assert len(sent) - len(set(sent)) <= (kills + late) * most
    for life in lives[1:]:
        if durable:
            assert life[0].state.ask is Ask.PIECES
            assert life[0].state.sync > 0
        else:
            assert life[0].state == State(room=life[0].state.room), "what RAM held is gone, and it says so"
    complete = [one.reply for one in (heard if durable else lives[-1]) if one.reply is not None and one.reply.pieces]
    count = next(reply.first + len(reply.pieces) for reply in complete if reply.last)
    assert {i for reply in complete for i in range(reply.first, reply.first + len(reply.pieces))} == set(range(count))


@pytest.mark.heavy
@pytest.mark.timeout(LIMIT)
def test_of_two_nodes_that_are_killed_in_turn_one_is_active_in_the_end(tmp_path: Path, seed: int) -> None:
    """T22 with two real processes: the active one is killed, the other takes over, who comes back is a standby, and the file
    goes on. Then the other way round."""
    deadline = time.monotonic() + LIMIT
    with opened(tmp_path, seed, "--stage", tmp_path / "stage") as (site, _):
        site.start("agent")
        _roles(site, {1: Role.ACTIVE, 2: Role.STANDBY}, deadline)
        site.kill("gateway")
        _roles(site, {2: Role.ACTIVE}, deadline)
        site.start("gateway")
        site.carries(2, deadline)
        _roles(site, {1: Role.STANDBY, 2: Role.ACTIVE}, deadline)
        site.kill("agent")
        _roles(site, {1: Role.ACTIVE}, deadline)
        site.start("agent")
        site.carries(2, deadline)
        _roles(site, {1: Role.ACTIVE, 2: Role.STANDBY}, deadline)
        with site.cable.lock:
            heard = list(site.cable.heard)
    syncs = [one.state.sync for one in heard if one.state.ask is Ask.PIECES]
    assert syncs == sorted(syncs)


def _roles(site: Site, wanted: dict[int, Role], deadline: float) -> None:
    while True:
        with site.cable.lock:
            if all(site.cable.roles.get(node) is role for node, role in wanted.items()):
                return
        assert time.monotonic() < deadline, site.cable.roles
        time.sleep(0.02)
