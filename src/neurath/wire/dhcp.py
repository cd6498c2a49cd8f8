"""DHCPv4 packets as they stand on the wire, option by option, so that one that is not to change comes out byte for byte. It
knows RFC 2131, long options (RFC 3396), overload, relay information (RFC 3046) and vendor options (RFC 3925); it must never
know who a client is. Spec: docs/spec/dhcp.md."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from neurath.wire.cbor import malformed

#: Header without options: op to file, then the magic cookie.
FIXED = 236
COOKIE = b"\x63\x82\x53\x63"
#: No packet is shorter: relays and clients of BOOTP times drop such.
SHORTEST = 300
#: The longest that fits one Ethernet frame: 1,500 bytes less the headers of IP and UDP.
LONGEST = 1472
#: Headers of IP and UDP: option 57 counts them.
BELOW = 28
#: What a client takes that does not say (RFC 2131 2): 576 bytes with the headers.
SMALLEST_MAXIMUM = 576
NOWHERE = bytes(4)
_PAD, _END = 0, 255
_BROADCAST = 0x8000


class Op(IntEnum):
    REQUEST = 1
    REPLY = 2


class Type(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Code(IntEnum):
    """Options that are read or written here."""

    MASK = 1
    ROUTER = 3
    REQUESTED = 50
    LEASE = 51
    OVERLOAD = 52
    TYPE = 53
    SERVER = 54
    WANTED = 55
    MAXIMUM = 57
    RENEW = 58
    REBIND = 59
    CLASS = 60
    CLIENT = 61
    RELAY = 82
    VENDOR_CLASS = 124
    VENDOR = 125


class Sub(IntEnum):
    """Sub-options of option 82."""

    CIRCUIT = 1
    REMOTE = 2
    LINK = 5  # RFC 3527: the subnet to choose from
    VENDOR = 9  # RFC 4243
    SERVER = 11  # RFC 5107: the server identifier to answer with


@dataclass(frozen=True, slots=True)
class Message:
    """A packet: the fixed part, the options as they stand (code, data; pads are (0, b"")), and what follows the end."""

    fixed: bytes
    options: tuple[tuple[int, bytes], ...]
    tail: bytes = b""

    def __post_init__(self) -> None:
        if len(self.fixed) != FIXED or self.op not in (Op.REQUEST, Op.REPLY) or self.fixed[2] > 16:
            raise malformed("DHCP packet", "a fixed part of 236 bytes, a request or a reply, an address of at most 16 bytes")
        if not all(0 <= code < _END and len(data) <= 255 and not (code == _PAD and data) for code, data in self.options):
            raise malformed("DHCP packet", "an option has a code of 1 to 254 and at most 255 bytes")

    @property
    def op(self) -> int:
        return self.fixed[0]

    @property
    def hops(self) -> int:
        return self.fixed[3]

    @property
    def xid(self) -> bytes:
        return self.fixed[4:8]

    @property
    def broadcast(self) -> bool:
        """Whether the client cannot take a unicast answer yet."""
        return bool(int.from_bytes(self.fixed[10:12], "big") & _BROADCAST)

    @property
    def ciaddr(self) -> bytes:
        return self.fixed[12:16]

    @property
    def yiaddr(self) -> bytes:
        return self.fixed[16:20]

    @property
    def giaddr(self) -> bytes:
        return self.fixed[24:28]

    @property
    def chaddr(self) -> bytes:
        """The client's hardware address, as long as it says."""
        return self.fixed[28 : 28 + self.fixed[2]]

    @property
    def type(self) -> Type | None:
        """None for BOOTP, and for a type that is not known."""
        value = self.get(Code.TYPE)
        return Type(value[0]) if value is not None and len(value) == 1 and value[0] in Type.__members__.values() else None

    def get(self, code: int) -> bytes | None:
        """An option's value, its parts joined (RFC 3396), also those in overloaded fields; None where it is not there.
        DataError where an overloaded field is malformed."""
        parts = [data for found, data in (*self.options, *self._overloaded()) if found == code]
        return b"".join(parts) if parts else None

    def at(self, place: int, data: bytes) -> Message:
        """With these bytes in the fixed part."""
        return replace(self, fixed=self.fixed[:place] + data + self.fixed[place + len(data) :])

    def without(self, code: int) -> Message:
        return replace(self, options=tuple(one for one in self.options if one[0] != code))

    def with_(self, code: int, value: bytes) -> Message:
        """With this option, where it stood or else at the end, split where it is long."""
        parts = tuple((code, part) for part in split(value))
        places = [at for at, one in enumerate(self.options) if one[0] == code]
        if not places:
            return replace(self, options=self.options + parts)
        rest = tuple(one for one in self.options[places[0] :] if one[0] != code)
        return replace(self, options=self.options[: places[0]] + parts + rest)

    def _overloaded(self) -> tuple[tuple[int, bytes], ...]:
        how = b"".join(data for code, data in self.options if code == Code.OVERLOAD)
        if not how:
            return ()
        if len(how) != 1 or how[0] not in (1, 2, 3):
            raise malformed("DHCP packet", "option 52 is 1, 2 or 3")
        file = _options(self.fixed[108:236])[0] if how[0] & 1 else ()
        sname = _options(self.fixed[44:108])[0] if how[0] & 2 else ()
        return (*file, *sname)


def decode(data: bytes) -> Message:
    """The packet in the bytes, or DataError: BOOTP without options is none."""
    if len(data) < FIXED + 5 or data[FIXED : FIXED + 4] != COOKIE:
        raise malformed("DHCP packet", "too short, or without the magic cookie")
    options, end = _options(data[FIXED + 4 :])
    made = Message(data[:FIXED], options, data[FIXED + 4 + end :])
    made._overloaded()
    return made


def encode(message: Message) -> bytes:
    """The bytes; what was decoded comes out as it was."""
    out = bytearray(message.fixed + COOKIE)
    for code, data in message.options:
        out += bytes([_PAD]) if code == _PAD else bytes([code, len(data)]) + data
    return bytes(out) + bytes([_END]) + message.tail


def packed(message: Message) -> bytes:
    """The bytes without what followed the end, padded to the shortest that everybody takes."""
    return encode(replace(message, tail=b"")).ljust(SHORTEST, b"\0")


def split(value: bytes) -> list[bytes]:
    """A long value in parts of at most 255 bytes; an empty one is one empty part."""
    return [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]


def fits(room: int) -> int:
    """How long a value may be whose parts, with two bytes before each, take at most `room` bytes."""
    whole, rest = divmod(max(0, room), 257)
    return whole * 255 + max(0, rest - 2)


def message(op: Op, xid: bytes, chaddr: bytes, options: Iterable[tuple[int, bytes]] = ()) -> Message:
    """A packet of our own; addresses are put in with at()."""
    if len(xid) != 4 or len(chaddr) != 6:
        raise malformed("DHCP packet", "4 bytes of transaction, 6 of hardware address")
    fixed = bytes([op, 1, 6, 0]) + xid + bytes(20) + chaddr + bytes(FIXED - 34)
    parts = tuple((int(code), part) for code, value in options for part in split(value))
    return Message(fixed, parts)


#: Where addresses stand in the fixed part.
HOPS, FLAGS, CIADDR, YIADDR, SIADDR, GIADDR = 3, 10, 12, 16, 20, 24


# ---- inside options --------------------------------------------------------------------------------------------------------

Subs = tuple[tuple[int, bytes], ...]


def subs(value: bytes) -> Subs:
    """The sub-options of an option 82 (or of one vendor's data), or DataError."""
    found, at = [], 0
    while at < len(value):
        if at + 2 > len(value) or at + 2 + value[at + 1] > len(value):
            raise malformed("sub-option", "it ends in the middle")
        found.append((value[at], value[at + 2 : at + 2 + value[at + 1]]))
        at += 2 + value[at + 1]
    return tuple(found)


def subs_to(found: Subs) -> bytes:
    if not all(0 <= code <= 255 and len(data) <= 255 for code, data in found):
        raise malformed("sub-option", "a code of one byte and at most 255 bytes")
    return b"".join(bytes([code, len(data)]) + data for code, data in found)


def vendors(value: bytes) -> Subs:
    """Options 124 and 125: (enterprise number, its data) each, or DataError."""
    found, at = [], 0
    while at < len(value):
        if at + 5 > len(value) or at + 5 + value[at + 4] > len(value):
            raise malformed("vendor option", "it ends in the middle")
        found.append((int.from_bytes(value[at : at + 4], "big"), value[at + 5 : at + 5 + value[at + 4]]))
        at += 5 + value[at + 4]
    return tuple(found)


def vendors_to(found: Subs) -> bytes:
    if not all(0 <= number <= 0xFFFF_FFFF and len(data) <= 255 for number, data in found):
        raise malformed("vendor option", "an enterprise has 32 bits and at most 255 bytes of data")
    return b"".join(number.to_bytes(4, "big") + bytes([len(data)]) + data for number, data in found)


def dotted(address: bytes) -> str:
    return socket.inet_ntoa(address)


def _options(data: bytes) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Options up to the end mark, and where what follows it begins."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        code = data[at]
        if code == _END:
            return tuple(found), at + 1
        if code == _PAD:
            found.append((_PAD, b""))
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            break
        found.append((code, data[at + 2 : at + 2 + data[at + 1]]))
        at += 2 + data[at + 1]
    raise malformed("DHCP packet", "its options have no end")
