"""Section 12 of docs/spec/delta.md, slowly: the model of profile 4 as the specification words it, for tests. Production never
calls it; it shares no code with the core."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from neurath.delta.match import Segment
from neurath.delta.oracle import M32, Bit, Map, hashed
from neurath.delta.oracle_isa import ARM, THUMB, Predictor
from neurath.delta.oracle_more import TONGUES

FLAGS, POOL, PAIRS, SHIFTS = 128, 256, 32, 40
_RATE = (32767, 26214, 18725, 14564, 11916, 10082, 8738, 7710, 6899, 6242, 5699, 5243, 4855, 4520, 4228, 3972)


def _towards(p: int, to: int, rate: int) -> int:
    """Division towards zero."""
    moved = abs(to - p) * rate >> 16
    return p + moved if to > p else p - moved


def unzigzag(z: int) -> int:
    return -(z >> 1) - 1 if z & 1 else z >> 1


class Model:
    """One group, or the control table."""

    def __init__(self, code: Bit, map_: Map) -> None:
        self.code, self.map = code, map_
        self.isa = Predictor(map_)
        self.p, self.seen = [0] * (3 * FLAGS + POOL), [0] * (3 * FLAGS + POOL)
        self.pairs: dict[int, tuple[int, int]] = {}
        self.history, self.run, self.grown, self.diagonal, self.far = 0, 8, 0, 0, 0
        self.last = (0, 0)
        self.field, self.kind, self.key, self.field_at = b"", 0, 0, 0
        self.fresh = b""

    # ---- 12.1 bits

    def _bit(self, slots: Sequence[int], first: int) -> int:
        p = first
        for k, i in enumerate(slots):
            if not self.seen[i]:
                self.p[i] = p
            p = _towards(p, self.p[i], 15360 + 1024 * self.seen[i]) if k else self.p[i]
        bit = self.code(min(max(p, 24), 65512))
        for i in slots:
            self.p[i] = _towards(self.p[i], 65535 * bit, _RATE[self.seen[i]])
            self.seen[i] = min(15, self.seen[i] + 1)
        return bit

    def _node(self, contexts: Sequence[int], node: int) -> int:
        return self._bit([3 * FLAGS + hashed(c, node | k << 10) % POOL for k, c in enumerate(contexts)], 32768)

    def _byte(self, contexts: Sequence[int]) -> int:
        node = 1
        for _ in range(8):
            node = node * 2 + self._node(contexts, node)
        return node & 255

    # ---- 12.2 bytes

    def _literal(self, at: int) -> int:
        odd, (a, b) = at & 1, self.last
        byte = self._byte((odd | 1 << 16, a | odd << 8 | 2 << 16, b << 8 | odd | 3 << 16))
        self.last = (byte, a)
        self.history, self.run = self.history << 1 & M32, 0
        return byte

    def _copied(self, old: bytes, at: int, source: int, stop: int) -> int:
        """`stop`: where the copy ends in the old image."""
        if not self.field:
            self.kind, self.fresh = 0, b""
            self._predict(old[source : min(stop, source + 4)], source, at)
        done = len(self.fresh)
        guess = self.field[done] if self.field else old[source]
        place = self.kind << 2 | done if self.field else at & 1
        grade = min(7, self.run.bit_length())
        slots = (
            grade << 4 | self.kind << 1 | (done > 0),
            FLAGS + hashed(guess | place << 8, self.history & 15) % FLAGS,
            2 * FLAGS + hashed(self.history & 255, place) % FLAGS,
        )
        missed = self._bit(slots, 24000 >> grade)
        self.history, self.run = (self.history << 1 | missed) & M32, self.run + 1
        byte = guess
        if missed:
            expected = (guess + self.grown) % 256
            byte = self._byte((place | 4 << 16, expected | place << 8 | 5 << 16, guess | place << 8 | 6 << 16))
            self.grown, self.run = (byte - guess) % 256, 0
        self.last = (byte, self.last[0])
        if self.field:
            self.fresh += bytes((byte,))
            if len(self.fresh) == 4:
                self._learn()
                self.field = b""
        return byte

    # ---- 12.3 fields

    def _call(self, code: bytes, at: int) -> int | None:
        tongue = TONGUES.get(self.map.isa)
        if tongue is None:
            return self.isa._target(self.map.isa, code, at)
        told = tongue.call(code, at)
        return told[1] if told and told[0] == 4 else None

    def _predict(self, old: bytes, source: int, at: int) -> None:
        isa = self.map.isa
        step = {THUMB: 2, ARM: 4}.get(isa) or (TONGUES[isa].step if isa else 0)
        if not isa or len(old) < 4 or (source | at) % step:
            return
        target = self._call(old, source)
        if target is None:
            if (source | at) % 4:
                return
            (self.key,) = struct.unpack("<I", old)
            found = self._word(self.key, self.key & 1 if isa == THUMB else 0)
            if found is None:
                return
            now, self.kind = found
        else:
            self.key, now, self.kind = target, target - source + at, 0
            if target < self.map.old_size:
                now, covered = self.map.to(target)
                self.kind = 1 + covered
        known, value = self.pairs.get(hashed(self.key, 77) % PAIRS, (-1, 0))
        if known == self.key:
            now, self.kind = value, 3
        if target is None:
            self.kind += 4
            self.field = struct.pack("<I", now & M32)
        else:
            self.field = self.isa._aimed(isa, old, at, now & M32)
        self.field_at = at

    def _word(self, word: int, odd: int) -> tuple[int, int] | None:
        base = self.map.address
        if (word - base & M32) >= self.map.old_size and self.map.also:
            base = self.map.also
        offset = word - base - odd & M32
        if offset < self.map.old_size:
            now, covered = self.map.to(offset)
            return now + base + odd & M32, 1 + covered
        grown = self.map.word(word)
        return None if grown is None else (word + grown & M32, int(grown != 0))

    def _learn(self) -> None:
        value: int | None = int.from_bytes(self.fresh, "little")
        if self.kind < 4:
            value = self._call(self.fresh, self.field_at)
        if value is not None:
            self.pairs[hashed(self.key, 77) % PAIRS] = (self.key, value)

    # ---- 12.4 items and numbers

    def number(self, field: int) -> int:
        """Numbers of the control table: 0 gap, 1 length, 2 turn, 4 shifts, 5 step, 6 growth, 7 other address."""
        context, node = (field | 7 << 16,), 1
        for _ in range(6):
            node = node * 2 + self._node(context, node)
        length = node - 64
        if length > 32:
            raise ValueError("a number is longer than 32 bits")
        out = min(length, 1)
        for _ in range(length - 1):
            out = out * 2 + (self._node(context, length << 2 | out | 256) if out < 4 else self.code(0x8000))
        return out

    def _here(self, segment: Segment) -> None:
        self.map.here, self.diagonal, self.field = segment, segment.diagonal, b""

    def group(self, old: bytes, start: int, end: int) -> Iterator[int]:
        """The bytes of one group."""
        self.map.here = None
        at = start
        while at < end:
            segment = next((s for s in self.map.segments if s.length and s.at <= at < s.end), None)
            if segment:
                self._here(segment)
            else:
                segment = self._item(old, at, min([end, *(s.at for s in self.map.segments if s.length and s.at > at)]))
            if segment is None:
                yield self._literal(at)
                at += 1
                continue
            stop = min(end, segment.end)
            for i in range(at, stop):
                yield self._copied(old, i, i + segment.diagonal, stop + segment.diagonal)
            at = stop

    def _item(self, old: bytes, at: int, stop: int) -> Segment | None:
        if not old:
            return None
        self.far = self._node((8 << 16,), self.far | (at & 1) << 1)
        if not self.far:
            return None
        source = at + self.diagonal + unzigzag(self.number(2)) & M32
        length = self.number(1) + 1
        if length > stop - at or source + length > len(old):
            raise ValueError("a copy leaves the image")
        segment = Segment(at, source, length)
        self._here(segment)
        return segment


def table(model: Model, count: int) -> tuple[list[int], list[tuple[int, int]], int]:
    """The control table: gap, length, turn of each segment; the list of shifts; the other address."""
    values = [model.number(i % 3) for i in range(3 * count)]
    shifts, start = [], 0
    many = model.number(4)
    if many > SHIFTS:
        raise ValueError("there are too many shifts")
    for _ in range(many):
        start += model.number(5)
        shifts.append((start, unzigzag(model.number(6)) & M32))
    return values, shifts, model.number(7)
