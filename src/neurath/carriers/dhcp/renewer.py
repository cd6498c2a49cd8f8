"""The agent's own renewal of the lease that an interface has: a DHCPREQUEST with the true download state, pieces on its
acknowledgement. It knows one interface; it must never take, change or give back an address, nor take an answer away from the
system's DHCP client. Spec: docs/spec/dhcp.md 4."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field

from neurath.carriers.base import Descriptor
from neurath.carriers.dhcp.clients import MOST_ROOM
from neurath.carriers.dhcp.slots import LONGEST, USUAL, Slot, Vendor
from neurath.carriers.dhcp.sockets import CLIENT_PORT, SERVER_PORT, address_of, datagram, hardware_of
from neurath.carriers.http import Place
from neurath.errors import DataError, LinkError, NeurathError, RefusedError, UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import CIADDR, Code, Message, Op, Type

#: Seconds for which an acknowledgement is waited for.
PATIENCE = 4.0
_BINDTODEVICE = 25
_EVERYBODY = b"\xff" * 4


@dataclass(slots=True)
class Renewer:
    """One interface. `server` is learned from the first acknowledgement, which is asked of everybody (as at T2)."""

    interface: str
    server: bytes = b""
    patience: float = PATIENCE
    slot: Slot = USUAL
    descriptor: Descriptor = field(default=Descriptor("dhcp", MOST_ROOM, "dynamic", True, False))

    def beat(self, state: bytes) -> bytes:
        """One renewal; b"" where nothing rode on its acknowledgement. LinkError without an address or an answer, RefusedError
        where the server says that the lease is over: getting another is the system's business."""
        try:
            address, _ = address_of(self.interface)
            mac = hardware_of(self.interface)
        except (NeurathError, OSError) as fault:
            raise LinkError(
                "there is no lease to renew", f"{self.interface}: {fault}", "the system's client gets it"
            ) from None
        asked = self.request(state, address, mac)
        try:
            with Ear(self.interface, address) as ear:
                ear.send(dhcp.packed(asked), self.server or _EVERYBODY)
                got = ear.answer(asked, time.monotonic() + self.patience)
        except OSError as fault:
            raise LinkError("the renewal did not leave", f"{self.interface}: {fault}", "it is tried again") from None
        if got is None:
            self.server = b""  # as at T2: whoever can answers the next one
            raise LinkError("no answer to the renewal", f"{self.patience:.0f} s were given", "it is tried again")
        if got.type is Type.NAK:
            self.server = b""
            raise RefusedError(
                "the lease is over", f"{dhcp.dotted(address)}: the server says no", "the system's client gets another"
            )
        self.server = got.get(Code.SERVER) or b""
        return self.slot.piece(got) or b""

    def request(self, state: bytes, address: bytes, mac: bytes) -> Message:
        words = [(Code.TYPE, bytes([Type.REQUEST])), (Code.MAXIMUM, (1500).to_bytes(2, "big")), *self.slot.words(state)]
        message = dhcp.message(Op.REQUEST, secrets.token_bytes(4), mac, words)
        return message.at(CIADDR, address)


class Ear:
    """Hears a copy of every UDP datagram that comes to the interface, so that whoever holds port 68 gets his own all the
    same; where nobody does, it holds the port, so that the kernel does not refuse the answer. Whoever wants the port
    meanwhile gets it: udhcpc ends where it does not, and it only opens it when it renews."""

    def __init__(self, interface: str, address: bytes) -> None:
        self._address = address
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self._raw.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, interface.encode() + b"\0")
        self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._out.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, interface.encode() + b"\0")
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(OSError):  # the system's client has it
            # Of no address and no device: a client's own socket, of either, comes first with what is sent to it.
            self._port.bind(("", CLIENT_PORT))
        # Only now: it joins nobody, and others may join it.
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def send(self, data: bytes, to: bytes) -> None:
        whole = datagram(self._address, to, (CLIENT_PORT, SERVER_PORT), data)
        self._out.sendto(whole, (socket.inet_ntoa(to), 0))

    def answer(self, asked: Message, end: float) -> Message | None:
        """The server's word on this very request; None: none came in time."""
        while (left := end - time.monotonic()) > 0:
            self._raw.settimeout(left)
            try:
                packet = self._raw.recv(65535)
            except TimeoutError:
                return None
            at = (packet[0] & 15) * 4
            if len(packet) < at + 8 or struct.unpack_from(">HH", packet, at) != (SERVER_PORT, CLIENT_PORT):
                continue
            with suppress(DataError):
                got = dhcp.decode(packet[at + 8 :])
                mine = got.op == Op.REPLY and got.xid == asked.xid and got.chaddr == asked.chaddr
                if mine and got.type in (Type.ACK, Type.NAK):
                    return got
        return None

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._raw, self._out, self._port):
            one.close()


def rides(spec: str, place: Place) -> Renewer:
    """`dhcp:IFACE`, `dhcp:IFACE,SERVER`, each with `,enterprise=NUMBER` where the site's DHCP gives no options 224 to 254."""
    interface, *more = spec.partition(":")[2].split(",")
    numbers = [word.partition("=")[2] for word in more if word.startswith("enterprise=")]
    servers = [word for word in more if not word.startswith("enterprise=")]
    if not interface or len(numbers) > 1 or len(servers) > 1:
        raise UsageError(
            "which interface?", "the one whose lease is renewed: dhcp:IFACE[,SERVER][,enterprise=N]", "--heartbeat dhcp:eth0"
        )
    try:
        found = ipaddress.IPv4Address(servers[0]).packed if servers and servers[0] else b""
    except ValueError:
        raise UsageError(f"{servers[0][:40]!r} is no IPv4 address", "of the DHCP server", "--heartbeat dhcp:eth0") from None
    if not numbers:
        return Renewer(interface, found)
    number = int(numbers[0]) if numbers[0].isascii() and numbers[0].isdigit() else 0
    room = Descriptor("dhcp", LONGEST, "dynamic", True, False)
    return Renewer(interface, found, slot=Vendor(number), descriptor=room)
