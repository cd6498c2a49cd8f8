"""Updates over CoAP with real processes: whole, through kills of both sides, over a lossy link, and with the carrier changed
in the middle. What was sent is read from the datagrams; what was installed from the bank file."""

from __future__ import annotations

import itertools
import queue
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurath.sim.datagrams import CLEAR, DatagramLink, Weather
from neurath.sim.link import CuttingLink
from neurath.sim.processes import Running, free_port
from neurath.wire import coap, trickle
from neurath.wire.coap import Code, Type
from neurath.wire.trickle import Ask, Reply, State
from tests.journey.site import Site, digest_of, until
from tests.rigs.verbs import verb
from tests.server.world import image

#: Seconds for what a busy machine may be slow at.
LONG = 150.0


class Wire:
    """What passed, as messages."""

    def __init__(self) -> None:
        self.passed: list[tuple[bool, coap.Message]] = []
        self._when: tuple[int, Callable[[], None]] | None = None
        self._done = threading.Event()

    def __call__(self, towards_terminal: bool, data: bytes) -> None:
        self.passed.append((towards_terminal, coap.decode(data)))
        if self._when is not None and len(self.blocks()) >= self._when[0]:
            act, self._when = self._when[1], None
            act()
            self._done.set()

    def when(self, asked: int, act: Callable[[], None]) -> threading.Event:
        """Acts on the link at the very datagram that asks for so many blocks: no test is too slow to see it pass."""
        self._done = threading.Event()
        self._when = asked, act
        return self._done

    def asked(self, verb: str) -> list[coap.Message]:
        """The requests to one kind of resource, those that came again once, in order."""
        found: dict[tuple[int, bytes], coap.Message] = {}
        for towards, message in list(self.passed):
            if not towards and message.code in (Code.GET, Code.POST) and message.all(coap.URI_PATH)[0] == verb.encode():
                found.setdefault((message.mid, message.token), message)
        return list(found.values())

    def blocks(self) -> list[int]:
        """The numbers of the file's blocks that were asked for."""
        return [block.number for message in self.asked(coap.FILE) if (block := message.block(coap.BLOCK2))]

    def beats(self) -> list[tuple[State, Reply]]:
        """Every heartbeat that was answered, in order."""
        answers = {m.token: m for towards, m in list(self.passed) if towards and m.code == Code.CHANGED}
        return [
            (trickle.decode_state(m.payload), trickle.decode_reply(answers[m.token].payload))
            for m in self.asked(coap.HEARTBEAT)
            if m.token in answers
        ]


class CoapSite(Site):
    """A site whose server answers over CoAP too, at a port that stays."""

    def __init__(self, place: Path, *carriers: str) -> None:
        super().__init__(
            place, sleep=1, serve=("--coap", str(free_port()), *(word for one in carriers for word in ("--carrier", one)))
        )
        self.port = int(self.said["coap"].rsplit(":", 1)[1])
        self.web = int(self.url.rsplit(":", 1)[1])
        for number in (2,):
            file, envelope = place / f"{number}.bin", place / f"{number}.env"
            file.write_bytes(image(number))
            envelope.write_bytes(self.seal(image(number), number))
            verb("image", "add", file, "--model", "phone", "--version", str(number), "--envelope", envelope, *self.data)
        verb("rollout", "create", "--release", "phone/2", "--all", "--start", *self.data)

    @contextmanager
    def link(self, weather: Weather = CLEAR, seed: int = 0) -> Iterator[tuple[DatagramLink, Wire]]:
        wire = Wire()
        with DatagramLink(("127.0.0.1", self.port), weather, seed, wire) as link:
            yield link, wire

    def agent(self, url: str, *more: str) -> Running:
        words = ("agent", "run", *self.terminal(), "--server", url, "--token", self.token)
        self.run("agent", *words, "--stage", self.place / "stage", *more)
        return self.running[-1]

    def kill(self, who: str) -> None:
        one = next(one for one in self.running if one.who == who and one.alive)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(60)

    def serve_again(self) -> None:
        ports = ("--port", str(self.web), "--sleep", "1", "--coap", str(self.port))
        self.run("server", "serve", *ports, *self.data)
        until(self.reachable, LONG)

    def ends(self, agent: Running, seconds: float = LONG) -> None:
        assert agent.process.wait(seconds) == 0, agent.last_words()
        assert self.status()["image"] == digest_of(2)
        # The confirmation may have gone to a server that was being killed: the next contact makes it good.
        assert self.status()["installs"] == 1


@pytest.fixture
def site(tmp_path: Path) -> Iterator[CoapSite]:
    made = CoapSite(tmp_path)
    yield made
    made.end()


def stands(value: Callable[[], int], least: int) -> None:
    """Waits until the value has reached this and no longer grows."""
    until(lambda: value() >= least, LONG)
    last = -1
    while (now := value()) != last:
        last = now
        try:
            queue.SimpleQueue[None]().get(timeout=0.3)
        except queue.Empty:
            continue


@pytest.mark.heavy
def test_an_update_goes_the_whole_way_over_coap(site: CoapSite) -> None:
    with site.link() as (link, wire):
        site.ends(site.agent(link.url, "--once"))
        assert site.ledger(2)["verdict"] == "confirmed"
        first, file = wire.passed.index, wire.asked(coap.FILE)[0]
        secured = next(m for m in wire.asked(coap.REPORT) if b"secured" not in m.payload and m.payload)
        assert first((False, wire.asked(coap.CHECK)[0])) < first((False, secured)) < first((False, file))
        assert wire.blocks() == list(range(len(wire.blocks()))), "each block once, in order"
        kinds = {message.type for towards, message in wire.passed if not towards}
        assert kinds <= {Type.CON, Type.ACK}


@pytest.mark.heavy
def test_killed_on_both_sides_over_a_lossy_link_it_resumes_at_what_it_had(site: CoapSite, seed: int) -> None:
    """A8 over CoAP: a life begins at what is on the medium, at most 16 blocks behind what came (docs/spec/staging.md); a
    server that dies costs nothing."""
    rng = random.Random(seed)
    with site.link(Weather(loss=0.03, double=0.05, late=0.02), seed) as (link, wire):
        lives: list[list[int]] = []
        for last in (False, True):
            before = len(wire.blocks())
            # The first life asks for 18 blocks; the second loses its server at its first ones, and gets the rest.
            cut = wire.when(before + (rng.randrange(1, 4) if last else 18), lambda: link.allow(0))
            link.mend()
            agent = site.agent(link.url, *(["--once"] if last else []))
            assert cut.wait(LONG)
            site.kill("server" if last else "agent")
            if last:
                site.serve_again()
                link.mend()
                site.ends(agent)
            # A server that is away for long makes its block be asked for again, under a new number.
            lives.append([number for number, _ in itertools.groupby(wire.blocks()[before:])])
    assert lives[0][0] == 0
    for earlier, later in itertools.pairwise(lives):
        assert earlier == list(range(earlier[0], earlier[-1] + 1)), "each block once in a life"
        assert earlier[-1] - 16 <= later[0] <= earlier[-1]
    assert site.ledger(2)["verdict"] == "confirmed"


@pytest.mark.heavy
def test_a_transfer_changes_from_http_to_coap_and_back_and_goes_on(site: CoapSite) -> None:
    """T24 for bulk: one staging, whatever brings the bytes."""
    size = 0
    with CuttingLink(("127.0.0.1", site.web)) as web, site.link() as (link, wire):
        web.allow(22_000)
        site.agent(web.url)
        stands(lambda: web.passed, 20_000)
        site.kill("agent")
        link.allow(12_000)
        site.agent(link.url)
        stands(lambda: link.passed, 8_000)
        site.kill("agent")
        assert wire.blocks()[0] >= 8, "it began where HTTP had left off"
        web.mend()
        before = web.passed
        site.ends(site.agent(web.url, "--once"))
        size = int(str(site.ledger(2)["size"]))
        assert web.passed - before < size - 12_000, "HTTP fetched only the rest"


@pytest.mark.heavy
def test_pieces_ride_on_heartbeats_over_coap_then_http_then_coap(site: CoapSite) -> None:
    """T24: the client changes its carrier half-way and goes on at its sync point; nothing came in bulk."""
    with site.link() as (link, wire):
        web = f"http://127.0.0.1:{site.web}"
        trickles = ("--trickle", "0.1")
        site.agent(link.url, *trickles)
        until(lambda: sum(len(reply.pieces) for _, reply in wire.beats()) > 20, LONG)
        site.kill("agent")
        seen = wire.beats()[-1][0].sync
        site.agent(web, *trickles)
        until(lambda: int(str(site.ledger(2)["sync"])) > (seen + 20) * 200, LONG)
        site.kill("agent")
        before = len(wire.beats())
        site.ends(site.agent(web, *trickles, "--heartbeat", link.url, "--once"))
        later = [state.sync for state, _ in wire.beats()[before:] if state.ask is Ask.PIECES]
        assert later[0] > seen, "what HTTP brought is not asked for again"
        assert later == sorted(later)
        assert not wire.asked(coap.FILE)
