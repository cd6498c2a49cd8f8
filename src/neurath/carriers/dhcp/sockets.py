"""The sockets of a DHCP server or relay on one interface: what comes to port 67, and answers to addresses in use, to
everybody, and to a hardware address whose IP address is not in use yet. It must never know what a packet says."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
from contextlib import suppress

from neurath.carriers.dhcp.relay import Heard, Send, To
from neurath.errors import NeurathError

SERVER_PORT, CLIENT_PORT = 67, 68
_BINDTODEVICE, _GET_ADDRESS, _GET_MASK, _GET_HARDWARE = 25, 0x8915, 0x891B, 0x8927
_IPV4 = 0x0800
_PKTINFO = 8


def address_of(interface: str) -> tuple[bytes, tuple[int, int]]:
    """The first IPv4 address of an interface, and its network as (base, mask)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        found = []
        for question in (_GET_ADDRESS, _GET_MASK):
            try:
                answer = fcntl.ioctl(asking, question, struct.pack("256s", interface.encode()[:15]))
            except OSError as fault:
                why = fault.strerror or str(fault)
                raise NeurathError(f"{interface} has no IPv4 address", why, "ip addr add", id="NRT-150") from None
            found.append(answer[20:24])
    mask = int.from_bytes(found[1], "big")
    return found[0], (int.from_bytes(found[0], "big") & mask, mask)


def hardware_of(interface: str) -> bytes:
    """The hardware address of an interface; OSError where there is none. Not by /sys, which may show another namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return fcntl.ioctl(asking, _GET_HARDWARE, struct.pack("256s", interface.encode()[:15]))[18:24]


class Sockets:
    """Port 67 of one interface and of its address (servers answer there, by whatever way they come)."""

    def __init__(self, interface: str, address: bytes) -> None:
        self.address = address
        try:
            self._near = _udp("", interface)
            self._own = _udp(socket.inet_ntoa(address), "")
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._raw.bind((interface, 0))
        except OSError as fault:
            raise NeurathError(
                f"cannot listen at port {SERVER_PORT} of {interface}",
                fault.strerror or str(fault),
                "run as root; `ss -lunp` shows who has the port",
                id="NRT-150",
            ) from None
        self._mac = self._raw.getsockname()[4]

    def heard(self, longest: float) -> list[Heard]:
        """Packets that came within so many seconds; [] where none did."""
        ready, _, _ = select.select([self._near, self._own], [], [], max(0.0, longest))
        found = []
        for one in ready:
            with suppress(OSError):  # an ICMP error of an earlier answer
                data, more, _, _ = one.recvmsg(65535, socket.CMSG_SPACE(12))
                target = next((word[8:12] for _, kind, word in more if kind == _PKTINFO), b"")
                found.append(Heard(data, target == self.address))
        return found

    def send(self, out: Send) -> None:
        """OSError where it cannot leave."""
        match out.how:
            case To.SERVER | To.RELAY:
                self._own.sendto(out.data, (socket.inet_ntoa(out.address), SERVER_PORT))
            case To.UNICAST:
                self._own.sendto(out.data, (socket.inet_ntoa(out.address), CLIENT_PORT))
            case To.BROADCAST:
                self._raw.send(frame(b"\xff" * 6, self._mac, self.address, out))
            case To.LINK:
                self._raw.send(frame(out.mac, self._mac, self.address, out))

    def close(self) -> None:
        for one in (self._near, self._own, self._raw):
            one.close()


def _udp(address: str, interface: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
    if interface:
        made.setsockopt(socket.SOL_SOCKET, _BINDTODEVICE, interface.encode() + b"\0")
    made.bind((address, SERVER_PORT))
    return made


def frame(to: bytes, mac: bytes, source: bytes, out: Send) -> bytes:
    """An Ethernet frame with the packet from our port 67 to port 68."""
    return to + mac + struct.pack(">H", _IPV4) + datagram(source, out.address, (SERVER_PORT, CLIENT_PORT), out.data)


def datagram(source: bytes, target: bytes, ports: tuple[int, int], data: bytes) -> bytes:
    """An IPv4 packet with one UDP datagram."""
    length = 8 + len(data)
    udp = struct.pack(">HHHH", *ports, length, 0) + data
    check = checksum(source + target + struct.pack(">BBH", 0, socket.IPPROTO_UDP, length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack(">H", check) + udp[8:]
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP, 0, source, target)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
