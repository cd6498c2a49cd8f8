"""Which pieces of the new image look like pieces of the old one. It knows two byte strings and a matcher; it must never
know flash, sectors or an order."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

#: Copies closer than this on one diagonal are one copy: bytes between them cost less as misses than a segment does.
BRIDGE = 16
#: A segment costs about this many bits in the control table and pays about these for a byte that hits or misses.
COST_SEGMENT, GAIN_HIT, COST_MISS = 44, 6, 3


@dataclass(frozen=True, slots=True)
class Segment:
    """New bytes [at, at + length) resemble old bytes from `source` up."""

    at: int
    source: int
    length: int

    @property
    def end(self) -> int:
        return self.at + self.length

    @property
    def diagonal(self) -> int:
        return self.source - self.at

    def part(self, start: int, end: int) -> Segment:
        """The part of it that makes new bytes [start, end)."""
        return Segment(start, start + self.diagonal, end - start)


class Matcher(Protocol):
    """Finds segments: ascending in `at`, apart, inside both images."""

    def match(self, old: bytes, new: bytes) -> list[Segment]: ...


class Bsdiff:
    """Approximate matching over a suffix array (bsdiff4, 8 bytes of RAM a byte of image), then trimmed and joined."""

    def match(self, old: bytes, new: bytes) -> list[Segment]:
        import bsdiff4.core

        control = bsdiff4.core.diff(old, new)[0]
        found = []
        at = source = 0
        for copy, extra, seek in struct.iter_unpack("<QQQ", control):
            found.append(Segment(at, source, _signed(copy)))
            at += _signed(copy) + _signed(extra)
            source += _signed(copy) + _signed(seek)
        return joined([s for piece in found if (s := _inside(piece, len(old), len(new))) and worth(old, new, s) > 0])


class Exact:
    """The same segments cut down to the stretches where every byte is equal: what profile 0 can say."""

    def __init__(self, matcher: Matcher, shortest: int = 8) -> None:
        self.matcher = matcher
        self.shortest = shortest

    def match(self, old: bytes, new: bytes) -> list[Segment]:
        found = []
        for segment in self.matcher.match(old, new):
            found += self._equal(old, new, segment)
        return found

    def _equal(self, old: bytes, new: bytes, segment: Segment) -> list[Segment]:
        found, start = [], segment.at
        for at in range(segment.at, segment.end + 1):
            if at == segment.end or old[at + segment.diagonal] != new[at]:
                if at - start >= self.shortest:
                    found.append(segment.part(start, at))
                start = at + 1
        return found


def _signed(value: int) -> int:
    """bsdiff writes sign and magnitude, not two's complement."""
    return -(value & 0x7FFFFFFFFFFFFFFF) if value >> 63 else value


def _inside(segment: Segment, old_size: int, new_size: int) -> Segment | None:
    start = max(segment.at, segment.at - segment.source)
    end = min(segment.end, segment.at + old_size - segment.source, new_size)
    return segment.part(start, end) if end > start else None


def hits(old: bytes, new: bytes, segment: Segment) -> int:
    """How many bytes of the segment are equal."""
    a = int.from_bytes(old[segment.source : segment.source + segment.length], "little")
    b = int.from_bytes(new[segment.at : segment.end], "little")
    return (a ^ b).to_bytes(segment.length, "little").count(0)


def worth(old: bytes, new: bytes, segment: Segment) -> int:
    """Bits a segment saves against literals, roughly; below 0: better without it."""
    same = hits(old, new, segment)
    return same * GAIN_HIT - (segment.length - same) * COST_MISS - COST_SEGMENT


def joined(segments: list[Segment]) -> list[Segment]:
    """Neighbours on one diagonal with a small gap become one."""
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is not None and last.diagonal == segment.diagonal and segment.at - last.end <= BRIDGE:
            result[-1] = last.part(last.at, segment.end)
        else:
            result.append(segment)
    return result
