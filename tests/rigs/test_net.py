"""The rig itself: what it lays is apart from the machine's network, what it captures is whole, and nothing is left."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.rigs.net import Net, frames, laid, tshark, udp

pytestmark = pytest.mark.heavy


def names() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_a_cable_whose_ends_are_up_loses_nothing() -> None:
    for _ in range(20):
        with laid() as net:
            one, other = net.namespace("one"), net.namespace("two")
            net.veth(one, "eth0", other, "eth0")
            one.up("eth0", "10.1.0.1/24")
            far = other.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
            near = one.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
            with near, far:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
                far.bind(("", 434))
                far.settimeout(10)
                other.up("eth0", "10.1.0.2/24")
                near.sendto(b"the first", ("255.255.255.255", 434))
                assert far.recv(100) == b"the first"


def test_a_net_is_laid_used_captured_judged_and_taken_away(tmp_path: Path) -> None:
    machine = {name for _, name in socket.if_nameindex()}
    with laid() as net:
        one, other = net.namespace("one"), net.namespace("two")
        net.veth(one, "eth0", other, "eth0")
        one.up("eth0", "10.1.0.1/24")
        other.up("eth0", "10.1.0.2/24")
        assert {name for _, name in socket.if_nameindex()} == machine, "an interface was made on the machine itself"
        capture = net.capture(one, "eth0", tmp_path / "a.pcap", udp(434))
        every = net.capture(one, "eth0", tmp_path / "all.pcap")
        one.run("ping", "-c", 2, "-i", "0.05", "10.1.0.2")
        near = one.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        far = other.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with near, far:
            far.bind(("10.1.0.2", 434))
            other.listens(434, "udp")
            near.sendto(b"registration", ("10.1.0.2", 434))
            assert far.recv(100) == b"registration"
        capture.close()
        every.close()
        assert [frame[-12:] for frame in frames(capture.path)] == [b"registration"]
        pings = tshark(every.path, "icmp", ["icmp.type"])
        assert sorted(row[0] for row in pings) == ["0", "0", "8", "8"]
        kept = [one.name, other.name]
        assert all(name in names() for name in kept)
    assert not any(name in names() for name in kept)


def test_what_was_started_inside_is_ended_by_its_id(tmp_path: Path) -> None:
    with laid() as net:
        inside = net.namespace()
        process = inside.start("sleep", "1000")
        seen: list[str] = []
        inside.thread(lambda: seen.extend(name for _, name in socket.if_nameindex())).join()
        assert seen == ["lo"], "a thread inside sees the namespace's interfaces alone"
        assert process.poll() is None
    assert process.poll() is not None


def test_three_interfaces_on_a_bridge_reach_each_other(net: Net) -> None:
    middle, ends = net.namespace("switch"), [net.namespace(str(n)) for n in range(3)]
    for n, end in enumerate(ends):
        net.veth(end, "eth0", middle, f"p{n}")
        end.up("eth0", f"10.2.0.{n + 1}/24")
    middle.bridge("br0", "p0", "p1", "p2")
    for far in (2, 3):
        ends[0].run("ping", "-c", 1, "-W", 5, f"10.2.0.{far}")
