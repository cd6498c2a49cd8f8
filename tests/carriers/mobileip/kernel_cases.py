"""Tunnels of the kernel's, on a kernel that has them: run by test_kernel.py inside user-mode Linux, collected by nobody
else. They are to let in what `home.inbound` lets in, and nothing more."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import pytest

from neurath.carriers.mobileip import kernel
from neurath.carriers.mobileip.home import HomeAgent, Node
from neurath.carriers.mobileip.node import Home, MobileIp
from neurath.carriers.mobileip.run import Agent, Carried, away
from neurath.carriers.mobileip.tunnel import HomeLink
from neurath.errors import RefusedError
from neurath.wire.mobileip import Address, Algorithm, Security
from neurath.wire.trickle import State
from tests.contracts.riding import Shelf, Stream, asks
from tests.rigs.net import Namespace, Net, laid, until

AGENT, PEER = Address("10.10.0.1"), "10.10.0.9"
HOMES = (Address("10.10.0.7"), Address("10.10.0.8"))
#: Where a node can be: both of these addresses are one machine's, which two nodes may share.
PLACES = ("10.31.0.7", "10.31.0.8")
SECURITY = Security(300, b"k" * 32, Algorithm.HMAC_SHA256)


class Site:
    """A correspondent on the home link, the home agent, and a foreign network."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.peer, self.home, self.foreign = (net.namespace(name) for name in ("peer", "home", "away"))
        net.veth(self.peer, "eth0", self.home, "home0")
        net.veth(self.home, "up0", self.foreign, "eth0")
        self.peer.up("eth0", f"{PEER}/24")
        self.home.up("home0", f"{AGENT}/24")
        self.home.up("up0", "10.31.0.254/24")
        self.foreign.up("eth0", *(f"{place}/24" for place in PLACES))
        self.foreign.ip("route", "add", "default", "via", "10.31.0.254")
        self.home.set("net/ipv4/ip_forward", 1)
        self.shelf = Shelf()
        self.agent: Agent | None = None

    def start(self, tunnels: str = "auto") -> Agent:
        nodes = {home: Node(home, f"terminal-{home}", SECURITY, "anna@example.org", b"s" * 32) for home in HOMES}
        self.agent = self.home.call(Agent, HomeAgent(AGENT, nodes, 60), HomeLink("home0"), self.shelf, tunnels)
        return self.agent

    def node(self, home: Address) -> MobileIp:
        return MobileIp(Home(home, AGENT, SECURITY, "anna@example.org", b"s" * 32, 60, True))

    def devices(self, where: Namespace) -> list[str]:
        """The tunnels of the kernel that are up here."""
        lines = where.run("ip", "-o", "link", "show", "type", "ipip", "up").stdout.splitlines()
        return sorted(line.split(":")[1].split("@")[0].strip() for line in lines)

    def pings(self) -> bool:
        return self.peer.run("ping", "-c", 1, "-W", 1, HOMES[0], check=False).returncode == 0


@pytest.fixture(scope="module")
def ground() -> Iterator[Site]:
    """Laid once: a kernel in a process is not quick."""
    with laid() as net:
        yield Site(net)


@pytest.fixture
def site(ground: Site) -> Iterator[Site]:
    yield ground
    if ground.agent is not None:
        ground.home.call(ground.agent.close)
        ground.agent = None
    ground.shelf.streams = []
    assert ground.devices(ground.home) == ground.devices(ground.foreign) == [], "nothing is left behind"


def test_the_kernel_carries_a_home_address_and_an_update_rides_all_the_same(site: Site) -> None:
    assert site.start().tunnels == "kernel"
    site.shelf.streams = [Stream(random.Random(1).randbytes(4000))]
    heartbeat = site.node(HOMES[0])
    following = site.foreign.call(away, heartbeat)
    assert isinstance(following, Carried)
    assert not site.pings()
    assert len(site.foreign.call(heartbeat.beat, asks(State()))) > 200, "pieces ride"
    assert site.devices(site.home) == [kernel.name(Address(PLACES[0]))]
    until(site.pings, "the home address answers")
    site.foreign.call(heartbeat.farewell)
    assert site.devices(site.home) == [], "the device went with its last home"
    site.foreign.call(following.close)
    assert site.devices(site.foreign) == []


def test_a_node_that_moves_takes_its_tunnel_along(site: Site) -> None:
    site.start()
    heartbeat = site.node(HOMES[0])
    following = site.foreign.call(away, heartbeat)
    for number in (1, 0):
        site.foreign.ip("addr", "flush", "dev", "eth0")
        site.foreign.ip("addr", "add", f"{PLACES[number]}/24", "dev", "eth0")
        site.foreign.ip("route", "replace", "default", "via", "10.31.0.254")
        site.foreign.call(heartbeat.beat, asks(State()))
        assert site.devices(site.home) == [kernel.name(Address(PLACES[number]))]
        until(site.pings, f"the home address answers from {PLACES[number]}")
    site.foreign.ip("addr", "add", f"{PLACES[1]}/24", "dev", "eth0")
    site.foreign.call(following.close)


def test_two_nodes_behind_one_care_of_address_share_a_device_until_both_are_gone(site: Site) -> None:
    site.start()
    nodes = [site.node(home) for home in HOMES]
    for node in nodes:
        site.foreign.call(node.beat, asks(State()))
    assert site.devices(site.home) == [kernel.name(Address(PLACES[0]))]
    site.foreign.call(nodes[0].farewell)
    assert site.devices(site.home) == [kernel.name(Address(PLACES[0]))]
    assert "10.10.0.8" in site.home.run("ip", "route").stdout
    site.foreign.call(nodes[1].farewell)
    assert site.devices(site.home) == []


def _told(site: Site, inner: tuple[str, str], source: str, to: Address, listener: Namespace, at: str) -> bool:
    """Whether a UDP packet with these inner ends, wrapped and sent from `source` to `to`, is heard inside."""
    with contextlib.closing(listener.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as ear:
        ear.bind((at, 5000))
        ear.settimeout(0.7)
        sender = site.foreign if source in PLACES else site.home
        with contextlib.closing(sender.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)) as raw:
            raw.bind((source, 0))
            raw.sendto(_packet(*inner), (str(to), 0))
        try:
            return ear.recv(100) == b"mark" * 8
        except TimeoutError:
            return False


def test_the_agent_lets_in_a_home_address_only_from_where_its_node_is(site: Site) -> None:
    """Reverse tunnel: what `home.inbound` demands of ours, seen of the kernel's."""
    site.start()
    node = site.node(HOMES[0])
    site.foreign.call(node.beat, asks(State()))
    true, liar = PLACES
    assert _told(site, (str(HOMES[0]), PEER), true, AGENT, site.peer, PEER)
    assert not _told(site, (str(HOMES[0]), PEER), liar, AGENT, site.peer, PEER), "from another address"
    assert not _told(site, (str(HOMES[1]), PEER), true, AGENT, site.peer, PEER), "another home, which is nowhere"
    assert not _told(site, ("10.10.0.77", PEER), true, AGENT, site.peer, PEER), "no home of ours"
    assert not _told(site, (PEER, PEER), true, AGENT, site.peer, PEER), "the home link's own"
    assert _told(site, (str(HOMES[0]), PEER), true, AGENT, site.peer, PEER), "and still from where it is"


def test_a_node_lets_in_only_its_agents_packets_for_its_home_address(site: Site) -> None:
    site.start()
    node = site.node(HOMES[0])
    following = site.foreign.call(away, node)
    site.foreign.call(node.beat, asks(State()))
    care_of, home = Address(PLACES[0]), str(HOMES[0])
    assert _told(site, (PEER, home), str(AGENT), care_of, site.foreign, home)
    assert not _told(site, (PEER, home), "10.31.0.254", care_of, site.foreign, home), "not from its agent's address"
    assert not _told(site, (PEER, PLACES[1]), str(AGENT), care_of, site.foreign, PLACES[1]), "not for another address here"
    site.foreign.call(following.close)


def test_an_agent_clears_what_one_that_was_killed_left(site: Site) -> None:
    site.start()
    for home in HOMES:
        site.foreign.call(site.node(home).beat, asks(State()))
    left = site.home.call(kernel.Homes, AGENT)
    site.home.call(left.take, HOMES[0], Address("10.31.0.99"))
    assert len(site.devices(site.home)) == 2
    site.home.call(kernel.cleared, Address("10.10.0.2"))
    assert len(site.devices(site.home)) == 2, "another agent's are not ours"
    site.home.call(kernel.cleared, AGENT)
    assert site.devices(site.home) == []
    assert site.agent is not None
    site.agent._kernel = None  # what it knows went with the devices


def test_loose_reverse_paths_are_refused_or_our_own_tunnels_taken(site: Site) -> None:
    site.home.set("net/ipv4/conf/all/rp_filter", 2)
    try:
        with pytest.raises(RefusedError) as refused:
            site.start("kernel")
        assert "rp_filter is 2" in refused.value.why
        assert site.start().tunnels == "user"
    finally:
        site.home.set("net/ipv4/conf/all/rp_filter", 0)


def test_what_is_asked_for_is_used_and_a_probe_leaves_nothing(site: Site) -> None:
    assert site.home.call(kernel.why_not) == ""
    assert site.devices(site.home) == []
    assert site.start("user").tunnels == "user"


def _packet(source: str, to: str) -> bytes:
    """A UDP packet to port 5000."""
    import struct

    body = struct.pack(">HHHH", 5000, 5000, 8 + 32, 0) + b"mark" * 8
    ends = socket.inet_aton(source), socket.inet_aton(to)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, *ends)
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + body
