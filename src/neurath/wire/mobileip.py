"""Mobile IPv4 registration (RFC 5944) with the mobile node's identity (RFC 2794) and vendor extensions (RFC 3115), in which
the download state and its pieces ride. It knows bits, bounds and message authentication; it must never know who is bound
where, nor take a message whose authenticator does not cover all that stands in it. Spec: docs/spec/mobileip.md."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from neurath.wire.cbor import malformed

_REQUEST = struct.Struct(">BBH4s4s4sQ")
_REPLY = struct.Struct(">BBH4s4sQ")
_VENDOR = struct.Struct(">IH")
PORT = 434
REQUEST_TYPE, REPLY_TYPE = 1, 3
#: Extension types. Unknown ones from 128 on are skipped, others refuse the message (RFC 5944 1.8).
PAD, MHAE, CVSE, NAI, NVSE = 0, 32, 38, 131, 134
#: RFC 3519: a request's wish for a tunnel in UDP, the reply's word on it, and the type of a tunnelled packet.
UDP_REQUEST, UDP_REPLY, UDP_DATA = 144, 44, 4
_UDP_REQUEST, _UDP_REPLY = struct.Struct(">BBBBH"), struct.Struct(">BBHH")
_IN_IP = 4
#: The longest value of a short vendor extension, and of any in this project: a reply fits one packet of 1500 bytes.
MAX_SHORT, MAX_LONG = 247, 1400
#: Flags of a request: D, the node decapsulates itself; T, it wants its packets tunnelled back (RFC 3024).
DECAPSULATES, REVERSE = 0x20, 0x02
#: Lifetime that never ends; not granted here.
FOREVER = 0xFFFF
#: Seconds between 1900 and 1970: identifications are NTP time stamps.
NTP = 2_208_988_800
#: What stands for documentation among the private enterprise numbers.
PEN = 32473
Address = ipaddress.IPv4Address


class Vendor(IntEnum):
    """What our vendor extensions carry."""

    STATE = 1  # in a request: the download state
    RIDES = 2  # in a reply: what rides
    PROOF = 3  # in a first request: that the user's password is known
    WIDE = 4  # in a request: long extensions are understood; no value


class Code(IntEnum):
    """The codes of replies that are used here (RFC 5944 3.4)."""

    ACCEPTED = 0
    PROHIBITED = 129
    FAILED_AUTHENTICATION = 131
    IDENTIFICATION_MISMATCH = 133
    POORLY_FORMED = 134
    UNKNOWN_HOME_AGENT = 136


class Algorithm(Enum):
    """How an authenticator is made; which one belongs to an SPI is agreed beforehand."""

    HMAC_MD5 = "hmac-md5"  # what RFC 5944 demands of everybody
    HMAC_SHA256 = "hmac-sha256"

    @property
    def size(self) -> int:
        return 16 if self is Algorithm.HMAC_MD5 else 32

    def made(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, "md5" if self is Algorithm.HMAC_MD5 else "sha256")


@dataclass(frozen=True, slots=True)
class Security:
    """A mobility security association: what both ends share beforehand."""

    spi: int
    key: bytes
    algorithm: Algorithm = Algorithm.HMAC_SHA256

    def __post_init__(self) -> None:
        if not 256 <= self.spi <= 0xFFFF_FFFF or len(self.key) < 16:
            raise malformed("security association", "an SPI from 256 on and a key of 16 bytes or more")


@dataclass(frozen=True, slots=True)
class Udp:
    """What a message says of a tunnel in UDP (RFC 3519): a request that it can be had, by `force` even where no NAT lies
    between; a reply whether it is (`code` 0) and after how many seconds of silence a NAT may forget the way (`keepalive`)."""

    force: bool = False
    code: int = 0
    keepalive: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.code <= 0xFF and 0 <= self.keepalive <= 0xFFFF):
            raise malformed("registration", "the code of a tunnel in UDP has 8 bits, its interval 16")


@dataclass(frozen=True, slots=True)
class Said:
    """What extensions of a message say. `data` is the download state of a request, or what rides on a reply; `wide`: it
    lies in a long extension (a reply), or may (a request); `udp`: None where nothing is said of it. Sizes in bytes."""

    nai: str = ""
    proof: bytes = b""
    data: bytes | None = None
    wide: bool = False
    udp: Udp | None = None

    def __post_init__(self) -> None:
        try:
            name = self.nai.encode("ascii")
        except UnicodeEncodeError:
            raise malformed("registration", "an identity is ASCII (RFC 2794)") from None
        if len(name) > 255 or any(not 33 <= c <= 126 for c in name) or len(self.proof) > MAX_SHORT:
            raise malformed("registration", "an identity has at most 255 printable characters, a proof 247 bytes")
        if self.data is not None and len(self.data) > MAX_LONG:
            raise malformed("registration", f"{len(self.data)} bytes ride; at most {MAX_LONG}")


@dataclass(frozen=True, slots=True)
class Request:
    """A registration request. `lifetime` in seconds, 0: the node says good-bye."""

    lifetime: int
    home: Address
    agent: Address
    care_of: Address
    identification: int
    flags: int = DECAPSULATES | REVERSE
    said: Said = Said()

    def __post_init__(self) -> None:
        if not (0 <= self.lifetime <= 0xFFFF and 0 <= self.identification < 1 << 64 and 0 <= self.flags <= 0xFF):
            raise malformed("registration request", "lifetime has 16 bits, identification 64, flags 8")
        if self.flags & 0x01 or (self.said.data is not None and len(self.said.data) > MAX_SHORT):
            raise malformed("registration request", "a bit that must be zero, or a download state that is too long")


@dataclass(frozen=True, slots=True)
class Reply:
    """A registration reply. `lifetime` is what was granted, seconds."""

    code: int
    lifetime: int
    home: Address
    agent: Address
    identification: int
    said: Said = Said()

    def __post_init__(self) -> None:
        if not (0 <= self.lifetime <= 0xFFFF and 0 <= self.identification < 1 << 64 and 0 <= self.code <= 0xFF):
            raise malformed("registration reply", "lifetime has 16 bits, identification 64, the code 8")
        if self.said.data is not None and not self.said.wide and len(self.said.data) > MAX_SHORT:
            raise malformed("registration reply", f"more than {MAX_SHORT} bytes ride only in a long extension")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an authenticator says and covers: all bytes of the message before it."""

    spi: int
    covered: bytes
    authenticator: bytes

    def by(self, security: Security) -> bool:
        """Whether it was made with this association's key."""
        if self.spi != security.spi or len(self.authenticator) != security.algorithm.size:
            return False
        return hmac.compare_digest(security.algorithm.made(security.key, self.covered), self.authenticator)


def encode(message: Request | Reply, security: Security, pen: int = PEN) -> bytes:
    """The message with its extensions, sealed: the authenticator comes last and covers everything."""
    home, agent = message.home.packed, message.agent.packed
    if isinstance(message, Request):
        fixed = (message.flags, message.lifetime, home, agent, message.care_of.packed, message.identification)
        body = _REQUEST.pack(REQUEST_TYPE, *fixed) + _told(message.said, pen, request=True)
    else:
        body = _REPLY.pack(REPLY_TYPE, message.code, message.lifetime, home, agent, message.identification)
        body += _told(message.said, pen, request=False)
    body += struct.pack(">BBI", MHAE, 4 + security.algorithm.size, security.spi)
    return body + security.algorithm.made(security.key, body)


def decode(data: bytes, pen: int = PEN) -> tuple[Request | Reply, Sealed]:
    """The message in the bytes and its seal, which the caller holds against what it shares with the sender; or DataError."""
    kind = data[0] if data else None
    fixed = {REQUEST_TYPE: _REQUEST, REPLY_TYPE: _REPLY}.get(kind if kind is not None else -1)
    if fixed is None or len(data) < fixed.size:
        raise malformed("registration", "neither a request nor a reply, or shorter than its fixed part")
    said, seal = _extensions(data, fixed.size, pen, request=kind == REQUEST_TYPE)
    _, second, lifetime, home, agent, *rest = fixed.unpack_from(data)
    if kind == REQUEST_TYPE:
        made = Request(lifetime, Address(home), Address(agent), Address(rest[0]), rest[1], second, said)
        return made, seal
    return Reply(second, lifetime, Address(home), Address(agent), rest[0], said), seal


# ---- extensions ------------------------------------------------------------------------------------------------------------


def _told(said: Said, pen: int, *, request: bool) -> bytes:
    parts = []
    if said.nai:
        parts.append(struct.pack(">BB", NAI, len(said.nai)) + said.nai.encode("ascii"))
    if said.proof:
        parts.append(_short(pen, Vendor.PROOF, said.proof))
    if said.udp is not None:
        parts.append(_udp_told(said.udp, request=request))
    if request and said.wide:
        parts.append(_short(pen, Vendor.WIDE, b""))
    if said.data is not None:
        if request:
            parts.append(_short(pen, Vendor.STATE, said.data))
        else:
            parts.append((_long if said.wide else _short)(pen, Vendor.RIDES, said.data))
    return b"".join(parts)


def _udp_told(udp: Udp, *, request: bool) -> bytes:
    if request:
        return bytes((UDP_REQUEST, 6)) + _UDP_REQUEST.pack(0, 0, 0x80 if udp.force else 0, _IN_IP, 0)
    return bytes((UDP_REPLY, 6)) + _UDP_REPLY.pack(0, udp.code, 0x8000 if udp.force else 0, udp.keepalive)


def _udp_said(said: Said, value: bytes, *, request: bool) -> Said:
    """RFC 3519 3.1 and 3.2; reserved bits are passed over. What is of another sub-type, or wants another encapsulation than
    IP in IP, says nothing."""
    if len(value) != 6:
        raise malformed("registration", "an extension for a tunnel in UDP has 6 bytes")
    if request:
        kind, _, flags, inside, _ = _UDP_REQUEST.unpack(value)
        return replace(said, udp=Udp(bool(flags & 0x80))) if kind == 0 and inside in (0, _IN_IP) else said
    kind, code, flags, keepalive = _UDP_REPLY.unpack(value)
    return replace(said, udp=Udp(bool(flags & 0x8000), code, keepalive)) if kind == 0 else said


def in_udp(packet: bytes) -> bytes:
    """An IP packet as a datagram to the registration port (RFC 3519 3.3)."""
    return bytes((UDP_DATA, _IN_IP, 0, 0)) + packet


def out_of_udp(datagram: bytes) -> bytes | None:
    """The IP packet in it; None: it is none."""
    return datagram[4:] if datagram[:2] == bytes((UDP_DATA, _IN_IP)) else None


def _short(pen: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", NVSE, 8 + len(value), 0) + _VENDOR.pack(pen, kind) + value


def _long(pen: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", CVSE, 0, 6 + len(value)) + _VENDOR.pack(pen, kind) + value


def _extensions(data: bytes, at: int, pen: int, *, request: bool) -> tuple[Said, Sealed]:
    """What stands before the authenticator, which must be the last: nothing is taken that it does not cover."""
    said = Said()
    seen: set[object] = set()
    while at < len(data):
        kind = data[at]
        if kind == PAD:
            at += 1
            continue
        value, end = _value(data, at)
        if kind == MHAE:
            if end != len(data) or len(value) < 4:
                raise malformed("registration", "something stands after the authenticator, or it has no SPI")
            covered = data[: len(data) - len(value) + 4]
            return said, Sealed(int.from_bytes(value[:4], "big"), covered, value[4:])
        name, said = _take(said, kind, value, pen, request=request)
        if name is not None and name in seen:
            raise malformed("registration", f"extension {name} comes twice")
        seen.add(name)
        at = end
    raise malformed("registration", "no authenticator")


def _value(data: bytes, at: int) -> tuple[bytes, int]:
    """The value of the extension at this place, after type and length, and where the next begins."""
    head = 4 if data[at] == CVSE else 2
    if len(data) < at + head:
        raise malformed("registration", "an extension without its length")
    length = int.from_bytes(data[at + 2 : at + 4], "big") if head == 4 else data[at + 1]
    end = at + head + length
    if end > len(data):
        raise malformed("registration", "an extension is longer than the message")
    return data[at + head : end], end


def _take(said: Said, kind: int, value: bytes, pen: int, *, request: bool) -> tuple[object, Said]:
    """What one extension adds, and its name; None for one that may be skipped."""
    if kind == NAI:
        return NAI, replace(said, nai=value.decode("ascii", "replace"))
    if kind == (UDP_REQUEST if request else UDP_REPLY):
        return kind, _udp_said(said, value, request=request)
    if kind not in (NVSE, CVSE):
        if kind < 128:
            raise malformed("registration", f"extension {kind} is not known and must not be skipped")
        return None, said
    body = value[2:] if kind == NVSE else value
    if len(body) < _VENDOR.size:
        raise malformed("registration", "a vendor extension without vendor and type")
    vendor, what = _VENDOR.unpack_from(body)
    if vendor != pen or (request and kind == CVSE):
        if kind == CVSE:
            raise malformed("registration", f"critical extension {what} of vendor {vendor} is not known")
        return None, said
    return _ours(said, what, body[_VENDOR.size :], request=request, wide=kind == CVSE)


def _ours(said: Said, what: int, body: bytes, *, request: bool, wide: bool) -> tuple[object, Said]:
    if request and what == Vendor.STATE:
        return what, replace(said, data=body)
    if request and what == Vendor.PROOF and body:
        return what, replace(said, proof=body)
    if request and what == Vendor.WIDE and not body:
        return what, replace(said, wide=True)
    if not request and what == Vendor.RIDES:
        return what, replace(said, data=body, wide=wide)
    if wide:
        raise malformed("registration", f"critical extension {what} is not known")
    return None, said


# ---- identity and time ------------------------------------------------------------------------------------------------------


def secret(password: str, nai: str) -> bytes:
    """The secret that stands for a user's password: 32 bytes of scrypt (N 2^14, r 8, p 1), salted with the identity. The home
    agent keeps this and never the password."""
    salt = b"neurath mobile ip\0" + nai.encode()
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32, maxmem=64 << 20)


def proof(known: bytes, nai: str, home: Address, care_of: Address, identification: int) -> bytes:
    """That who sends this very request knows the user's secret: 16 bytes."""
    told = nai.encode() + b"\0" + home.packed + care_of.packed + identification.to_bytes(8, "big")
    return hmac.digest(known, told, "sha256")[:16]


def stamp(now: float) -> int:
    """The identification of a moment (Unix seconds): an NTP time stamp of 64 bits."""
    return int((now + NTP) * (1 << 32)) & (1 << 64) - 1


def drawn(security: Security, what: bytes) -> int:
    """A nonce of 32 bits that nobody without the key can foresee; `what` is never the same twice (RFC 5944 5.7.2)."""
    return int.from_bytes(hmac.digest(security.key, b"nonce\0" + what, "sha256")[:4], "big")


def moment(identification: int) -> float:
    """Unix seconds of an identification."""
    return identification / (1 << 32) - NTP
