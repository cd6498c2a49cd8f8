"""CoAP messages (RFC 7252) and block options (RFC 7959) as values. It knows bytes, option deltas and what our resources are
called; it must never send one, nor know what a payload means. Spec: docs/spec/coap.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from neurath.wire.cbor import malformed

#: The port of CoAP without DTLS.
PORT = 5683
#: Option that shows a terminal's token: critical, safe to forward, of the range for experiments.
TOKEN_OPTION = 65001
ETAG, LOCATION_PATH, URI_PATH, CONTENT_FORMAT, MAX_AGE, URI_QUERY = 4, 8, 11, 12, 14, 15
BLOCK2, BLOCK1, SIZE2 = 23, 27, 28
#: Of RFC 9177: several blocks for one request, each answered by a datagram that nobody acknowledges.
Q_BLOCK2 = 31
#: Blocks of a series that leave at once (MAX_PAYLOADS of RFC 9177).
MAX_PAYLOADS = 10
CBOR = 60
OCTETS = 42
#: Names of our resources: the first segment of the path.
CHECK, REPORT, HEARTBEAT, FILE, ACTION, RESCUE, QUESTION, KEYS = "c", "r", "h", "f", "a", "x", "q", "k"
#: No message of ours is longer: header, token, options and one block of 1024 bytes.
MAX_DATAGRAM = 1280
#: A payload follows.
_MARKER = 0xFF
_MOST_OPTIONS = 64


class Type(IntEnum):
    """What a datagram asks of the message layer."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Code(IntEnum):
    """Requests and responses that we use: class times 32, and detail."""

    EMPTY = 0
    GET = 1
    POST = 2
    PUT = 3
    DELETE = 4
    CREATED = 0x41
    DELETED = 0x42
    VALID = 0x43
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    NOT_FOUND = 0x84
    NOT_ALLOWED = 0x85
    INCOMPLETE = 0x88
    CONFLICT = 0x89
    TOO_LARGE = 0x8D
    SERVER_ERROR = 0xA0
    UNAVAILABLE = 0xA3


def dotted(code: int) -> str:
    """A code as people write it: 2.04."""
    return f"{code >> 5}.{code & 31:02}"


@dataclass(frozen=True, slots=True)
class Block:
    """Block `number` of `size` bytes each; `more` follow."""

    number: int
    more: bool = False
    exponent: int = 6

    def __post_init__(self) -> None:
        if not (0 <= self.number < 1 << 20 and 0 <= self.exponent <= 6):
            raise malformed("block option", "a number has 20 bits, a size 16 to 1024 bytes")

    @property
    def size(self) -> int:
        return 16 << self.exponent


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram. `code` is a number of two parts, also one that is not among ours; `options` are (number, value) in order
    of number, those of one number in their own order."""

    type: Type
    code: int
    mid: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = b""

    def __post_init__(self) -> None:
        numbers = [number for number, _ in self.options]
        if not (0 <= self.code <= 0xFF and 0 <= self.mid <= 0xFFFF and len(self.token) <= 8):
            raise malformed("CoAP message", "code has 8 bits, message id 16, token at most 8 bytes")
        if numbers != sorted(numbers) or any(not 0 <= n <= 0xFFFF or len(v) > 0xFFFF for n, v in self.options):
            raise malformed("CoAP message", "options are numbers of 16 bits in order")
        if self.code == Code.EMPTY and (self.token or self.options or self.payload):
            raise malformed("CoAP message", "an empty message has nothing after its header")

    def all(self, number: int) -> tuple[bytes, ...]:
        """The values of an option."""
        return tuple(value for given, value in self.options if given == number)

    def uint(self, number: int) -> int | None:
        """The number in an option, None where it is absent."""
        found = self.all(number)
        if not found:
            return None
        if len(found[0]) > 4:
            raise malformed("CoAP option", f"option {number} has more than 32 bits")
        return int.from_bytes(found[0], "big")

    def block(self, number: int) -> Block | None:
        value = self.uint(number)
        if value is None:
            return None
        if value >= 1 << 24 or value & 7 == 7:
            raise malformed("block option", f"{value:#x}")
        return Block(value >> 4, bool(value & 8), value & 7)


def uint(value: int) -> bytes:
    """A number as an option has it: no leading zero byte."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def block_value(block: Block) -> bytes:
    return uint(block.number << 4 | (8 if block.more else 0) | block.exponent)


def series(values: Sequence[bytes]) -> list[Block]:
    """The blocks that a request for a series asks for: each that is named, and behind one with `more` the rest of its set."""
    found: list[Block] = []
    for value in values[:MAX_PAYLOADS]:
        if len(value) > 3 or (one := int.from_bytes(value, "big")) & 7 == 7:
            raise malformed("block option", value[:8].hex())
        number, end = one >> 4, (one >> 4) // MAX_PAYLOADS * MAX_PAYLOADS + MAX_PAYLOADS
        last = min(end, 1 << 20) if one & 8 else number + 1
        found += [Block(at, False, one & 7) for at in range(number, last)]
    return found[:MAX_PAYLOADS]


def path(*segments: str) -> tuple[tuple[int, bytes], ...]:
    return tuple((URI_PATH, segment.encode()) for segment in segments)


def encode(message: Message) -> bytes:
    out = bytearray((0x40 | message.type << 4 | len(message.token), message.code, *message.mid.to_bytes(2, "big")))
    out += message.token
    last = 0
    for number, value in message.options:
        delta, extra = _nibble(number - last)
        length, more = _nibble(len(value))
        out += bytes((delta << 4 | length,)) + extra + more + value
        last = number
    if message.payload:
        out.append(_MARKER)
        out += message.payload
    return bytes(out)


def decode(data: bytes) -> Message:
    """The message in a datagram, or DataError."""
    if len(data) < 4 or data[0] >> 6 != 1:
        raise malformed("CoAP message", "no CoAP version 1")
    length = data[0] & 15
    if length > 8 or len(data) < 4 + length:
        raise malformed("CoAP message", "the token is cut or too long")
    options, at = _options(data, 4 + length)
    payload = data[at:]
    return Message(
        Type(data[0] >> 4 & 3), data[1], int.from_bytes(data[2:4], "big"), data[4 : 4 + length], tuple(options), payload
    )


def _options(data: bytes, at: int) -> tuple[list[tuple[int, bytes]], int]:
    """The options from there on, and where the payload begins."""
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(data):
        first = data[at]
        at += 1
        if first == _MARKER:
            if at == len(data):
                raise malformed("CoAP message", "a payload marker, and no payload")
            return options, at
        delta, at = _extended(data, first >> 4, at)
        length, at = _extended(data, first & 15, at)
        number += delta
        if at + length > len(data) or number > 0xFFFF or len(options) == _MOST_OPTIONS:
            raise malformed("CoAP message", "an option is cut, or there are too many")
        options.append((number, data[at : at + length]))
        at += length
    return options, at


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def _extended(data: bytes, nibble: int, at: int) -> tuple[int, int]:
    width = {13: 1, 14: 2}.get(nibble, 0)
    if nibble == 15 or at + width > len(data):
        raise malformed("CoAP message", "an option's length is cut or reserved")
    more = int.from_bytes(data[at : at + width], "big")
    return (nibble if not width else more + (13 if width == 1 else 269)), at + width
