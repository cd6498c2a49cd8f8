"""Section 9 of docs/spec/delta.md, slowly: which fields of Thumb and ARM code name another place, and what they become. For
tests; it shares no code with the core."""

from __future__ import annotations

import struct

from neurath.delta.oracle import CACHE, M32, Field, Map, hashed

THUMB, ARM = 1, 2


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _fits(value: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


class Predictor:
    """Predicts fields and remembers what became of old targets and words in this group."""

    def __init__(self, map_: Map) -> None:
        self.map, self.cache = map_, CACHE
        self.calls: dict[int, tuple[int, int]] = {}
        self.words: dict[int, tuple[int, int]] = {}

    def predict(self, old: bytes, source: int, at: int) -> Field:
        """The field that begins with `old`, which ends where the copy ends."""
        step = 3 if self.map.isa == ARM else 1
        if not self.map.isa or (source | at) & step or len(old) < 2:
            return Field()
        found = self._call(old, source, at) if len(old) >= 4 else None
        if not found and len(old) >= 4 and self.map.isa == ARM:
            found = self._arm_load(old, source, at)
        if not found and len(old) >= 4 and not (source | at) & 3:
            found = self._word(old)
        if not found and self.map.isa == THUMB:
            found = self._thumb(old, source, at)
        return found or Field()

    def learn(self, field: Field, at: int, fresh: bytes) -> None:
        if field.kind in (1, 2, 3):
            target = self._target(fresh, at)
            if target is not None:
                self.calls[hashed(field.key, 77) % self.cache] = (field.key, target)
        elif field.kind in (4, 5, 6, 7, 12, 13):
            self.words[hashed(field.key, 99) % self.cache] = (field.key, struct.unpack("<I", fresh)[0])

    # ---- calls and words

    def _target(self, code: bytes, at: int) -> int | None:
        if self.map.isa == ARM:
            (w,) = struct.unpack_from("<I", code)
            return (at + 8 + 4 * _signed(w, 24)) & M32 if w >> 25 & 7 == 5 and w >> 28 != 15 else None
        a, b = struct.unpack_from("<HH", code)
        if a >> 11 != 0b11110 or not (b >> 14 == 3 or b & 0xD000 == 0x9000):
            return None
        s = a >> 10 & 1
        i1, i2 = 1 - (b >> 13 & 1 ^ s), 1 - (b >> 11 & 1 ^ s)
        return (at + 4 + _signed(s << 24 | i1 << 23 | i2 << 22 | (a & 0x3FF) << 12 | (b & 0x7FF) << 1, 25)) & M32

    def _aimed(self, code: bytes, at: int, target: int) -> bytes:
        if self.map.isa == ARM:
            (w,) = struct.unpack_from("<I", code)
            return struct.pack("<I", w & 0xFF000000 | (target - at - 8 & M32) >> 2 & 0xFFFFFF)
        a, b = struct.unpack_from("<HH", code)
        o = target - at - 4 & M32
        s = o >> 31
        j1, j2 = 1 - (o >> 23 & 1) ^ s, 1 - (o >> 22 & 1) ^ s
        return struct.pack("<HH", a & 0xF800 | s << 10 | o >> 12 & 0x3FF, b & 0xD000 | j1 << 13 | j2 << 11 | o >> 1 & 0x7FF)

    def _call(self, old: bytes, source: int, at: int) -> Field | None:
        target = self._target(old, source)
        if target is None:
            return None
        key, seen = self.calls.get(hashed(target, 77) % self.cache, (None, 0))
        if key == target:
            now, kind = seen, 2
        elif target >= self.map.old_size:
            now, kind = target - source + at, 3
        else:
            now, covered = self.map.to(target)
            kind = 1 if covered else 3
        return Field(self._aimed(old, at, now), kind, target)

    def _word(self, old: bytes) -> Field | None:
        (word,) = struct.unpack_from("<I", old)
        key, seen = self.words.get(hashed(word, 99) % self.cache, (None, 0))
        grown = self.map.word(word)
        inside = [a for a in (self.map.address, self.map.also) if (word - a & M32) < self.map.old_size]
        if inside and (inside[0] == self.map.address or self.map.also):
            odd = word & 1 if self.map.isa == THUMB else 0
            now, covered = self.map.to(word - inside[0] - odd & M32)
            now, kind, again = now + inside[0] + odd & M32, 4 if covered else 12, 5
        elif grown is not None:
            now, kind, again = word + grown & M32, 6 if grown else 13, 7
        else:
            return None
        if key == word:
            now, kind = seen, again
        return Field(struct.pack("<I", now), kind, word)

    # ---- short fields

    def _moved(self, target: int, origin: int) -> int | None:
        """Distance from `origin` to where `target` went; None outside the old image."""
        return _signed(self.map.to(target & M32)[0] - origin, 32) if (target & M32) < self.map.old_size else None

    def _arm_load(self, old: bytes, source: int, at: int) -> Field | None:
        (w,) = struct.unpack_from("<I", old)
        o = self._moved(source + 8 + (w & 0xFFF if w >> 23 & 1 else -(w & 0xFFF)), at + 8)
        if w & 0x0F7F0000 != 0x051F0000 or o is None or abs(o) > 0xFFF:
            return None
        return Field(struct.pack("<I", w & ~0x800FFF & M32 | (0x800000 if o >= 0 else 0) | abs(o)), 8)

    def _thumb(self, old: bytes, source: int, at: int) -> Field | None:
        a, b = struct.unpack_from("<HH", old) if len(old) >= 4 else (struct.unpack_from("<H", old)[0], 0)
        if len(old) >= 4 and (found := self._wide(a, b, source, at)):
            return found
        pc, new_pc = source + 4, at + 4
        if a >> 11 in (0b01001, 0b10100):
            o = self._moved((pc & ~3) + (a & 255) * 4, new_pc & ~3)
            return Field(struct.pack("<H", a & 0xFF00 | o >> 2), 8) if o is not None and 0 <= o < 1024 and o % 4 == 0 else None
        if a >> 11 == 0b11100:
            o = self._moved(pc + _signed(a << 1, 12), new_pc)
            return Field(struct.pack("<H", a & 0xF800 | o >> 1 & 0x7FF), 9) if o is not None and _fits(o, 12) else None
        if a >> 12 == 0b1101 and a >> 8 & 15 < 14:
            o = self._moved(pc + _signed(a << 1, 9), new_pc)
            return Field(struct.pack("<H", a & 0xFF00 | o >> 1 & 0xFF), 10) if o is not None and _fits(o, 9) else None
        if a & 0xF500 == 0xB100:
            o = self._moved(pc + ((a >> 9 & 1) << 6 | (a >> 3 & 31) << 1), new_pc)
            if o is not None and 0 <= o < 128:
                return Field(struct.pack("<H", a & 0xFD07 | (o >> 6 & 1) << 9 | (o >> 1 & 31) << 3), 11)
        return None

    def _wide(self, a: int, b: int, source: int, at: int) -> Field | None:
        if a >> 11 == 0b11110 and b & 0xD000 == 0x8000 and a & 0x380 != 0x380:
            o = (a >> 10 & 1) << 20 | (b >> 11 & 1) << 19 | (b >> 13 & 1) << 18 | (a & 0x3F) << 12 | (b & 0x7FF) << 1
            now = self._moved(source + 4 + _signed(o, 21), at + 4)
            if now is not None and _fits(now, 21):
                high = a & 0xFBC0 | (now >> 20 & 1) << 10 | now >> 12 & 0x3F
                low = b & 0xD000 | (now >> 19 & 1) << 11 | (now >> 18 & 1) << 13 | now >> 1 & 0x7FF
                return Field(struct.pack("<HH", high, low), 9)
        if a & 0xFF7F == 0xF85F:
            o = b & 0xFFF if a >> 7 & 1 else -(b & 0xFFF)
            now = self._moved((source + 4 & ~3) + o, at + 4 & ~3)
            if now is not None and abs(now) <= 0xFFF:
                return Field(struct.pack("<HH", a & ~0x80 | (0x80 if now >= 0 else 0), b & 0xF000 | abs(now)), 8)
        return None
