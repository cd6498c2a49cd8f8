"""Small programs that never existed, linked twice: Thumb and ARM code with calls, loads from literals, branches, pointers and
words of RAM, so that every kind of field that is predicted occurs."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

ADDRESS, RAM = 0x08004000, 0x20000000


@dataclass(frozen=True)
class Function:
    """Plain code, the functions it calls, and the RAM words it loads."""

    filler: bytes
    calls: tuple[int, ...]
    words: tuple[int, ...]


def thumb_bl(offset: int, second: int = 0xD000) -> bytes:
    """BL (or with 0x9000 B.W) over `offset` bytes from the end of the instruction."""
    s, i1, i2 = (
        (offset >> 24 & 1, offset >> 23 & 1, offset >> 22 & 1) if offset >= 0 else (1, offset >> 23 & 1, offset >> 22 & 1)
    )
    high = 0xF000 | s << 10 | offset >> 12 & 0x3FF
    return struct.pack("<HH", high, second | (1 - i1 ^ s) << 13 | (1 - i2 ^ s) << 11 | offset >> 1 & 0x7FF)


def _function(dice: random.Random, count: int) -> Function:
    filler = b"".join(
        struct.pack("<H", dice.choice((0x4618, 0x6800, 0x6001, 0x3401, 0x2000 | dice.randrange(256))))
        for _ in range(2 * dice.randrange(4, 20))
    )
    calls = tuple(dice.randrange(count) for _ in range(dice.randrange(1, 5)))
    return Function(filler, calls, tuple(RAM + 0x400 + 4 * dice.randrange(600) for _ in range(dice.randrange(3))))


def _thumb(f: Function, at: int, starts: list[int], grown: int) -> bytes:
    """PUSH, code, calls, a conditional branch, CBZ, loads from literals, a wide load and branch, then the literals."""
    out = bytearray(struct.pack("<H", 0xB500) + f.filler)
    for k, callee in enumerate(f.calls):
        out += thumb_bl(starts[callee % len(starts)] - (at + len(out)) - 4, 0x9000 if k == 3 else 0xD000)
    out += struct.pack("<HHH", 0xD000 | 0xFE, 0xB108, 0xE7F0)
    out += struct.pack("<HH", 0xF43F, 0xAFF0)
    pool = at + len(out) + 2 * len(f.words) + 6
    pool += -pool % 4
    for k in range(len(f.words)):
        out += struct.pack("<H", 0x4800 | (pool + 4 * k - (at + len(out) + 4 & ~3)) // 4)
    out += struct.pack("<HH", 0xF8DF, pool - (at + len(out) + 4 & ~3)) + struct.pack("<H", 0xBD00)
    out += bytes(pool - at - len(out))
    for word in f.words:
        out += struct.pack("<I", word + (grown if word >= RAM + 0x800 else 0))
    return bytes(out + struct.pack("<I", ADDRESS + starts[f.calls[0] % len(starts)] + 1))


def _arm(f: Function, at: int, starts: list[int], grown: int) -> bytes:
    out = bytearray(struct.pack("<I", 0xE92D4010) + f.filler)
    for callee in f.calls:
        out += struct.pack("<I", 0xEB000000 | (starts[callee % len(starts)] - (at + len(out)) - 8) >> 2 & 0xFFFFFF)
    for k in range(len(f.words)):
        out += struct.pack("<I", 0xE59F0000 | 4 * (len(f.words) - k) - 4 + 4 * k)
    out += struct.pack("<I", 0xE8BD8010)
    for word in f.words:
        out += struct.pack("<I", word + (grown if word >= RAM + 0x800 else 0))
    return bytes(out + struct.pack("<I", ADDRESS + starts[f.calls[0] % len(starts)]))


def _link(program: list[Function], grown: int, *, arm: bool) -> bytes:
    write, odd = (_arm, 0) if arm else (_thumb, 1)
    table = 64 + 4 * len(program)
    starts = [table] * len(program)
    for _ in range(2):  # the length of a function does not depend on where others are
        place, bodies = table, []
        for k, f in enumerate(program):
            starts[k] = place
            bodies.append(write(f, place, starts, grown))
            place += len(bodies[-1])
    bodies = [write(f, starts[k], starts, grown) for k, f in enumerate(program)]
    return bytes(64) + b"".join(struct.pack("<I", ADDRESS + s + odd) for s in starts) + b"".join(bodies)


def programs(seed: int, functions: int = 60, *, arm: bool = False) -> tuple[bytes, bytes]:
    """Two builds: some functions changed, one added, RAM grown in the upper half."""
    dice = random.Random(seed)
    old = [_function(dice, functions) for _ in range(functions)]
    new = list(old)
    for place in dice.sample(range(functions), max(1, functions // 20)):
        new[place] = _function(dice, functions)
    new.insert(dice.randrange(functions), _function(dice, functions))
    return _link(old, 0, arm=arm), _link(new, 12, arm=arm)
