"""Section 9 of docs/spec/delta.md, slowly: which fields of code and data name another place, and what they become. For tests;
it shares no code with the core."""

from __future__ import annotations

import struct

from neurath.delta.oracle import AHEAD, CACHE, M32, Field, Map, hashed
from neurath.delta.oracle_more import A64, LOWER, TONGUES, UPPER, X86, Rv32

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
        #: register mod 2 -> register, absolute, low half of where it stands, upper part before and now
        self.uppers: dict[int, tuple[int, bool, int, int, int]] = {}

    def predict(self, old: bytes, source: int, at: int) -> Field:
        """The field that begins with `old`, which ends where the copy ends."""
        if self.map.sections:
            return self._in_sections(old, source, at) or Field()
        return self._code(self.map.isa, old, source, at, not (source | at) & 3) or Field()

    def _code(self, isa: int, old: bytes, source: int, at: int, words: bool) -> Field | None:
        step = {THUMB: 2, ARM: 4}.get(isa) or (TONGUES[isa].step if isa else 0)
        if not isa or (source | at) % step or len(old) < 2:
            return None
        if isa in TONGUES:
            found = self._more(isa, old, source, at, words)
        else:
            found = self._call(isa, old, source, at) if len(old) >= 4 else None
            if not found and len(old) >= 4 and isa == ARM:
                found = self._arm_load(old, source, at)
            if not found and len(old) >= 4 and words:
                found = self._word(old, isa)
            if not found and isa == THUMB:
                found = self._thumb(old, source, at)
        if found:
            found.isa = isa
        return found

    def learn(self, field: Field, at: int, fresh: bytes) -> None:
        at += field.lift
        if field.kind in (1, 2, 3):
            target = self._target(field.isa, fresh, at) if field.isa else None
            if target is not None:
                self.calls[hashed(field.key, 77) % self.cache] = (field.key, target)
        elif field.kind in (4, 5, 6, 7, 12, 13):
            self.words[hashed(field.key, 99) % self.cache] = (field.key, struct.unpack("<I", fresh)[0])
        elif field.kind == UPPER and (half := self._halves(field.isa).upper(fresh, at & M32)):
            self.uppers[half.reg % 2] = (half.reg, half.absolute, at & 0xFFFF, field.key, half.value)
        elif field.kind == LOWER and (half := self._halves(field.isa).lower(fresh)) and half.over:
            self.uppers.pop(half.reg % 2, None)

    # ---- sections (9.5)

    def _in_sections(self, old: bytes, source: int, at: int) -> Field | None:
        own = [s for s in self.map.sections if s[0] <= source]
        if not own:
            return None
        start, lift, later, lift_now, kind = own[-1]
        words = not (source | at) & 3 and len(old) >= 4
        va, vb, kind = source + lift & M32, at + lift_now & M32, kind % 16
        found = None
        if kind == 8:
            found = self._word(old, 0) if words else None
        elif kind == 9:
            found = self._relative(old, va, vb, code=True) if words else None
        elif kind == 10:
            found = self._relative(old, start + lift & M32, later + lift_now & M32, code=False) if words else None
        else:
            found = self._code(kind, old, va, vb, False)
        if found:
            found.lift = lift_now
        return found

    def _section(self, target: int) -> tuple[int, int, int] | None:
        """Kind, new lift, and old offset of an old address."""
        ends = [s[0] for s in self.map.sections[1:]] + [self.map.old_size]
        for (start, lift, _, lift_now, kind), end in zip(self.map.sections, ends, strict=True):
            offset = target - lift & M32
            if kind < 16 and (offset - start & M32) < (end - start & M32):
                return kind, lift_now, offset
        return None

    def _relative(self, old: bytes, before: int, now: int, *, code: bool) -> Field | None:
        target = before + struct.unpack_from("<I", old)[0] & M32
        there = self._section(target)
        to = self._to(target)
        if there is None or to is None or (code and not 1 <= there[0] < 8):
            return None
        return Field(struct.pack("<I", to[0] - now & M32), 1 if to[1] else 3, target)

    def _to(self, target: int) -> tuple[int, bool] | None:
        """The new address of an old one, and whether a copy covers it."""
        if not self.map.sections:
            return self.map.to(target) if target < self.map.old_size else None
        there = self._section(target)
        if there:
            now, covered = self.map.to(there[2])
            return now + there[1] & M32, covered
        grown = self.map.word(target)
        return (target + grown & M32, False) if grown is not None else None

    # ---- the other instruction sets

    def _halves(self, isa: int) -> A64 | Rv32:
        tongue = TONGUES[isa]
        assert not isinstance(tongue, X86)  # it has none
        return tongue

    def _more(self, isa: int, old: bytes, source: int, at: int, words: bool) -> Field | None:
        tongue = TONGUES[isa]
        if found := self._call(isa, old, source, at):
            return found
        if not isinstance(tongue, X86):
            near = tongue.near(old, source, at, self._to)
            if near:
                return Field(near[0], near[1])
            if not self._is_near(tongue, old) and (found := self._half(tongue, old, source, at)):
                return found
        if words and len(old) >= 4 and (found := self._word(old, isa)):
            return found
        whole = None if isinstance(tongue, X86) else tongue.whole(old)
        return Field(whole, 8) if whole else None

    def _is_near(self, tongue: A64 | Rv32, old: bytes) -> bool:
        """Whether it is an instruction with a short field, which has no halves even where it is not predicted."""
        return tongue.near(old, 0, 0, lambda target: (0, False)) is not None

    def _half(self, tongue: A64 | Rv32, old: bytes, source: int, at: int) -> Field | None:
        if len(old) < 4:
            return None
        if upper := tongue.upper(old, source & M32):
            target, i = upper.value, tongue.length(old)
            while i + 4 <= min(len(old), AHEAD):
                lower = tongue.lower(old[i:])
                if lower and lower.reg == upper.reg:
                    target = target + lower.value & M32
                    break
                i += tongue.length(old[i:])
            now = self._absolute(target) if upper.absolute else self._to(target)
            return Field(tongue.set_upper(old, at, now[0]), UPPER, upper.value) if now else None
        lower = tongue.lower(old)
        reg, absolute, stood, before, after = self.uppers.get(lower.reg % 2 if lower else 0, (-1, False, 0, 0, 0))
        if lower is None or reg != lower.reg or (at - stood & 0xFFFF) > 64:
            return None
        target = before + lower.value & M32
        now = self._absolute(target) if absolute else self._to(target)
        data = tongue.set_lower(old, now[0] - after & M32) if now else None
        return Field(data, LOWER, target) if data else None

    def _absolute(self, value: int) -> tuple[int, bool] | None:
        found = self._word(struct.pack("<I", value), 0)
        return (struct.unpack("<I", found.data)[0], False) if found else None

    # ---- calls and words

    def _target(self, isa: int, code: bytes, at: int) -> int | None:
        if isa in TONGUES:
            told = TONGUES[isa].call(code, at)
            return told[1] if told else None
        if isa == ARM:
            (w,) = struct.unpack_from("<I", code)
            return (at + 8 + 4 * _signed(w, 24)) & M32 if w >> 25 & 7 == 5 and w >> 28 != 15 else None
        a, b = struct.unpack_from("<HH", code)
        if a >> 11 != 0b11110 or not (b >> 14 == 3 or b & 0xD000 == 0x9000):
            return None
        s = a >> 10 & 1
        i1, i2 = 1 - (b >> 13 & 1 ^ s), 1 - (b >> 11 & 1 ^ s)
        return (at + 4 + _signed(s << 24 | i1 << 23 | i2 << 22 | (a & 0x3FF) << 12 | (b & 0x7FF) << 1, 25)) & M32

    def _aimed(self, isa: int, code: bytes, at: int, target: int) -> bytes:
        if isa in TONGUES:
            return TONGUES[isa].aim(code, at, target)
        if isa == ARM:
            (w,) = struct.unpack_from("<I", code)
            return struct.pack("<I", w & 0xFF000000 | (target - at - 8 & M32) >> 2 & 0xFFFFFF)
        a, b = struct.unpack_from("<HH", code)
        o = target - at - 4 & M32
        s = o >> 31
        j1, j2 = 1 - (o >> 23 & 1) ^ s, 1 - (o >> 22 & 1) ^ s
        return struct.pack("<HH", a & 0xF800 | s << 10 | o >> 12 & 0x3FF, b & 0xD000 | j1 << 13 | j2 << 11 | o >> 1 & 0x7FF)

    def _call(self, isa: int, old: bytes, source: int, at: int) -> Field | None:
        target = self._target(isa, old, source)
        if target is None:
            return None
        key, seen = self.calls.get(hashed(target, 77) % self.cache, (None, 0))
        to = self._to(target)
        if to is None and isa in TONGUES:
            return None
        now, kind = (to[0], 1 if to[1] else 3) if to else (target - source + at, 3)
        if key == target:
            now, kind = seen, 2
        return Field(self._aimed(isa, old, at, now), kind, target)

    def _pointed(self, word: int, odd: int) -> tuple[int, bool] | None:
        if self.map.sections:
            return self._to(word - odd & M32)
        inside = [a for a in (self.map.address, self.map.also) if (word - a & M32) < self.map.old_size]
        if not inside or not (inside[0] == self.map.address or self.map.also):
            return None
        now, covered = self.map.to(word - inside[0] - odd & M32)
        return now + inside[0] & M32, covered

    def _word(self, old: bytes, isa: int) -> Field | None:
        (word,) = struct.unpack_from("<I", old)
        key, seen = self.words.get(hashed(word, 99) % self.cache, (None, 0))
        grown = self.map.word(word)
        odd = word & 1 if isa == THUMB else 0
        pointed = self._pointed(word, odd)
        if pointed:
            now, kind, again = pointed[0] + odd & M32, 4 if pointed[1] else 12, 5
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
        to = self._to(target & M32)
        return _signed(to[0] - origin, 32) if to else None

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
