"""Which pieces of the new image look like pieces of the old one. It knows two byte strings and a matcher; it must never
know flash, sectors or an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import neurath.flash._core as _core

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


class Suffix:
    """Approximate matching over a suffix array in C (core/ports/match.c, 4 bytes of RAM a byte of image), the cheapest set of
    segments, trimmed and joined."""

    def match(self, old: bytes, new: bytes) -> list[Segment]:
        room = len(new) // 8 + 16
        out = _core.ffi.new("uint32_t[]", 3 * room)
        before, after = _core.ffi.from_buffer(old), _core.ffi.from_buffer(new)
        task = _core.ffi.new(
            "struct nrt_likeness *",
            {
                "old_image": _core.ffi.cast("uint8_t *", before),
                "new_image": _core.ffi.cast("uint8_t *", after),
                "old_size": len(old),
                "new_size": len(new),
                "out": out,
                "room": room,
            },
        )
        count = _core.lib.nrt_match(task)
        if count < 0:
            raise MemoryError
        found = [Segment(*out[3 * k : 3 * k + 3]) for k in range(count)]
        return joined([s for s in found if worth(old, new, s) > 0])


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
