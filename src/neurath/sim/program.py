"""Two builds of a program that never existed, for where no real firmware can be had. It knows how code moves from one build to
the next; it must never look like anybody's product."""

from __future__ import annotations

import random
import struct

#: One function: plain words, and places in it that branch to another function.
Function = tuple[bytes, tuple[tuple[int, int], ...]]


def images(functions: int, seed: int) -> tuple[bytes, bytes]:
    """Both images, the same for the same numbers."""
    rng = random.Random(seed)
    program = [_function(rng, functions) for _ in range(functions)]
    changed = list(program)
    for place in rng.sample(range(functions), functions // 40):
        changed[place] = _function(rng, functions)
    for place in sorted(rng.sample(range(functions), 6), reverse=True):
        changed.insert(place, _function(rng, functions))
    return _link(program, b"1.0.0"), _link(changed, b"1.1.0")


def _function(rng: random.Random, functions: int) -> Function:
    common = (0x4770, 0xB510, 0xBD10, 0x2000, 0x2100, 0x4618, 0x6800, 0x6001, 0xD0FE, 0x3401)
    words = [rng.choice(common) if rng.random() < 0.7 else rng.randrange(65536) for _ in range(rng.randrange(24, 140))]
    calls = tuple((4 * rng.randrange(len(words) // 2 - 1), rng.randrange(functions)) for _ in range(rng.randrange(1, 6)))
    body = struct.pack(f"<{len(words)}H", *words)
    return body + bytes(-len(body) % 4), calls


def _link(program: list[Function], version: bytes) -> bytes:
    """Places functions one after the other and fills in where they call each other."""
    base = 0x08000000
    table = 64 + 4 * len(program)
    starts, place = [], table
    for body, _ in program:
        starts.append(place)
        place += len(body)
    image = bytearray(struct.pack("<16I", 0x20010000, *([base + starts[0] + 1] * 15)))
    image += struct.pack(f"<{len(starts)}I", *(base + s + 1 for s in starts))
    for start, (body, calls) in zip(starts, program, strict=True):
        linked = bytearray(body)
        for offset, target in calls:
            struct.pack_into("<i", linked, offset, (starts[target % len(starts)] - start - offset) >> 1)
        image += linked
    return bytes(image + b"built-in demonstration image " + version.ljust(35, b"\0"))
