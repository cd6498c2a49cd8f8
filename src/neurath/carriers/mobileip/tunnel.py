"""Packets of a home address in packets of a care-of address (RFC 2003), in user space: a TUN device inside, a raw socket of
protocol 4 outside. It knows devices, routes and addresses; it must never decide who may use it. Needs root rights and
iproute2; for kernels without tunnels of their own (kernel.py), and for tunnels in UDP."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
from dataclasses import dataclass, field

from neurath.errors import DataError, RefusedError
from neurath.wire.mobileip import Address

_TUNSETIFF, _TUN, _NO_INFO = 0x400454CA, 0x0001, 0x1000
#: What a tunnelled packet may have: an outer header of 20 bytes goes around it.
MTU = 1480
#: The same in UDP (RFC 3519): headers of IP and UDP, and 4 bytes.
UDP_MTU = 1468
_LONGEST = 65535
_ARP = 0x0806
#: The routing table of a node's home address, and the device's name at both ends.
TABLE = "434"
DEVICE = "mip0"


def ip(*words: object, check: bool = True) -> None:
    """`ip` with these words. RefusedError with what it said where it fails and that matters."""
    said(*words, check=check)


def said(*words: object, check: bool = True) -> str:
    """What `ip` prints. RefusedError as above."""
    try:
        done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RefusedError("no `ip` on this machine", "tunnels are laid with iproute2", "apt install iproute2") from None
    if check and done.returncode:
        raise RefusedError(f"ip {' '.join(map(str, words))} failed", done.stderr.strip()[:200], "run it as root")
    return done.stdout


@dataclass
class Tunnel:
    """A TUN device that is up, and the raw socket to the other ends, in the network namespace of the calling thread.
    `raw`: without it there is no such socket: what comes in IP is the kernel's."""

    name: str = DEVICE
    own: Address | None = None  # what the other ends know this one by; None: whichever leads there
    mtu: int = MTU
    raw: bool = True
    handle: int = field(init=False)
    outside: socket.socket | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        try:
            self.handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.handle, _TUNSETIFF, struct.pack("16sH", self.name.encode(), _TUN | _NO_INFO))
            if self.raw:
                self.outside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
                self.outside.setblocking(False)
                if self.own is not None:
                    self.outside.bind((str(self.own), 0))
        except OSError as fault:
            why = fault.strerror or str(fault)
            raise RefusedError(f"no tunnel device {self.name}", why, "run it as root, with /dev/net/tun") from None
        ip("link", "set", self.name, "mtu", self.mtu, "up")

    def wait(self, seconds: float) -> None:
        """Until something is there on either side, or so long."""
        ends = [self.handle] if self.outside is None else [self.handle, self.outside.fileno()]
        select.select(ends, [], [], seconds)

    def leaving(self) -> tuple[Address, Address, bytes] | None:
        """A packet that wants through the tunnel: source, destination, and its bytes."""
        try:
            packet = os.read(self.handle, _LONGEST)
        except BlockingIOError:
            return None
        try:
            return (*ends(packet), packet)
        except DataError:
            return None

    def wrap(self, packet: bytes, to: Address) -> None:
        """Sends it to the other end. What cannot be sent is lost, as packets are."""
        if self.outside is None:
            return
        with contextlib.suppress(OSError):
            self.outside.sendto(packet, (str(to), 0))

    def coming(self) -> tuple[Address, Address, Address, bytes] | None:
        """A packet out of a tunnel: who wrapped it, its source, its destination, and its bytes."""
        if self.outside is None:
            return None
        try:
            packet = self.outside.recv(_LONGEST)
            outer, _ = ends(packet)
            inner = packet[(packet[0] & 15) * 4 :]
            return (outer, *ends(inner), inner)
        except (BlockingIOError, DataError):
            return None

    def unwrap(self, packet: bytes) -> None:
        """Lets it go on from here as a packet of its own."""
        with contextlib.suppress(OSError):
            os.write(self.handle, packet)

    def close(self) -> None:
        """Takes the device away, and the routes through it with it."""
        if self.outside is not None:
            self.outside.close()
        os.close(self.handle)


def ends(packet: bytes) -> tuple[Address, Address]:
    """Source and destination of an IPv4 packet, or DataError."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[0] & 15 < 5 or len(packet) < (packet[0] & 15) * 4:
        raise DataError("no IPv4 packet", f"{len(packet)} bytes")
    return Address(packet[12:16]), Address(packet[16:20])


# ---- the home link ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HomeLink:
    """The interface on which home addresses live. The agent answers for nodes that are away."""

    interface: str
    tunnel: str = DEVICE

    def demand(self) -> None:
        """RefusedError unless this machine forwards packets, which is what a home agent is for."""
        for name in ("all", self.interface):
            try:
                with open(f"/proc/sys/net/ipv4/conf/{name}/forwarding") as told:
                    on = told.read().strip() == "1"
            except FileNotFoundError:
                raise RefusedError(f"no interface {name}", "the home link is not there", "`ip link` lists them") from None
            if on:
                return
        raise RefusedError("this machine does not forward packets", "a home agent does", "sysctl -w net.ipv4.ip_forward=1")

    def take(self, home: Address, device: str) -> None:
        """From now on packets for this address go into this device; the link's neighbours are told."""
        ip("route", "replace", f"{home}/32", "dev", device)
        ip("neigh", "replace", "proxy", home, "dev", self.interface)
        self._announce(home)

    def give_back(self, home: Address) -> None:
        """The address is its node's again, or nobody's. A route through a device that went has gone with it."""
        ip("route", "del", f"{home}/32", "dev", self.tunnel, check=False)
        ip("neigh", "del", "proxy", home, "dev", self.interface, check=False)

    def _announce(self, home: Address) -> None:
        """Gratuitous ARP (RFC 5944 4.6): whoever knew the node's own hardware address knows the agent's now."""
        try:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
                link.bind((self.interface, _ARP))
                own = link.getsockname()[4]
                told = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + own + home.packed + b"\xff" * 6 + home.packed
                link.send(b"\xff" * 6 + own + struct.pack(">H", _ARP) + told)
        except OSError as fault:
            if fault.errno != errno.ENETDOWN:
                raise


# ---- the node's own address --------------------------------------------------------------------------------


def live_at(home: Address, tunnel: str = DEVICE) -> None:
    """Gives the tunnel device the home address, and what leaves from that address the tunnel as its way."""
    ip("addr", "replace", f"{home}/32", "dev", tunnel)
    ip("route", "replace", "default", "dev", tunnel, "src", home, "table", TABLE)
    ip("rule", "del", "from", home, "lookup", TABLE, check=False)
    ip("rule", "add", "from", home, "lookup", TABLE)


def leave(home: Address) -> None:
    """Takes the rule away again; the rest goes with the device."""
    ip("rule", "del", "from", home, "lookup", TABLE, check=False)
