"""Pieces for carriers whose requests cannot vary, and for many at once: symbols of RaptorQ (RFC 6330), any K of which make K
pieces again, so that nobody has to say what he lacks. It knows segments, names and the code; it must never know a terminal,
nor hold more than one segment. Spec: docs/spec/trickle.md 7."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from neurath.errors import RefusedError
from neurath.wire.cbor import malformed
from neurath.wire.trickle import MAX_SYNC, NAME, SIZES

#: Pieces that are coded together: what a decoder holds in RAM is at most so many.
SEGMENT = 512
#: A segment's index has one byte.
MOST = 256 * SEGMENT
_NAME = struct.Struct(">I")
#: Symbols beside the pieces themselves are made so many at a time.
_STEP = 64


@dataclass(frozen=True, slots=True)
class Segments:
    """How a stream of `count` pieces of `piece` bytes is cut into segments."""

    count: int
    piece: int

    def __post_init__(self) -> None:
        if not 0 < self.count <= min(MOST, MAX_SYNC) or self.piece not in SIZES:
            raise malformed("coded stream", f"{self.count} pieces of {self.piece}; at most {MOST:,} are coded")

    @property
    def number(self) -> int:
        return -(-self.count // SEGMENT)

    def length(self, segment: int) -> int:
        """Pieces of a segment."""
        return min(SEGMENT, self.count - segment * SEGMENT)


def name(segment: int, number: int) -> bytes:
    """The 4 bytes before a symbol: RFC 6330's FEC payload id. Numbers below the segment's length are the pieces themselves."""
    return _NAME.pack(segment << 24 | number)


def named(data: bytes, segments: Segments) -> tuple[int, int, bytes]:
    """(segment, number, symbol), or DataError."""
    if len(data) != NAME + segments.piece:
        raise malformed("symbol", f"{len(data)} bytes")
    value = int(_NAME.unpack_from(data)[0])
    if value >> 24 >= segments.number:
        raise malformed("symbol", "a segment that the stream has not")
    return value >> 24, value & 0xFF_FFFF, data[NAME:]


@dataclass(slots=True)
class Source:
    """The symbols of a stream, in the order in which they are sent: all segments in turn, each with its pieces first. `read`
    gives the bytes of a segment, padded to whole pieces."""

    segments: Segments
    read: Callable[[int], bytes]
    _made: dict[int, list[bytes]] = field(default_factory=dict)

    def symbol(self, order: int) -> bytes:
        """The symbol that is sent as number `order` (from 0), with its name before it."""
        number, segment = divmod(order, self.segments.number)
        number %= 1 << 24
        made = self._made.get(segment, [])
        if number >= len(made):
            beside = max(0, number - self.segments.length(segment)) // _STEP * _STEP + _STEP
            made = self._made[segment] = _code(self.read(segment), self.segments.piece, beside)
        return name(segment, number) + made[number]


def _code(data: bytes, piece: int, beside: int) -> list[bytes]:
    encoder = _raptorq().Encoder.with_defaults(data, piece)
    return [bytes(packet[NAME:]) for packet in encoder.get_encoded_packets(beside)]


def solve(length: int, piece: int, symbols: Mapping[int, bytes]) -> list[bytes] | None:
    """The pieces of a segment of `length` out of its symbols, by number; None where they do not suffice yet. The segment lies
    in RAM for as long as this takes."""
    if len(symbols) < length:
        return None
    decoder = _raptorq().Decoder.with_defaults(length * piece, piece)
    for number, symbol in symbols.items():
        data = decoder.decode(_NAME.pack(number) + symbol)
        if data is not None:
            return [bytes(data[at : at + piece]) for at in range(0, length * piece, piece)]
    return None


@lru_cache(maxsize=1)
def _raptorq() -> Any:
    """The code itself is an extra: who never meets such a carrier goes without."""
    try:
        import raptorq
    except ModuleNotFoundError:
        raise RefusedError(
            "symbols cannot be coded here", "raptorq is not installed", "pip install 'neurath[carriers]'"
        ) from None
    return raptorq
