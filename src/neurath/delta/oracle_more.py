"""Sections 9.1 to 9.4 of docs/spec/delta.md, slowly: fields of AArch64, RV32 and x86-64 code, and addresses that two
instructions make. For tests; it shares no code with the core."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

M32 = 0xFFFFFFFF
#: kinds of fields
LOAD, JUMP, BRANCH, TEST, UPPER, LOWER = 8, 9, 10, 11, 14, 15
Moved = Callable[[int], tuple[int, bool] | None]


@dataclass(frozen=True, slots=True)
class Half:
    """Half an address: the register with the upper part, the part, whether it is absolute, whether the register is lost."""

    reg: int
    value: int
    absolute: bool = False
    over: bool = False


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fits(value: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def pick(word: int, *pieces: tuple[int, int, int]) -> int:
    """A number whose bits stand scattered: (first bit in the word, how many, first bit in the number)."""
    return sum((word >> at & (1 << count) - 1) << to for at, count, to in pieces)


def strew(word: int, value: int, *pieces: tuple[int, int, int]) -> int:
    """The word with that number's bits replaced."""
    for at, count, to in pieces:
        mask = (1 << count) - 1
        word = word & ~(mask << at) | (value >> to & mask) << at
    return word & M32


class A64:
    """AArch64."""

    step = 4
    _ADR = ((29, 2, 0), (5, 19, 2))

    def length(self, code: bytes) -> int:
        return 4

    def call(self, code: bytes, at: int) -> tuple[int, int] | None:
        w = int.from_bytes(code[:4], "little")
        return (4, at + 4 * signed(w, 26) & M32) if len(code) >= 4 and w >> 26 & 31 == 5 else None

    def aim(self, code: bytes, at: int, target: int) -> bytes:
        (w,) = struct.unpack_from("<I", code)
        return struct.pack("<I", strew(w, target - at, (0, 26, 2)))

    def near(self, code: bytes, at: int, now: int, moved: Moved) -> tuple[bytes, int] | None:
        """Short fields at old address `at`, new address `now`: the new bytes and the kind."""
        if len(code) < 4:
            return None
        (w,) = struct.unpack_from("<I", code)
        for mask, is_, bits, kind in (
            (0xFF000010, 0x54000000, 19, BRANCH),
            (0x7E000000, 0x34000000, 19, BRANCH),
            (0x7E000000, 0x36000000, 14, TEST),
            (0x3B000000, 0x18000000, 19, LOAD),
        ):
            if w & mask == is_:
                to = moved(at + 4 * signed(w >> 5, bits) & M32)
                o = signed(to[0] - now, 32) if to else 1
                return (struct.pack("<I", strew(w, o, (5, bits, 2))), kind) if o % 4 == 0 and fits(o, bits + 2) else None
        if w & 0x9F000000 == 0x10000000:
            to = moved(at + signed(pick(w, *self._ADR), 21) & M32)
            o = signed(to[0] - now, 32) if to else 1 << 30
            return (struct.pack("<I", strew(w, o, *self._ADR)), LOAD) if fits(o, 21) else None
        return None

    def whole(self, code: bytes) -> bytes | None:
        return None

    def upper(self, code: bytes, at: int) -> Half | None:
        (w,) = struct.unpack_from("<I", code)
        if w & 0x9F000000 != 0x90000000:
            return None
        return Half(w & 31, (at & ~0xFFF) + (pick(w, *self._ADR) << 12) & M32)

    def set_upper(self, code: bytes, at: int, target: int) -> bytes:
        (w,) = struct.unpack_from("<I", code)
        return struct.pack("<I", strew(w, signed((target >> 12) - (at >> 12), 20), *self._ADR))

    def _scale(self, w: int) -> int:
        if w & 0x3B000000 != 0x39000000:
            return 0
        return 4 if w >> 26 & 1 and w >> 23 & 1 else w >> 30

    def lower(self, code: bytes) -> Half | None:
        (w,) = struct.unpack_from("<I", code)
        add, store_or_load = w >> 22 == 0x91000000 >> 22, w & 0x3B000000 == 0x39000000
        if not add and not store_or_load:
            return None
        reg, to = w >> 5 & 31, w & 31
        loads = store_or_load and not w >> 26 & 1 and w >> 22 & 3 == 1
        return Half(reg, (w >> 10 & 0xFFF) << self._scale(w), over=reg == to and (add or loads))

    def set_lower(self, code: bytes, value: int) -> bytes | None:
        (w,) = struct.unpack_from("<I", code)
        n = self._scale(w)
        if value >> n > 0xFFF or value % (1 << n):
            return None
        return struct.pack("<I", strew(w, value, (10, 12, n)))


class Rv32:
    """RV32 with compressed instructions."""

    step = 2
    _JAL = ((31, 1, 20), (12, 8, 12), (20, 1, 11), (21, 10, 1))
    _BRANCH = ((31, 1, 12), (7, 1, 11), (25, 6, 5), (8, 4, 1))
    _CJ = ((12, 1, 11), (11, 1, 4), (9, 2, 8), (8, 1, 10), (7, 1, 6), (6, 1, 7), (3, 3, 1), (2, 1, 5))
    _CB = ((12, 1, 8), (10, 2, 3), (5, 2, 6), (3, 2, 1), (2, 1, 5))

    def length(self, code: bytes) -> int:
        return 4 if code[0] & 3 == 3 else 2

    def call(self, code: bytes, at: int) -> tuple[int, int] | None:
        if len(code) < 4 or code[0] & 0x7F != 0x6F:
            return None
        (w,) = struct.unpack_from("<I", code)
        return 4, at + signed(pick(w, *self._JAL), 21) & M32

    def aim(self, code: bytes, at: int, target: int) -> bytes:
        (w,) = struct.unpack_from("<I", code)
        return struct.pack("<I", strew(w, target - at & M32, *self._JAL))

    def near(self, code: bytes, at: int, now: int, moved: Moved) -> tuple[bytes, int] | None:
        (h,) = struct.unpack_from("<H", code)
        (w,) = struct.unpack_from("<I", code.ljust(4, b"\0"))
        for is_, pieces, bits, size, kind in (
            (h & 3 == 1 and h >> 13 in (1, 5), self._CJ, 12, 2, JUMP),
            (h & 3 == 1 and h >> 13 in (6, 7), self._CB, 9, 2, TEST),
            (h & 0x7F == 0x63 and len(code) >= 4, self._BRANCH, 13, 4, BRANCH),
        ):
            if is_:
                to = moved(at + signed(pick(w, *pieces), bits) & M32)
                o = signed(to[0] - now, 32) if to else 1
                out = strew(w, o, *pieces).to_bytes(4, "little")[:size]
                return (out, kind) if o % 2 == 0 and fits(o, bits) else None
        return None

    def whole(self, code: bytes) -> bytes | None:
        return code[:4] if len(code) >= 4 and self.length(code) == 4 else None

    def upper(self, code: bytes, at: int) -> Half | None:
        (w,) = struct.unpack_from("<I", code)
        if w & 0x7F not in (0x37, 0x17):
            return None
        absolute = w & 0x7F == 0x37
        return Half(w >> 7 & 31, (w & 0xFFFFF000) + (0 if absolute else at) & M32, absolute)

    def set_upper(self, code: bytes, at: int, target: int) -> bytes:
        (w,) = struct.unpack_from("<I", code)
        value = target - (0 if w & 0x7F == 0x37 else at)
        return struct.pack("<I", w & 0xFFF | (value + 0x800) & 0xFFFFF000)

    _STORE = ((25, 7, 5), (7, 5, 0))

    def lower(self, code: bytes) -> Half | None:
        (w,) = struct.unpack_from("<I", code)
        op, reg = w & 0x7F, w >> 15 & 31
        store = op in (0x23, 0x27)
        plain = op in (0x13, 0x67) and w >> 12 & 7 == 0
        if reg == 0 or not (store or plain or op in (0x03, 0x07)):
            return None
        value = signed(pick(w, *self._STORE) if store else w >> 20, 12)
        return Half(reg, value & M32, over=not store and op != 0x07 and w >> 7 & 31 == reg)

    def set_lower(self, code: bytes, value: int) -> bytes | None:
        (w,) = struct.unpack_from("<I", code)
        if not fits(signed(value, 32), 12):
            return None
        store = w & 0x7F in (0x23, 0x27)
        return struct.pack("<I", strew(w, value, *(self._STORE if store else ((20, 12, 0),))))


class X86:
    """x86-64: displacements of 32 bits alone."""

    step = 1

    def _place(self, code: bytes) -> int:
        if len(code) >= 5 and code[0] in (0xE8, 0xE9):
            return 1
        return 2 if len(code) >= 6 and ((code[0] == 0x0F and code[1] >> 4 == 8) or code[1] & 0xC7 == 5) else 0

    def _end(self, code: bytes, k: int) -> int:
        op = code[0]
        if k == 1 or op == 0x0F:
            return k + 4
        tests = op in (0xF6, 0xF7) and code[1] >> 4 & 3 == 0
        short = op in (0x6B, 0x80, 0x83, 0xC0, 0xC1, 0xC6) or (op == 0xF6 and tests)
        long = op in (0x69, 0x81, 0xC7) or (op == 0xF7 and tests)
        return k + 4 + (1 if short else 4 if long else 0)

    def call(self, code: bytes, at: int) -> tuple[int, int] | None:
        k = self._place(code)
        if not k:
            return None
        (o,) = struct.unpack_from("<I", code, k)
        return k + 4, at + self._end(code, k) + o & M32

    def aim(self, code: bytes, at: int, target: int) -> bytes:
        k = self._place(code)
        return code[:k] + struct.pack("<I", target - at - self._end(code, k) & M32)


TONGUES: dict[int, A64 | Rv32 | X86] = {3: A64(), 4: Rv32(), 5: X86()}
