"""The heartbeat of two machines that stand in for each other, and its answer: who it is, which role it has, and at the end
whatever rides. It knows 16 bytes of header and 16 of authentication; it must never know who is right, nor give out a message
that its seal does not cover. Spec: docs/spec/pair.md."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import Enum

from neurath.errors import TrustError
from neurath.wire.cbor import malformed

_HEAD = struct.Struct(">BBHIQ")
SEAL = 16
#: Bytes of a heartbeat that are there with or without something that rides.
SIZE = _HEAD.size + SEAL
#: With IP and UDP headers an answer stays one packet on a path of 1,280 bytes, and holds six pieces of 200.
ROOM = 1208
_VERSION = 0x50
_ANSWER = 0x01
MIN_KEY = 16


class Role(Enum):
    """Who does the work of the two."""

    STANDBY = 0
    ACTIVE = 1


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat, or the answer to the one with the same `number`. `node` is 1 or 2; `term` counts take-overs; `riding` is
    the download state on a heartbeat, or what rides on an answer."""

    node: int
    role: Role
    term: int
    number: int
    answer: bool = False
    riding: bytes = b""

    def __post_init__(self) -> None:
        if self.node not in (1, 2) or not (0 <= self.term < 1 << 32 and 0 <= self.number < 1 << 64):
            raise malformed("heartbeat of a pair", "node 1 or 2, a term of 32 bits, a number of 64")
        if len(self.riding) > ROOM:
            raise malformed("heartbeat of a pair", f"{len(self.riding)} bytes ride; at most {ROOM}")


def encode(beat: Beat, key: bytes) -> bytes:
    """The heartbeat, sealed."""
    kind = _VERSION | (_ANSWER if beat.answer else 0)
    head = _HEAD.pack(kind, beat.role.value, beat.node, beat.term, beat.number)
    body = head + beat.riding
    return body + _seal(key, body)


def decode(data: bytes, key: bytes) -> Beat:
    """The heartbeat in the bytes; TrustError where the seal is not made with this key, DataError for any other fault."""
    if not SIZE <= len(data) <= SIZE + ROOM:
        raise malformed("heartbeat of a pair", f"{len(data)} bytes; it has {SIZE} to {SIZE + ROOM}")
    body, seal = data[:-SEAL], data[-SEAL:]
    if not hmac.compare_digest(_seal(key, body), seal):
        raise TrustError("a heartbeat that is not our other half's", "its seal does not hold", "share one key", id="NRT-256")
    kind, role, node, term, number = _HEAD.unpack_from(body)
    if kind & ~_ANSWER != _VERSION or role > 1:
        raise malformed("heartbeat of a pair", "another version, or a role that is not known")
    return Beat(node, Role(role), term, number, bool(kind & _ANSWER), body[_HEAD.size :])


def _seal(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:SEAL]
