"""How the terminal's other traffic fares: by how much the round trips of this machine's TCP connections have grown over their
shortest ones, as the kernel measures them anyway. It knows sock_diag(7) and struct tcp_info; it must never send a packet."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

#: Seconds by which a round trip may vary without anybody having disturbed it.
SLACK = 0.005
#: Milliseconds since something was sent for which a connection counts as busy.
BUSY = 10_000


class Foreground(Protocol):
    """What a heart asks before it lets more ride."""

    def rise(self) -> float:
        """By how much round trips have grown over their floor: 1.0 not at all, or nothing can be seen."""
        ...


class Unseen:
    """Nothing can be seen of other traffic."""

    def rise(self) -> float:
        return 1.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One connection's round trip as smoothed by the kernel and its shortest, seconds; `idle` since something was sent, ms."""

    local: bool
    smooth: float
    least: float
    idle: int


# Linux: include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h, tcp.h.
_SOCK_DIAG, _BY_FAMILY, _DUMP, _DONE, _ERROR = 4, 20, 0x301, 3, 2
_HEAD = struct.Struct("=IHHII")
_ASK = struct.Struct("=BBBxI48x")
_INFO, _MESSAGE = 2, 72
_ESTABLISHED = 1 << 1
_IDLE_AT, _RTT_AT, _LEAST_AT = 44, 68, 148


class Tcp:
    """The established TCP connections of this machine. Those that never leave it do not count, unless `here`."""

    def __init__(self, *, here: bool = False) -> None:
        self._here = here

    def rise(self) -> float:
        """The worst of those that are busy now."""
        found = [trip for trip in self.trips() if trip.idle <= BUSY and (self._here or not trip.local)]
        return max((trip.smooth / (trip.least + SLACK) for trip in found), default=1.0)

    def trips(self) -> list[Trip]:
        """All of them; none where the kernel does not say."""
        found: list[Trip] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError, AttributeError, struct.error):
                found += _dump(family)
        return found


def _dump(family: int) -> Iterator[Trip]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as link:
        link.settimeout(0.5)
        link.connect((0, 0))
        ask = _ASK.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), _ESTABLISHED)
        link.send(_HEAD.pack(_HEAD.size + len(ask), _BY_FAMILY, _DUMP, 1, 0) + ask)
        while True:
            data = link.recv(1 << 18)
            while len(data) >= _HEAD.size:
                length, kind, *_ = _HEAD.unpack_from(data)
                if kind in (_DONE, _ERROR) or length < _HEAD.size:
                    return
                trip = _trip(family, data[_HEAD.size : length])
                if trip is not None:
                    yield trip
                data = data[(length + 3) & ~3 :]


def _trip(family: int, message: bytes) -> Trip | None:
    """One inet_diag_msg with its attributes; None where it says nothing of round trips."""
    width = 4 if family == socket.AF_INET else 16
    far = ipaddress.ip_address(message[24 : 24 + width])
    at = _MESSAGE
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            return None
        info = message[at + 4 : at + length]
        if kind == _INFO and len(info) >= _LEAST_AT + 4:
            idle, smooth, least = (struct.unpack_from("=I", info, place)[0] for place in (_IDLE_AT, _RTT_AT, _LEAST_AT))
            known = smooth > 0 and 0 < least < 0xFFFF_FFFF
            return Trip(far.is_loopback, smooth / 1e6, least / 1e6, idle) if known else None
        at += (length + 3) & ~3
    return None
