"""The agent's own renewer and the built-in server, over a real cable, under the contract of all riding carriers."""

import contextlib
import socket
import threading
import time

import pytest

from neurath.carriers.dhcp.clients import Client, Clients
from neurath.carriers.dhcp.renewer import Ear, Renewer
from neurath.carriers.dhcp.runner import Runner
from neurath.carriers.dhcp.sockets import Sockets, address_of
from neurath.carriers.dhcp.standalone import Leases, Standalone, pool
from neurath.errors import LinkError, RefusedError
from neurath.wire import trickle
from neurath.wire.trickle import State
from tests.contracts.riding import RidesContract, RideSite, Shelf
from tests.rigs.net import frames, laid, tshark, udp, until

pytestmark = pytest.mark.heavy
MAC = "52:54:00:00:02:01"
#: Seconds for an acknowledgement on a busy machine; where none can come they are fewer.
PATIENCE = 10.0


class Flipping:
    """A Riding whose answers one byte changes."""

    def __init__(self, shelf):
        self.shelf, self.damaged = shelf, False

    def answer(self, seen, state, room, now):
        data = bytearray(self.shelf.answer(seen, state, room, now))
        if self.damaged and data:
            data[-1] ^= 1
        return bytes(data)


class InNamespace:
    """The renewer, inside."""

    def __init__(self, where, patience):
        self.where = where
        self.inner = Renewer("eth0", patience=patience)
        self.descriptor = self.inner.descriptor

    def beat(self, state):
        return self.where.call(self.inner.beat, state)


class DhcpSite:
    """One terminal with an address, one built-in server, a veth cable."""

    terminal = "unit"
    cost = 1

    def __init__(self, net, path):
        self.shelf = Shelf()
        self.flip = Flipping(self.shelf)
        self.client, self.server = net.namespace("cli"), net.namespace("srv")
        net.veth(self.client, "eth0", self.server, "lan0")
        self.client.ip("link", "set", "eth0", "address", MAC)
        self.client.up("eth0", "10.77.0.50/24")
        self.server.up("lan0", "10.77.0.1/24")
        self.rides = InNamespace(self.client, PATIENCE)
        clients = Clients((Client(self.terminal, bytes.fromhex(MAC.replace(":", "")), room=1200),))
        address, network = self.server.call(address_of, "lan0")
        self.leases = path / "leases.json"
        heard = Standalone(pool("10.77.0.40-10.77.0.60", address, network), clients, Leases(self.leases))
        self.wires = self.server.call(Sockets, "lan0", address)
        self.runner = Runner(self.wires, heard, self.flip, time.time, lambda text: None)
        self.capture = net.capture(self.client, "eth0", path / "c.pcap", udp(67, 68))
        self.path = path
        self.alive, self.ended = threading.Event(), threading.Event()
        self.alive.set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            if self.alive.is_set():
                self.runner.turn(0.05)
            else:
                self.wires.heard(0.05)  # comes, and nobody looks at it

    def packets(self):
        time.sleep(0.1)
        return sum(frame[42] == 1 for frame in frames(self.path / "c.pcap"))

    def cut(self):
        self.rides.inner.patience = 0.5
        self.alive.clear()
        time.sleep(0.1)

    def mend(self):
        self.rides.inner.patience = PATIENCE
        self.alive.set()
        time.sleep(0.1)

    def damage(self, on):
        self.flip.damaged = on

    def close(self):
        self.ended.set()
        self.thread.join()
        self.wires.close()


@pytest.fixture
def made(tmp_path):
    with laid() as net:
        site = DhcpSite(net, tmp_path)
        with contextlib.closing(site):
            yield site


class TestDhcp(RidesContract):
    @pytest.fixture
    def site(self, made) -> RideSite:
        return made


def test_the_first_renewal_asks_everybody_and_the_next_ones_the_server(made):
    for _ in range(3):
        made.rides.beat(trickle.encode_state(State()))
    made.capture.close()
    rows = tshark(made.path / "c.pcap", "dhcp.type == 1", ["ip.dst", "dhcp.ip.client"])
    assert rows == [["255.255.255.255", "10.77.0.50"]] + [["10.77.0.1", "10.77.0.50"]] * 2
    assert tshark(made.path / "c.pcap", "_ws.malformed || icmp") == []
    assert made.leases.exists()


def test_a_lease_that_is_over_is_the_systems_business(made):
    made.client.ip("addr", "flush", "dev", "eth0")
    made.client.ip("addr", "add", "10.77.0.200/24", "dev", "eth0")
    with pytest.raises(RefusedError):
        made.rides.beat(trickle.encode_state(State()))
    made.client.ip("addr", "flush", "dev", "eth0")
    with pytest.raises(LinkError):
        made.rides.beat(trickle.encode_state(State()))


def as_udhcpc():
    """The socket that udhcpc opens for a renewal and closes after it."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
    one.bind(("", 68))
    one.settimeout(10)
    return one


@pytest.mark.parametrize("first", ["the client", "the renewer"])
def test_whoever_opens_port_68_first_the_systems_client_gets_the_port_and_its_answer(made, first):
    def both():
        if first == "the client":
            return as_udhcpc(), Ear("eth0", socket.inet_aton("10.77.0.50"))
        ear = Ear("eth0", socket.inet_aton("10.77.0.50"))
        return as_udhcpc(), ear

    client, ear = made.client.call(both)
    with client, ear:
        other = made.server.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            other.sendto(b"for the client", ("10.77.0.50", 68))
        assert client.recv(100) == b"for the client"


def test_the_systems_client_loses_no_answer_to_the_renewer(made, tmp_path):
    """udhcpc keeps its lease, and its own renewals are answered, while the agent renews beside it."""
    from tests.parts import need

    made.client.ip("addr", "flush", "dev", "eth0")
    script = tmp_path / "script"
    script.write_text(
        '#!/bin/sh\n[ -n "$ip" ] && ip addr replace $ip/24 dev eth0\necho "$1 $ip" >> ' + str(tmp_path / "said") + "\n"
    )
    script.chmod(0o755)
    pid = tmp_path / "pid"
    made.client.start(need("udhcpc"), "-f", "-i", "eth0", "-s", script, "-p", pid, "-t", "5", "-T", "1", log=tmp_path / "out")
    said = lambda: (tmp_path / "said").read_text().splitlines() if (tmp_path / "said").exists() else []  # noqa: E731
    until(lambda: any(line.startswith("bound") for line in said()), "udhcpc has a lease")
    address = said()[-1].split()[1]
    for _ in range(4):
        before = len(said())
        made.client.run("kill", "-USR1", pid.read_text().strip())
        for _ in range(3):
            assert made.rides.beat(trickle.encode_state(State())) == b""
        until(lambda count=before: len(said()) > count, "udhcpc was answered")
    assert {line.split()[1] for line in said() if line.startswith(("bound", "renew"))} == {address}
