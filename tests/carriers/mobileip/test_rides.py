"""Updates that ride on registrations, with a real home agent and a real node in networks of their own: the common contract of
riding carriers, packets counted from captures, and tshark as the judge of every one."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.carriers.base import Descriptor
from neurath.carriers.mobileip.home import HomeAgent, Node
from neurath.carriers.mobileip.node import Home, MobileIp
from neurath.carriers.mobileip.run import Agent
from neurath.carriers.mobileip.tunnel import HomeLink
from neurath.errors import LinkError
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Algorithm, Security
from neurath.wire.trickle import State
from tests.contracts.riding import FILE, ROOM, RidesContract, Shelf, Stream, asks, gathered
from tests.parts import need
from tests.rigs.net import Capture, Namespace, Net, frames, tshark, udp, until

pytestmark = pytest.mark.heavy

AGENT, HOME, AWAY = Address("10.10.0.1"), Address("10.10.0.7"), "10.31.0.7"
USER, SECRET = "anna@example.org", b"s" * 32
FIELDS = ("udp.dstport", "mip.ext.type", "mip.code", "mip.life")


@dataclass
class Inside:
    """A node's heartbeat that beats inside a namespace; `spoiled`: what rode arrives with a changed byte."""

    where: Namespace
    real: MobileIp
    spoiled: bool = False

    @property
    def descriptor(self) -> Descriptor:
        return self.real.descriptor

    def beat(self, state: bytes) -> bytes:
        data = self.where.call(self.real.beat, state)
        return data[:-1] + bytes([data[-1] ^ 1]) if self.spoiled and len(data) > 8 else data


@dataclass
class Site:
    """A home agent and a node, a cable between them."""

    net: Net
    agent_side: Namespace
    node_side: Namespace
    agent: Agent
    rides: Inside
    shelf: Shelf
    capture: Capture
    terminal: str = "terminal-1"
    cost: int = 1

    def packets(self) -> int:
        time.sleep(0.15)
        return sum(frame[36:38] == b"\x01\xb2" for frame in frames(self.capture.path))

    def cut(self) -> None:
        self.node_side.ip("link", "set", "eth0", "down")

    def mend(self) -> None:
        self.node_side.ip("link", "set", "eth0", "up")

        def there() -> bool:
            try:
                self.rides.beat(asks(State()))
            except LinkError:
                return False
            return True

        self.node_side.ip("route", "replace", "default", "via", "10.31.0.254")
        until(there, "the agent answers again")

    def damage(self, on: bool) -> None:
        self.rides.spoiled = on


def built(net: Net, folder: Path, algorithm: Algorithm, *, wide: bool, nonces: bool = False) -> Site:
    need("tun")
    agent_side, node_side = net.namespace("home"), net.namespace("away")
    net.veth(agent_side, "up0", node_side, "eth0")
    agent_side.up("up0", "10.31.0.254/24")
    node_side.up("eth0", f"{AWAY}/24")
    agent_side.ip("link", "add", "home0", "type", "bridge")
    agent_side.up("home0", f"{AGENT}/24")
    node_side.ip("route", "add", "default", "via", "10.31.0.254")
    agent_side.set("net/ipv4/ip_forward", 1)
    security = Security(300, b"k" * 32, algorithm)
    shelf = Shelf()
    known = HomeAgent(AGENT, {HOME: Node(HOME, "terminal-1", security, USER, SECRET, nonces=nonces)}, 60)
    agent = agent_side.call(Agent, known, HomeLink("home0"), shelf)
    net.later(agent.close)
    heartbeat = MobileIp(Home(HOME, AGENT, security, USER, SECRET, 60, wide, nonces=nonces))
    capture = net.capture(node_side, "eth0", folder / "registrations.pcap", udp(434))
    return Site(net, agent_side, node_side, agent, Inside(node_side, heartbeat), shelf, capture)


class TestMobileIp(RidesContract):
    """What every riding carrier promises."""

    KINDS = ((Algorithm.HMAC_MD5, False, False), (Algorithm.HMAC_SHA256, True, False), (Algorithm.HMAC_MD5, True, True))

    @pytest.fixture(params=KINDS, ids=["md5-short", "sha256-long", "md5-nonces"])
    def site(self, request: pytest.FixtureRequest, net: Net, tmp_path: Path) -> Site:
        algorithm, wide, nonces = request.param
        made = built(net, tmp_path, algorithm, wide=wide, nonces=nonces)
        if nonces:  # the first exchange of a life fetches the agent's nonce
            made.rides.beat(asks(State()))
            made.shelf.seen.clear()
            made.shelf.states.clear()
        return made


@pytest.fixture
def one(net: Net, tmp_path: Path) -> Site:
    return built(net, tmp_path, Algorithm.HMAC_SHA256, wide=True)


def test_1000_registrations_cost_the_same_packets_with_and_without_a_waiting_update(one: Site) -> None:
    """B1 for this carrier, fragments counted; only sizes differ."""
    one.rides.beat(asks(State()))
    counts, sizes = [], []
    for streams in ([], [Stream(random.Random(1).randbytes(400_000))]):
        one.shelf.streams = streams
        session = Session(Ram(1 << 20))
        capture = one.net.capture(one.node_side, "eth0", one.capture.path.with_suffix(f".{len(counts)}.pcap"), udp(434))
        for _ in range(1000):
            session.accept(one.rides.beat(asks(session.state(one.rides.descriptor.reply_room))))
        capture.close()
        counts.append(capture.count)
        sizes.append(sum(map(len, frames(capture.path))))
    assert counts == [2000, 2000]
    assert sizes[1] > sizes[0] + 1000 * 200


def test_every_packet_is_judged_by_tshark_and_both_forms_of_answer_are_there(one: Site) -> None:
    """T6, T7: identity and proof in the first request alone; answers with a body, in both kinds of extension, and without."""
    need("tshark")
    one.rides.beat(asks(State()))
    for most in (1, 4):
        one.shelf.streams, one.shelf.most = [Stream(FILE)], most
        session = Session(Ram(ROOM))
        for _ in range(3):
            session.accept(one.rides.beat(asks(session.state(one.rides.descriptor.reply_room))))
    one.shelf.streams = []
    one.rides.beat(asks(State()))
    one.capture.close()
    assert tshark(one.capture.path, "_ws.malformed") == []
    rows = tshark(one.capture.path, "mip", FIELDS)
    requests = [row[1] for row in rows if row[0] == "434"]
    answers = [row[1] for row in rows if row[0] != "434"]
    assert len(requests) == len(answers) == 8
    assert requests[0] == "131,134,134,134,32", "identity, proof, that long ones are taken, state, authenticator"
    assert set(requests[1:]) == {"134,134,32"}, "no identity in a keep-alive"
    assert set(answers) == {"32", "134,32", "38,32"}, "without a body; with one piece; with several"
    assert {row[2] for row in rows if row[0] != "434"} == {"0"}


def test_replayed_and_forged_registrations_are_refused_on_the_wire(one: Site, seed: int) -> None:
    import socket

    one.rides.beat(asks(State()))
    time.sleep(0.2)
    true = next(frame[42:] for frame in frames(one.capture.path) if frame[36:38] == b"\x01\xb2")
    forged = mobileip.encode(mobileip.decode(true)[0], Security(300, b"f" * 32))
    with one.node_side.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.settimeout(5)
        codes = []
        for packet in (true, forged):
            thief.sendto(packet, (str(AGENT), 434))
            codes.append(mobileip.decode(thief.recv(2000))[0].code)  # type: ignore[union-attr]
    assert codes == [133, 131]
    assert one.agent.state.bindings[HOME].care_of == Address(AWAY)
    assert len(one.shelf.states) == 1, "nothing was asked for those"


def test_a_node_that_said_good_bye_goes_on_elsewhere_at_its_sync_point(one: Site) -> None:
    """T10."""
    one.shelf.streams = [Stream(FILE)]
    session = Session(Ram(ROOM))
    for _ in range(6):
        session.accept(one.rides.beat(asks(session.state(one.rides.descriptor.reply_room))))
    before = session.state(1000).sync
    assert before > 3
    one.node_side.call(one.rides.real.farewell)
    assert one.agent.state.bindings == {}
    one.node_side.ip("addr", "del", f"{AWAY}/24", "dev", "eth0")
    one.node_side.ip("addr", "add", "10.31.0.9/24", "dev", "eth0")
    one.node_side.ip("route", "replace", "default", "via", "10.31.0.254")
    asked = len(one.shelf.states)
    assert gathered(one, session) is not None  # type: ignore[arg-type]
    assert one.agent.state.bindings[HOME].care_of == Address("10.31.0.9")
    later = [mobile for mobile in one.shelf.states[asked:] if mobile is not None]
    assert all(int.from_bytes(state[6:9], "big") >= before for state in later), "nothing before the sync point was asked for"


def test_a_binding_that_ends_takes_its_route_and_its_proxy_entry_along(one: Site) -> None:
    home = one.rides.real.state.home
    one.rides.real = MobileIp(Home(HOME, AGENT, home.security, USER, SECRET, lifetime=2))
    one.rides.beat(asks(State()))
    until(lambda: "10.10.0.7" in one.agent_side.run("ip", "route").stdout, "the route is there")
    assert "10.10.0.7" in one.agent_side.run("ip", "neigh", "show", "proxy").stdout
    until(lambda: "10.10.0.7" not in one.agent_side.run("ip", "route").stdout, "the route is gone", 5)
    assert "10.10.0.7" not in one.agent_side.run("ip", "neigh", "show", "proxy").stdout
