"""Sections 8 and 9 of docs/spec/delta.md, slowly: the model of profile 2 as the specification words it, for tests. Production
never calls it; it shares no code with the core."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from neurath.delta.match import Segment

Bit = Callable[[int], int]
M32 = 0xFFFFFFFF
_SQUASHED = [min(65535, int(65536 / (1 + 2 ** (-i / 8)) + 0.5)) for i in range(130)]
_FRACTION = [int(256 * math.log2(1 + i / 64) + 0.5) for i in range(64)]
_TRUST = (0, 110, 150, 180, 200, 215, 228, 240)
_RATE = (128, 85, 60, 44, 34, 28, 24, 22)
_CLASS = (0, 1, 2, 3, 3, 2, 4, 2, 5, 6, 6, 6, 6, 5, 7, 7)
FLAGS, POOL, CACHE = 128, 512, 64
#: Old bytes that are looked at.
AHEAD = 24


def hashed(a: int, b: int) -> int:
    """Section 8.1."""
    x = (a * 0x9E3779B1 ^ (b + 0x7F4A7C15) * 0x85EBCA6B) & M32
    x ^= x >> 15
    x = x * 0x2C1B3C6D & M32
    return x ^ x >> 13


def _over(a: int, b: int) -> int:
    """Division towards zero."""
    return abs(a) // b * (1 if a >= 0 else -1)


def _log(p: int) -> int:
    e = p.bit_length() - 1
    return e * 256 + _FRACTION[(p >> (e - 6) if e >= 6 else p << (6 - e)) & 63]


def _stretch(p: int) -> int:
    p = min(max(p, 1), 65535)
    return _log(p) - _log(65536 - p)


def _squash(x: int) -> int:
    i, f = abs(x) >> 5, abs(x) & 31
    p = _SQUASHED[i] + ((_SQUASHED[i + 1] - _SQUASHED[i]) * f >> 5)
    return 65536 - p if x < 0 else p


def _within(x: int, limit: int) -> int:
    return max(-limit, min(limit, x))


class Mixer:
    """Section 8.3: one set of weights."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.weights = list(weights)

    def bit(self, code: Bit | None, opinions: Sequence[tuple[int, int]], taught: int = 0) -> int:
        """Decodes a bit with `code`, or takes the one taught."""
        xs = [_stretch(p) for p, _ in opinions]
        for i, (_, seen) in enumerate(opinions):
            if i and seen < 8:
                xs[i] = _over(xs[i] * _TRUST[seen] + xs[0] * (256 - _TRUST[seen]), 256)
        total = sum(_over(_over(w, 16) * x, 4096) for w, x in zip(self.weights, xs, strict=True))
        p = min(max(_squash(_within(total, 4095)), 24), 65536 - 24)
        bit = code(p) if code else taught
        error = 65536 * bit - p
        self.weights = [_within(w + _over(error * _over(x, 4), 8192), 1 << 18) for w, x in zip(self.weights, xs, strict=True)]
        return bit


class Slots:
    """Section 8.2: 13 bits of probability over 3 bits of how often."""

    def __init__(self, size: int, first: int = 4096) -> None:
        self.p, self.seen = [first] * size, [0] * size

    def chance(self, i: int) -> int:
        return self.p[i] << 3 | 4

    def learn(self, i: int, bit: int) -> None:
        rate = _RATE[self.seen[i]]
        self.p[i] += (8191 - self.p[i]) * rate >> 8 if bit else -(self.p[i] * rate >> 8)
        self.seen[i] = min(7, self.seen[i] + 1)

    def bit(self, code: Bit, i: int) -> int:
        bit = code(self.chance(i))
        self.learn(i, bit)
        return bit


class Flags:
    """Section 8.2: 16 bits of probability, and how often."""

    def __init__(self, size: int, seen: int = 0) -> None:
        self.p, self.seen = [32768] * size, [seen] * size

    def learn(self, i: int, bit: int) -> None:
        rate = int(65536 / (self.seen[i] + 2) + 0.5)
        self.p[i] += (65535 - self.p[i]) * rate >> 16 if bit else -(self.p[i] * rate >> 16)
        self.seen[i] = min(20, self.seen[i] + 1)


@dataclass(slots=True)
class Field:
    """A predicted field; `data` empty: nothing is predicted."""

    data: bytes = b""
    kind: int = 0
    key: int = 0
    isa: int = 0
    lift: int = 0


@dataclass(slots=True)
class Map:
    """Section 9: where old offsets are in the new image, and how words grew."""

    old_size: int
    address: int
    isa: int
    segments: list[Segment]
    shifts: list[tuple[int, int]] = field(default_factory=list)
    also: int = 0
    here: Segment | None = None
    sections: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    def to(self, old: int) -> tuple[int, bool]:
        """The new offset (modulo 2^32), and whether a copy covers the old one."""
        ranked = [s for s in sorted(self.segments, key=lambda s: (s.source, s.length)) if s.source <= old]
        if ranked and ranked[-1].length == 0 and ranked[-1].source == old:
            return ranked[-1].at, True
        if self.here and 0 <= old - self.here.source < self.here.length:
            return old - self.here.diagonal & M32, True
        if not ranked:
            return old, False
        covering = [s for s in reversed(ranked[-8:]) if old - s.source < s.length]
        if covering:
            longest = max(covering, key=lambda s: s.length)
            return old - longest.diagonal & M32, True
        return old - ranked[-1].diagonal & M32, False

    def word(self, word: int) -> int | None:
        """How much a word of this value grew, if the list says so."""
        upto = [i for i, (start, _) in enumerate(self.shifts) if start <= word]
        return self.shifts[upto[-1]][1] if upto and upto[-1] + 1 < len(self.shifts) else None


class Model:
    """Sections 8 and 9: one group, or the control table."""

    def __init__(self, code: Bit, map_: Map) -> None:
        from neurath.delta.oracle_isa import Predictor

        self.code, self.map = code, map_
        self.predictor = Predictor(map_)
        self.field, self.done, self.fresh, self.field_at = Field(), 0, bytearray(), 0
        self.history, self.run, self.diagonal, self.grown, self.far = 0, 8, 0, 0, 0
        self.last = [0, 0, 0]
        self.flag0 = Flags(256, 4)
        for i in range(256):
            g = i >> 4
            self.flag0.p[i] = 26000 if g == 0 else 12000 if g == 1 else 9000 >> min(9, g)
        self.flags = [Flags(FLAGS) for _ in range(4)]
        self.miss0, self.literal0 = Slots(256), Slots(512)
        self.pool = [Slots(POOL) for _ in range(5)]
        self.numbers = [Slots(192), Slots(192)]
        self.item = Slots(4, 500)
        self.window, self.made, self.distance = 0, bytearray(), 0
        self.flag_mix = [Mixer([24000, 8000, 8000, 8000, 8000]) for _ in range(32)]
        self.miss_mix = [Mixer([4000] + [11000] * 5) for _ in range(16)]
        self.literal_mix = [Mixer([8000] + [16000] * 4) for _ in range(16)]

    # ---- bytes

    def _byte(self, direct: tuple[Slots, int], contexts: Sequence[int], mixers: Sequence[Mixer], taught: int | None) -> int:
        node = 1
        first, base = direct
        for i in range(7, -1, -1):
            places = [(first, base + node)]
            places += [(self.pool[k], hashed(c, node | k << 10) % POOL) for k, c in enumerate(contexts)]
            for slots, place in places[1:]:
                if slots.seen[place] == 0:
                    slots.p[place] = first.p[base + node]
            opinions = [(slots.chance(place), slots.seen[place]) for slots, place in places]
            bit = mixers[i].bit(None if taught is not None else self.code, opinions, (taught or 0) >> i & 1)
            for slots, place in places:
                slots.learn(place, bit)
            node = node * 2 + bit
        return node & 255

    def literal(self, at: int, taught: int | None = None) -> int:
        odd, (a, b, c) = at & 1, self.last
        two = a | b << 8
        contexts = (a | odd << 8, two | 1 << 16, two | c << 16 | 1 << 24, b | odd << 8 | 1 << 17)
        byte = self._byte((self.literal0, 256 * odd), contexts, self.literal_mix[8 * odd : 8 * odd + 8], taught)
        self.last = [byte, a, b]
        self.history, self.run = self.history << 1 & M32, 0
        return byte

    def prime(self, at: int, old: bytes) -> None:
        for i, byte in enumerate(old):
            self.literal(at + i, byte)
        self.history, self.run = 0, 8

    def _grade(self) -> int:
        if self.run < 8:
            return (0, 1, 2, 3, 4, 4, 5, 5)[self.run]
        return min(13, 6 + (self.run >> 4).bit_length())

    def copied(self, old: bytes, at: int, source: int, part: tuple[int, int]) -> int:
        """`part` are the bounds of the copy in the old image: nothing beyond them is looked at."""
        start, end = part
        if not self.field.data:
            self.field = self.predictor.predict(old[source : min(end, source + AHEAD)], source, at)
            self.field_at, self.fresh = at, bytearray()
        guessed, odd = bool(self.field.data), at & 1
        kind, done = self.field.kind if guessed else 0, len(self.fresh)
        guess = self.field.data[done] if guessed else old[source]
        inside = int(guessed and done > 0)
        place = kind << 2 | (done & 3 if guessed else odd)
        before = old[source - 1] if source > start else 0
        after = old[source + 1] if source + 1 < end else 0
        half = before | guess << 8 if source & 1 else guess | after << 8
        h = self.history
        keys = (
            hashed(guess | place << 8, h & 15),
            hashed(before | guess << 8 | after << 16, place),
            hashed(h & 0xFFF, at & 3 | (0 if kind else 4) | 256),
            hashed(self.grown | min(31, self.run) << 8, place | 2 << 10),
        )
        first = self._grade() << 4 | _CLASS[kind] << 1 | inside
        opinions = [(self.flag0.p[first], self.flag0.seen[first])]
        for table, key in zip(self.flags, keys, strict=True):
            if table.seen[key % FLAGS] == 0:
                table.p[key % FLAGS] = self.flag0.p[first]
            opinions.append((table.p[key % FLAGS], table.seen[key % FLAGS]))
        missed = self.flag_mix[_CLASS[kind] << 2 | (h & 1) << 1 | inside].bit(self.code, opinions)
        self.flag0.learn(first, missed)
        for table, key in zip(self.flags, keys, strict=True):
            table.learn(key % FLAGS, missed)
        byte = guess
        self.run += 1
        if missed:
            changed = int(odd and self.last[0] != before)
            contexts = (
                guess | place << 8,
                (guess + self.grown) % 256 | place << 8 | 1 << 16,
                self.last[0] | odd << 8 | 1 << 17,
                place | (at & 3) << 8 | 1 << 18,
                half | odd << 16 | changed << 17 | 1 << 19,
            )
            sets = self.miss_mix[8:] if guessed else self.miss_mix[:8]
            byte = self._byte((self.miss0, 0), contexts, sets, None)
            self.grown, self.run = (byte - guess) % 256, 0
        self.history = (h << 1 | missed) & M32
        self.last = [byte, *self.last[:2]]
        if guessed:
            self.fresh.append(byte)
            if len(self.fresh) == len(self.field.data):
                self.predictor.learn(self.field, self.field_at, bytes(self.fresh))
                self.field = Field()
        return byte

    # ---- items and numbers

    def _number(self, slots: Slots, base: int = 0) -> int:
        node = 1
        for _ in range(6):
            node = node * 2 + slots.bit(self.code, base + node)
        length = node - 64
        if length > 32:
            raise ValueError("a number is longer than 32 bits")
        out = min(length, 1)
        for _ in range(length - 1):
            modelled = out < 4
            out = out * 2 + (slots.bit(self.code, base + 64 + (length - 1) * 4 + out) if modelled else self.code(0x8000))
        return out

    def number(self, which: int) -> int:
        """Numbers of the control table: 0 gap, 1 length, 2 turn, 3 which diagonal, 4 shifts, 5 step, 6 growth, 7 other."""
        return self._number(self.pool[which >> 1], 256 * (which & 1))

    def here(self, segment: Segment) -> None:
        self.map.here, self.diagonal, self.field = segment, segment.diagonal, Field()

    def go_on(self, code: Bit) -> None:
        """Section 8.7: the next group, with what was learned."""
        self.code, self.map.here, self.field = code, None, Field()
        self.predictor.uppers.clear()

    def group(self, old: bytes, start: int, end: int) -> Iterator[int]:
        """The bytes of one group."""
        if self.code(0x8000):
            self.prime(start, old[start : min(end, start + 4096, len(old))])
        for byte in self._bytes(old, start, end):
            self.made.append(byte)
            yield byte

    def _bytes(self, old: bytes, start: int, end: int) -> Iterator[int]:
        at = start
        while at < end:
            segment = next((s for s in self.map.segments if s.length and s.at <= at < s.end), None)
            if segment:
                self.here(segment)
            else:
                item = self._item(old, at, min([end, *(s.at for s in self.map.segments if s.length and s.at > at)]))
                if isinstance(item, int):
                    yield from self._again(item)
                    at += item
                    continue
                segment = item
            stop = at + 1 if segment is None else min(end, segment.end)
            if segment is None:
                yield self.literal(at)
            else:
                part = (at + segment.diagonal, stop + segment.diagonal)
                for i in range(at, stop):
                    yield self.copied(old, i, i + segment.diagonal, part)
            at = stop

    def _again(self, length: int) -> Iterator[int]:
        """Section 8.7: bytes that were made before."""
        for _ in range(length):
            byte = self.made[-self.distance]
            self.last = [byte, *self.last[:2]]
            yield byte

    def _back(self, room: int) -> int:
        half = self._number(self.numbers[0])
        if half:
            self.distance = 2 * half - self.numbers[0].bit(self.code, 0) & 0xFFFF
        length = self._number(self.numbers[1]) + 1
        if length > room or not 1 <= self.distance <= min(len(self.made), self.window):
            raise ValueError("a copy leaves what was made")
        return length

    def _item(self, old: bytes, at: int, stop: int) -> Segment | int | None:
        """A copy from the old image, the length of one from what was made before, or a literal."""
        if not old and not self.window:
            return None
        self.far = self.item.bit(self.code, self.far | (at & 1) << 1)
        if not self.far:
            return None
        if self.window and (not old or self.numbers[1].bit(self.code, 0)):
            return self._back(stop - at)
        turn = self._number(self.numbers[0])
        source = at + self.diagonal + (-(turn >> 1) - 1 if turn & 1 else turn >> 1) & M32
        length = self._number(self.numbers[1]) + 1
        if length > stop - at or source + length > len(old):
            raise ValueError("a copy leaves the image")
        segment = Segment(at, source, length)
        self.here(segment)
        return segment


def table(model: Model, count: int) -> tuple[list[int], list[tuple[int, int]], int]:
    """The control table: gap, length, turn of each segment; the list of shifts; the other address."""
    values: list[int] = []
    diagonals = [0, 0, 0, 0]
    for _ in range(count):
        values += [model.number(0), model.number(1)]
        which = model.number(3)
        turn = model.number(2) if which >= 4 else None
        was = diagonals[0]
        step = 0 if turn is None else -(turn >> 1) - 1 if turn & 1 else turn >> 1
        now = was + step & M32 if turn is not None else diagonals[which]
        del diagonals[min(which, 3)]
        diagonals.insert(0, now)
        grew = (now - was + 0x80000000 & M32) - 0x80000000
        values.append(grew * 2 if grew >= 0 else -grew * 2 - 1)
    shifts, start = [], 0
    for _ in range(model.number(4)):
        start += model.number(5)
        by = model.number(6)
        shifts.append((start, (-(by >> 1) - 1 if by & 1 else by >> 1) & M32))
    return values, shifts, model.number(7)


def sections(model: Model) -> list[tuple[int, int, int, int, int]]:
    """Section 11.7: what follows the control table of profile 3."""
    out: list[tuple[int, int, int, int, int]] = []
    start = lift = at = lift_now = 0
    for _ in range(model.number(8)):
        step, kind = model.number(8), model.number(9)
        grew, by, more = (-(z >> 1) - 1 if z & 1 else z >> 1 for z in (model.number(8), model.number(9), model.number(9)))
        start, at = start + step, at + step + grew & M32
        lift, lift_now = lift + by & M32, lift_now + by + more & M32
        if start > model.map.old_size or kind % 16 > 10 or kind > 31:
            raise ValueError("a section is impossible")
        out.append((start, lift, at, lift_now, kind))
    if len(out) > 48:
        raise ValueError("there are too many sections")
    return out
