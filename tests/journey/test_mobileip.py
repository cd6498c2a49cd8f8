"""A terminal with a home address takes an update while it roams: home link, two foreign networks, a correspondent that pings
the home address throughout, the server with its home agent, and the agent: the real product, in networks of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from neurath.sim.narrow import ONE, Kit, kit
from neurath.sim.processes import Running, Said
from tests.parts import need
from tests.rigs.net import Capture, Namespace, Net, frames, tshark, until
from tests.rigs.verbs import verb

pytestmark = pytest.mark.heavy

HOME, AGENT, CORRESPONDENT = "10.10.0.7", "10.10.0.1", "10.10.0.9"
#: Foreign networks: the router's address there, the node's, its interface.
FOREIGN = (("10.31.0.254", "10.31.0.7", "va"), ("10.32.0.254", "10.32.0.7", "vb"))
#: A kernel that runs as a process under load (tests/rigs/uml.py) lets a registration take longer.
SLOWER = float(os.environ.get("NEURATH_SLOWER", "1"))
COMMAND = (sys.executable, "-m", "neurath.cli.main")


@dataclass
class Land:
    """Four networks: home, a router between, two foreign ones that the node can be in."""

    net: Net
    agent: Namespace
    node: Namespace
    correspondent: Namespace
    capture: Capture
    root: Path
    running: list[Running] = field(default_factory=list)

    def start(self, where: Namespace, *words: str | Path) -> Running:
        log = self.root / f"{words[0]}{len(self.running)}.log"
        with where.entered():
            made = Running(str(words[0]), [*words, "--json"], log, queue.Queue[Said]())
        self.running.append(made)
        return made

    def visits(self, number: int) -> None:
        """The node leaves the network it is in, if any, and comes into this one."""
        for _, _, interface in FOREIGN:
            self.node.ip("addr", "flush", "dev", interface)
        router, address, interface = FOREIGN[number]
        self.node.ip("addr", "add", f"{address}/24", "dev", interface)
        self.node.ip("route", "replace", "default", "via", router)

    def reached(self, count: int = 1) -> bool:
        """Whether the home address answers the correspondent."""
        return self.correspondent.run("ping", "-c", count, "-W", 1, "-i", "0.2", HOME, check=False).returncode == 0


@pytest.fixture
def land(net: Net, tmp_path: Path) -> Iterator[Land]:
    need("tun")
    need("ping")
    agent, router, node, correspondent = (net.namespace(name) for name in ("agent", "router", "node", "corr"))
    net.veth(correspondent, "eth0", agent, "home0")
    correspondent.up("eth0", f"{CORRESPONDENT}/24")
    agent.up("home0", f"{AGENT}/24")
    net.veth(agent, "up0", router, "down0")
    agent.up("up0", "10.20.0.1/24")
    router.up("down0", "10.20.0.254/24")
    agent.ip("route", "add", "10.0.0.0/8", "via", "10.20.0.254")
    router.ip("route", "add", "10.10.0.0/24", "via", "10.20.0.1")
    for end in (agent, router):
        end.set("net/ipv4/ip_forward", 1)
    for address, _, name in FOREIGN:
        net.veth(node, name, router, name)
        router.up(name, f"{address}/24")
        node.up(name)
    made = Land(net, agent, node, correspondent, net.capture(agent, "up0", tmp_path / "up.pcap"), tmp_path)
    try:
        yield made
    finally:
        for process in reversed(made.running):
            process.end()


def neurath(*words: object) -> None:
    verb(*map(str, words))


def ready(land: Land, seed: int, *, apart: bool = False) -> Kit:
    """A server with a home agent inside it, or beside it as a gateway, a node's files, an update that is rolled out."""
    made = kit(land.root / "kit", seed, 90_000, 120_000)
    data, config = made.ground.data, land.root / "home-agent.toml"
    (land.root / "password").write_text("correct horse\n")
    config.write_text(f'address = "{AGENT}"\nhome_link = "home0"\nlifetime = 30\n')
    neurath(
        "carrier", "mobileip", "node", ONE, "--home", HOME, "--agent", AGENT, "--user", "anna@example.org",
        "--password-file", land.root / "password", "-o", land.root / "node.toml", "--config", config,
    )  # fmt: skip
    assert "correct horse" not in config.read_text() + (land.root / "node.toml").read_text()
    neurath("rollout", "create", "--release", made.new, "--all", "--start", "--data", data)
    inside = () if apart else ("--carrier", f"mobileip:{config}")
    land.start(land.agent, "serve", "--data", data, "--host", AGENT, "--port", "8642", *inside)
    land.agent.listens(8642, limit=90)
    if apart:
        token = str(verb("gateway", "add", "home", ONE, "--data", data)[0]["token"])
        server = ("--server", f"http://{AGENT}:8642", "--token", token, "--period", "0.2")
        land.start(land.agent, "carrier", "mobileip", "agent", "--config", config, *server)
    land.agent.listens(434, "udp", 90)
    return made


def lives(land: Land, made: Kit) -> Running:
    return land.start(
        land.node, "agent", "run", "--bank", made.ground.bank(ONE), "--model", made.ground.vault / "model.toml",
        "--server", f"http://{AGENT}:8642", "--token", made.ground.tokens[ONE], "--stage", land.root / "stage",
        "--trickle", "0.15", "--heartbeat", f"mobileip:{land.root / 'node.toml'}", "--once",
    )  # fmt: skip


def test_a_node_roams_while_its_home_address_is_pinged_and_the_update_trickles(land: Land, seed: int) -> None:
    made = ready(land, seed)
    link = land.net.capture(land.correspondent, "eth0", land.root / "link.pcap")
    land.visits(0)
    assert not land.reached(), "before a registration nobody is at the home address"
    agent = lives(land, made)
    until(land.reached, "the home address answers", 90)
    pings = subprocess.Popen(
        land.correspondent.words("ping", "-D", "-O", "-i", "0.2", HOME), stdout=subprocess.PIPE, text=True
    )
    land.net.later(pings.wait)
    land.net.later(pings.terminate)
    moves = 0
    began = time.monotonic()
    while agent.alive:
        assert time.monotonic() < began + 180, agent.last_words()
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.process.wait(2)
        if agent.alive and moves < 3:
            moves += 1
            land.visits(moves % 2)
    pings.terminate()
    assert agent.process.wait() == 0, agent.last_words()
    assert moves >= 2, "the update was there before the node had roamed"
    assert made.ground.runs_new(ONE), "the digest of what was assembled is the store's"
    said = pings.communicate()[0]
    answered, lost = said.count("time="), said.count("no answer yet")
    assert answered > 10
    assert lost <= (3 * moves + 2) * SLOWER, f"{lost} of {answered + lost} pings were lost in {moves} moves"
    _judged(land)
    link.close()
    told = tshark(link.path, "arp.isgratuitous == 1", ["arp.src.proto_ipv4"])
    assert [HOME] in told, "the agent told the home link that it answers for the node"


def _judged(land: Land) -> None:
    need("tshark")
    time.sleep(0.2)
    land.capture.close()
    path = land.capture.path
    assert tshark(path, "_ws.malformed") == []
    rows = tshark(path, "mip", ["ip.src", "ip.dst", "mip.ext.type", "mip.code"])
    requests = [row for row in rows if row[1] == AGENT]
    assert {row[0] for row in requests} == {FOREIGN[0][1], FOREIGN[1][1]}, "it registered from both networks"
    assert any("131" in row[2].split(",") for row in requests[:2]), "the user's identity at the first registration"
    assert not any("131" in row[2].split(",") for row in requests[2:]), "and in no keep-alive"
    answers = {row[2] for row in rows if row[0] == AGENT and row[3] == "0"}
    assert answers & {"134,32", "38,32"}, "pieces rode"
    assert b"correct horse" not in path.read_bytes()
    tunnelled = tshark(path, "ip.proto == 4 && icmp", ["ip.src"])
    assert {FOREIGN[0][1], FOREIGN[1][1]} <= {row[0].split(",")[0] for row in tunnelled}, "and back through the tunnel"


def test_packets_of_the_home_address_from_elsewhere_are_not_let_in(land: Land, seed: int) -> None:
    """Reverse tunnel: only from the registered care-of address. The home agent is a gateway, in a process of its own."""
    made = ready(land, seed, apart=True)
    land.visits(0)
    lives(land, made)
    until(land.reached, "the home address answers", 90)
    seen = land.net.capture(land.correspondent, "eth0", land.root / "home.pcap")
    script = (
        "import socket, struct, sys\n"
        "inner = bytes.fromhex(sys.argv[1])\n"
        "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)\n"
        "raw.bind((sys.argv[2], 0))\n"
        f"raw.sendto(inner, ('{AGENT}', 0))\n"
    )
    other = FOREIGN[1]
    land.node.ip("addr", "add", f"{other[1]}/24", "dev", other[2])
    for mark, source in ((b"true", FOREIGN[0][1]), (b"liar", other[1])):
        land.node.run(sys.executable, "-c", script, packet(mark).hex(), source)
    time.sleep(0.5)
    seen.close()
    data = seen.path.read_bytes()
    assert b"true" * 8 in data
    assert b"liar" * 8 not in data
    until(lambda: _carried(land), "pieces ride on the gateway's answers", 60)


def _carried(land: Land) -> bool:
    """Whether anything longer than a bare answer left the home agent's port."""
    return any(frame[34:36] == b"\x01\xb2" and len(frame) > 250 for frame in frames(land.capture.path))


def packet(mark: bytes) -> bytes:
    """A UDP packet from the home address to the correspondent."""
    import socket
    import struct

    body = struct.pack(">HHHH", 5000, 5000, 8 + 32, 0) + mark * 8
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, socket.inet_aton(HOME), socket.inet_aton(CORRESPONDENT)
    )
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + body
