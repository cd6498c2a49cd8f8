"""A slow oracle of the decoder, written from docs/spec/delta.md alone: what the core decodes is compared with it in tests. It
knows the specification; production reads nothing but control tables with it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from neurath.delta import oracle, oracle_large, oracle_quick, oracle_tiny
from neurath.delta.code import groups
from neurath.delta.format import Head, Reader, malformed, parse, segments
from neurath.delta.match import Segment
from neurath.errors import TrustError
from neurath.flash.profiles import LARGE, QUICK, RAW, SMALL, TINY

_RATE = (128, 96, 70, 54, 44, 37, 32, 28, 25, 22, 20, 18, 16, 15, 14, 13)
_GRADE = (0, 1, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5)


class Range:
    """Section 6: the binary range decoder over one frame."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.at = 0
        self.range = 0xFFFFFFFF
        self.code = 0
        for _ in range(4):
            self._take()

    def _take(self) -> None:
        byte = self.frame[self.at] if self.at < len(self.frame) else 0
        self.at += 1
        if self.at > len(self.frame) + 4:
            raise malformed("a frame ends too early")
        self.code = (self.code << 8 | byte) & 0xFFFFFFFF

    def bit(self, p1: int) -> int:
        bound = (self.range >> 16) * p1
        if self.code < bound:
            self.range, bit = bound, 1
        else:
            self.code -= bound
            self.range -= bound
            bit = 0
        while self.range < 1 << 24:
            self.range = self.range << 8 & 0xFFFFFFFF
            self._take()
        return bit

    def close(self) -> None:
        if self.at < len(self.frame):
            raise malformed("a frame is longer than what it says")


class Counters:
    """Section 7.1: 12-bit probabilities that learn fast when young."""

    def __init__(self, size: int) -> None:
        self.p = [2048] * size
        self.n = [0] * size

    def learn(self, i: int, bit: int) -> None:
        rate = _RATE[self.n[i]]
        if bit:
            self.p[i] += (4095 - self.p[i]) * rate >> 8
        else:
            self.p[i] -= self.p[i] * rate >> 8
        self.n[i] = min(15, self.n[i] + 1)

    def bit(self, range_: Range, i: int) -> int:
        bit = range_.bit(self.p[i] * 16 + 8)
        self.learn(i, bit)
        return bit


class Model:
    """Section 7: profile 1, reset for every group and for the control table."""

    def __init__(self, range_: Range) -> None:
        self.range = range_
        self.since, self.misses, self.last, self.shift = 8, 0, 0, 0
        self.fast = [0x3000 >> (i >> 3) for i in range(64)]
        self.slow = list(self.fast)
        self.literal = (Counters(256), Counters(1024))
        self.miss = (Counters(256), Counters(512))

    def _flag(self, i: int) -> int:
        bit = self.range.bit(max(8, (self.fast[i] + self.slow[i]) >> 1))
        for table, shift in ((self.fast, 4), (self.slow, 7)):
            table[i] += (65535 - table[i]) >> shift if bit else -(table[i] >> shift)
        return bit

    def _byte(self, tables: tuple[Counters, Counters], hint: int) -> int:
        coarse, fine = tables
        node = 1
        for _ in range(8):
            slot = (hint * 0x3D4D + node * 0x9E5 + (hint ^ node)) % len(fine.p)
            pc, pf, seen = coarse.p[node], fine.p[slot], fine.n[slot]
            p = pc * 4 if seen == 0 else pc * 2 + pf * 2 if seen < 3 else pc + pf * 3
            bit = self.range.bit(p * 4 + 8)
            coarse.learn(node, bit)
            fine.learn(slot, bit)
            node = node * 2 + bit
        return node & 0xFF

    def literal_byte(self) -> int:
        self.last = self._byte(self.literal, self.last)
        return self.last

    def copied(self, at: int, old: int) -> int:
        quiet = _GRADE[self.since] if self.since < 16 else 6 if self.since < 64 else 7
        missed = self._flag(quiet << 3 | (at & 3) << 1 | (1 if self.misses & 0x1E else 0))
        self.last = old
        self.since += 1
        if missed:
            self.shift = self._byte(self.miss, self.shift)
            self.last = (old + self.shift) & 0xFF
            self.since = 0
        self.misses = (self.misses << 1 | missed) & 0xFF
        return self.last

    def number(self, field: int) -> int:
        coarse, fine = self.literal
        node = 1
        for _ in range(6):
            node = node * 2 + coarse.bit(self.range, field * 64 + node)
        length = node - 64
        if length > 32:
            raise malformed("a number of its control table is too long")
        value = min(length, 1)
        for _ in range(length - 1):
            modelled = value < 4
            value = value * 2 + (
                fine.bit(self.range, field * 256 + length * 4 + value) if modelled else self.range.bit(0x8000)
            )
        return value


def apply(old: bytes, data: bytes, units: Sequence[tuple[int, int]]) -> bytes:
    """The new image, decoded from pristine old bytes; TrustError when `old` is not the base.

    `units` are the commit units of the memory map as (start, end) image offsets. Order and hazards are the core's business:
    here old bytes never go away.
    """
    head, frames = parse(data)
    if len(old) != head.old_size or (old and zlib.crc32(old) & 0xFFFF != head.base):
        raise _wrong_base()
    ranges = groups(units, head.order, head.new_size, head.group)
    if len(ranges) != len(frames):
        raise malformed("it has too few or too many groups")
    new = bytearray(old[: head.new_size].ljust(head.new_size, b"\xff"))
    try:
        for (start, end), group in _DECODERS.get(head.profile, _plain)(
            head, old, list(zip(ranges, frames, strict=True)), units
        ):
            new[start:end] = group
    except ValueError as fault:
        raise malformed(str(fault)) from None
    if zlib.crc32(new, zlib.crc32(old)) != head.crc:
        raise malformed("what it makes is not what it says")
    return bytes(new)


#: Groups in the order they are decoded: (start, end) image offsets, and bytes or the frame they come from.
_Groups = Sequence[tuple[tuple[int, int], bytes]]
_Made = Iterator[tuple[tuple[int, int], bytes]]
_Units = Sequence[tuple[int, int]]


def _plain(head: Head, old: bytes, framed: _Groups, units: _Units) -> _Made:
    """Profiles 0 and 1: sections 6 and 7."""
    table = control_of(head)
    for span, frame in framed:
        yield span, bytes(_group(head, old, table, frame, span))


def _small(head: Head, old: bytes, framed: _Groups, units: _Units) -> _Made:
    """Profiles 2 and 5: sections 8, 9 and 13."""
    map_ = map_of(head)
    model = None
    firsts = set() if head.apart or not old else {start for start, _ in units}
    for (start, end), frame in framed:
        range_ = Range(frame)
        map_.here = None
        if model is None or not head.flow or start in firsts:
            model = (oracle_quick.Quick if head.profile == QUICK else oracle.Model)(range_.bit, map_)
            model.window = head.window
        model.go_on(range_.bit)
        yield (start, end), bytes(model.group(old, start, end))
        range_.close()


def _tiny(head: Head, old: bytes, framed: _Groups, units: _Units) -> _Made:
    """Profile 4: section 12."""
    map_ = map_of(head)
    for (start, end), frame in framed:
        range_ = Range(frame)
        yield (start, end), bytes(oracle_tiny.Model(range_.bit, map_).group(old, start, end))
        range_.close()


def _large(head: Head, old: bytes, framed: _Groups, units: _Units) -> _Made:
    """Profile 3: section 11."""
    unit_of = {at: unit for unit in head.order for at in range(*units[unit], head.group)}
    map_ = map_of(head)
    ranges = [Range(frame) for _, frame in framed]
    frames = [((start, end), unit_of[start], r.bit) for ((start, end), _), r in zip(framed, ranges, strict=True)]
    made = oracle_large.decode(old, frames, map_, units, head.apart or head.flow)
    for (span, _), r, group in zip(framed, ranges, made, strict=True):
        yield span, bytes(group)
        r.close()


_DECODERS = {SMALL: _small, QUICK: _small, LARGE: _large, TINY: _tiny}


def map_of(head: Head) -> oracle.Map:
    map_ = oracle.Map(head.old_size, head.address, head.isa, [])
    if head.segments:
        range_ = Range(head.control)
        if head.profile == TINY:
            values, map_.shifts, map_.also = oracle_tiny.table(oracle_tiny.Model(range_.bit, map_), head.segments)
            range_.close()
            map_.segments = segments(values, head)
            return map_
        model = oracle.Model(range_.bit, map_)
        values, map_.shifts, map_.also = oracle.table(model, head.segments)
        map_.sections = oracle.sections(model) if head.sections else []
        range_.close()
        map_.segments = segments(values, head)
    return map_


def _wrong_base() -> TrustError:
    return TrustError("this update file is not made for this image", "size or check sum differ", "neurath delta show FILE")


def control_of(head: Head) -> list[Segment]:
    if head.profile in _DECODERS:
        return map_of(head).segments
    if head.profile == RAW:
        reader = Reader(head.control)
        values = [reader.varint() for _ in range(3 * head.segments)]
        if reader.at != len(head.control):
            raise malformed("its control table is longer than what it says")
        return segments(values, head)
    if not head.segments:
        return []
    range_ = Range(head.control)
    model = Model(range_)
    values = [model.number(i % 3) for i in range(3 * head.segments)]
    range_.close()
    return segments(values, head)


def _group(head: Head, old: bytes, table: Sequence[Segment], frame: bytes, span: tuple[int, int]) -> Iterator[int]:
    range_ = Range(frame) if head.profile != RAW else None
    model = Model(range_) if range_ else None
    reader = Reader(frame)
    for at in range(*span):
        segment = next((s for s in table if s.at <= at < s.end), None)
        if segment is None:
            yield model.literal_byte() if model else reader.take(1)[0]
        else:
            byte = old[at + segment.diagonal]
            yield model.copied(at, byte) if model else byte
    if range_:
        range_.close()
    elif reader.at != len(frame):
        raise malformed("a frame is longer than what it says")
