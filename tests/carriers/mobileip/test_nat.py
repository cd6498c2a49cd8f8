"""A node behind a NAT (RFC 3519): registrations and the tunnel in one UDP flow, through a real NAT made by nftables; tshark as
the judge. And the agent's decisions alone."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from neurath.carriers.mobileip.home import Answer, HomeAgent, Node
from neurath.carriers.mobileip.node import Home, MobileIp, Registration
from neurath.carriers.mobileip.run import Agent, Away
from neurath.carriers.mobileip.settings import home as home_file
from neurath.carriers.mobileip.tunnel import HomeLink
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import mobileip, trickle
from neurath.wire.mobileip import Address, Security, Udp
from neurath.wire.trickle import State
from tests.contracts.riding import FILE, Shelf, Stream, asks
from tests.parts import need
from tests.rigs.net import Capture, Namespace, Net, frames, tshark, udp, until

AGENT, HOME, CORRESPONDENT = Address("10.10.0.1"), Address("10.10.0.7"), "10.10.0.9"
PRIVATE, OUTSIDE, OPEN = "192.168.7.5", "10.31.0.7", "10.32.0.7"
SECURITY = Security(300, b"k" * 32)
USER, SECRET = "anna@example.org", b"s" * 32
HERE = Home(HOME, AGENT, SECURITY, USER, SECRET, 60, nat=True)
KNOWN = HomeAgent(AGENT, {HOME: Node(HOME, "terminal-1", SECURITY, USER, SECRET)}, 60)


# ---- decisions -------------------------------------------------------------------------------------------------------------


def registered(home: Home, whence: tuple[str, int], agent: HomeAgent = KNOWN, now: float = 1.8e9) -> tuple[HomeAgent, Answer]:
    node, packet = Registration(home).request(Address(PRIVATE), b"", now)
    agent, actions = agent.handle(packet, now, whence)
    answer = next(one for one in actions if isinstance(one, Answer))
    node, result = node.heard(answer.packet(mobileip.PEN), now)
    assert result is not None
    assert node.udp is (answer.udp is not None)
    return agent, answer


@pytest.mark.parametrize(
    ("nat", "whence", "tunnelled"),
    [(True, (OUTSIDE, 4711), True), (True, (PRIVATE, 4711), False), (False, (OUTSIDE, 4711), False)],
)
def test_the_tunnel_goes_in_udp_where_the_node_can_and_a_nat_lies_between(
    nat: bool, whence: tuple[str, int], tunnelled: bool
) -> None:
    agent, answer = registered(replace(HERE, nat=nat), whence)
    assert agent.outbound(HOME) == (whence if tunnelled else Address(PRIVATE))
    assert agent.inbound_udp(whence, HOME) is tunnelled
    assert agent.inbound(Address(PRIVATE), HOME) is not tunnelled
    assert not agent.inbound_udp((whence[0], whence[1] + 1), HOME)
    assert answer.udp == (Udp(keepalive=110) if tunnelled else None)


def test_a_node_may_insist_and_a_new_way_out_is_taken_from_the_next_registration() -> None:
    node, packet = Registration(HERE).request(Address(PRIVATE), b"", 1.8e9)
    request, _ = mobileip.decode(packet)
    forced = mobileip.encode(replace(request, said=replace(request.said, udp=Udp(force=True))), SECURITY)
    agent, _ = KNOWN.handle(forced, 1.8e9, (PRIVATE, 9))
    assert agent.outbound(HOME) == (PRIVATE, 9)
    agent, _ = registered(HERE, (OUTSIDE, 4712), agent, 1.8e9 + 1)
    assert agent.outbound(HOME) == (OUTSIDE, 4712)
    assert not agent.inbound_udp((PRIVATE, 9), HOME)
    assert node.sent


def test_the_bytes_are_those_of_rfc_3519() -> None:
    _, packet = Registration(HERE).request(Address(PRIVATE), b"", 1.8e9)
    assert bytes.fromhex("9006000000040000") in packet
    _, answer = registered(HERE, (OUTSIDE, 4711))
    assert bytes.fromhex("2c0600000000006e") in answer.packet(mobileip.PEN)
    assert mobileip.in_udp(b"packet") == b"\x04\x04\0\0packet"
    assert mobileip.out_of_udp(mobileip.in_udp(b"packet")) == b"packet"
    assert mobileip.out_of_udp(b"\x04\x2f\0\0packet") is None


def test_a_node_asks_only_where_its_file_says_so_and_it_has_a_tunnel(tmp_path: Path) -> None:
    words = {"home": str(HOME), "agent": str(AGENT), "user": USER, "secret": "73" * 32}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in words.items())
    text += 'spi = 300\nkey = "' + "6b" * 32 + '"\nalgorithm = "hmac-sha256"\n'
    for more, nat in (("", False), ("nat = true\n", True), ("nat = true\ntunnel = false\n", False)):
        (tmp_path / "node.toml").write_text(text + more)
        assert home_file(tmp_path / "node.toml").home.nat is nat


# ---- through a NAT ---------------------------------------------------------------------------------------------------------


@dataclass
class Land:
    """Agent with its home link and a correspondent on it; a NAT; the node behind it, with a second cable past it."""

    agent_side: Namespace
    node_side: Namespace
    correspondent: Namespace
    away: Away
    shelf: Shelf
    capture: Capture
    net: Net

    def beat(self, state: State | None = None) -> bytes:
        return self.node_side.call(self.away.heartbeat.beat, asks(state or State()))

    def pings(self, *more: object) -> int:
        said = self.correspondent.run("ping", "-c", 5, "-i", "0.2", "-W", 5, *more, HOME, check=False).stdout
        return said.count(" time=")


@pytest.fixture
def land(net: Net, tmp_path: Path) -> Land:
    for part in ("tun", "ping", "nft"):
        need(part)
    agent_side, nat, node_side, correspondent = (net.namespace(name) for name in ("home", "nat", "away", "corr"))
    net.veth(correspondent, "eth0", agent_side, "home0")
    correspondent.up("eth0", f"{CORRESPONDENT}/24")
    agent_side.up("home0", f"{AGENT}/24")
    net.veth(agent_side, "up0", nat, "out0")
    agent_side.up("up0", "10.31.0.254/24")
    nat.up("out0", f"{OUTSIDE}/24")
    net.veth(nat, "in0", node_side, "eth0")
    nat.up("in0", "192.168.7.1/24")
    node_side.up("eth0", f"{PRIVATE}/24")
    net.veth(agent_side, "up1", node_side, "eth1")
    agent_side.up("up1", "10.32.0.254/24")
    node_side.up("eth1", f"{OPEN}/24")
    nat.ip("route", "add", "default", "via", "10.31.0.254")
    node_side.ip("route", "add", "default", "via", "192.168.7.1")
    for one in (agent_side, nat):
        one.set("net/ipv4/ip_forward", 1)
    nat.run("nft", "add table ip nat")
    nat.run("nft", "add chain ip nat post { type nat hook postrouting priority 100 ; }")
    nat.run("nft", "add rule ip nat post oifname out0 masquerade")
    shelf = Shelf()
    agent = agent_side.call(Agent, KNOWN, HomeLink("home0"), shelf)
    net.later(agent.close)
    capture = net.capture(agent_side, "up0", tmp_path / "up.pcap")
    away = node_side.call(Away, MobileIp(HERE))
    net.later(lambda: node_side.call(away.close))
    return Land(agent_side, node_side, correspondent, away, shelf, capture, net)


@pytest.mark.heavy
def test_behind_a_nat_the_home_address_answers_and_a_file_rides(land: Land) -> None:
    assert land.pings() == 0, "before a registration nobody is at the home address"
    land.shelf.streams = [Stream(FILE)]
    session, complete, beats = Session(Ram(1 << 20)), None, 0
    while complete is None:
        beats += 1
        assert beats < 500
        state = session.state(land.away.heartbeat.descriptor.reply_room, 60)
        complete = session.accept(land.node_side.call(land.away.heartbeat.beat, trickle.encode_state(state))).complete
    assert session.active is not None
    assert session.active.file is not None
    assert session.active.file.read(0, len(FILE)) == FILE
    assert land.pings() == 5
    assert land.pings("-s", 3000) == 5, "fragments pass too"
    time.sleep(0.3)
    land.capture.close()
    path = land.capture.path
    assert tshark(path, "_ws.malformed") == []
    assert tshark(path, "ip.proto == 4") == [], "nothing but UDP passes this NAT"
    asked = tshark(path, "mip.type == 1", ["ip.src", "mip.coa", "mip.ext.type", "udp.srcport"])
    assert len(asked) == beats, "no packet but the heartbeats: they keep the NAT's way open"
    assert {(row[0], row[1]) for row in asked} == {(OUTSIDE, PRIVATE)}
    assert all("144" in row[2].split(",") for row in asked)
    assert len({row[3] for row in asked}) == 1
    answered = tshark(path, "mip.type == 3", ["mip.ext.type", "mip.ext.utrp.code", "mip.ext.utrp.keepalive"])
    assert {(row[1], row[2]) for row in answered} == {("0", "110")}
    through = tshark(path, "udp.port == 434 && icmp", ["udp.dstport"])
    home = sum(row == ["434"] for row in through)
    assert min(home, len(through) - home) >= 5, "pings and their answers, both inside UDP"


@pytest.mark.heavy
def test_out_of_the_nat_the_tunnel_is_ip_in_ip_again_and_strangers_are_not_let_in(land: Land) -> None:
    land.beat()
    assert land.pings() == 5
    # Somebody else who sends a packet of the home address in UDP, from the same NAT but another port.
    seen = land.net.capture(land.correspondent, "eth0", land.capture.path.parent / "home.pcap", udp(5000))
    forged = mobileip.in_udp(packet(b"liar" * 8))

    def lie() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(forged, (str(AGENT), 434))

    land.node_side.call(lie)
    land.away._way.send(packet(b"true" * 8))  # type: ignore[union-attr]
    until(lambda: any(b"true" * 8 in frame for frame in frames(seen.path)), "the node's own goes through", 30)
    seen.close()
    assert not any(b"liar" in frame for frame in frames(seen.path))
    land.node_side.ip("route", "replace", "default", "via", "10.32.0.254")
    direct = land.net.capture(land.agent_side, "up1", land.capture.path.parent / "direct.pcap")
    land.beat()
    assert land.pings() == 5
    direct.close()
    assert len(tshark(direct.path, "ip.proto == 4 && icmp")) >= 10
    assert tshark(direct.path, "_ws.malformed") == []


def packet(mark: bytes) -> bytes:
    """A UDP packet from the home address to the correspondent."""
    from neurath.carriers.dhcp.sockets import datagram

    return datagram(HOME.packed, socket.inet_aton(CORRESPONDENT), (5000, 5000), mark)
