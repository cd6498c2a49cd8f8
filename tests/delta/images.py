"""Images that behave like firmware, made from a seed: functions of skewed bytes that move, calls whose targets move with them,
a table of pointers, padding. It must stay the same for ever: golden vectors are made from it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from neurath.flash.geometry import Layout, simple_layout


def small_layout(room: int = 8192, **more: int) -> Layout:
    """Sectors of 1 KiB, groups of 2 KiB (a commit unit is two sectors), leaves of 1 KiB."""
    options = {"sector": 1024, "page": 256, "group": 2048, "leaf": 1024} | more
    return simple_layout(room, **options)


@dataclass(frozen=True)
class Firmware:
    """Functions by number; linking them in an order gives an image."""

    functions: tuple[bytes, ...]
    calls: tuple[tuple[int, ...], ...]

    @classmethod
    def made(cls, seed: int, functions: int = 24) -> Firmware:
        dice = random.Random(seed)
        words = [dice.randbytes(2) for _ in range(40)]
        bodies = tuple(b"".join(dice.choices(words, k=dice.randint(40, 200))) for _ in range(functions))
        calls = tuple(tuple(dice.randrange(functions) for _ in range(dice.randint(0, 4))) for _ in range(functions))
        return cls(bodies, calls)

    def linked(self, order: list[int] | None = None, grown: dict[int, bytes] | None = None) -> bytes:
        """The image with functions in this order, some of them longer at their end."""
        order = order or list(range(len(self.functions)))
        bodies = {n: self.functions[n] + (grown or {}).get(n, b"") for n in order}
        places, at = {}, 4 * len(order)
        for n in order:
            places[n], at = at, at + len(bodies[n]) + 4 * len(self.calls[n])
        out = [places[n].to_bytes(4, "little") for n in sorted(order)]
        for n in order:
            out.append(bodies[n])
            out += [(places[called] - places[n]).to_bytes(4, "little", signed=True) for called in self.calls[n]]
        return b"".join(out)


def pair(seed: int, functions: int = 24) -> tuple[bytes, bytes]:
    """Two builds of one firmware: some functions grew, two changed places, one constant changed."""
    dice = random.Random(seed + 1)
    firmware = Firmware.made(seed, functions)
    order = list(range(functions))
    a, b = sorted(dice.sample(range(functions), 2))
    order[a], order[b] = order[b], order[a]
    grown = {dice.randrange(functions): dice.randbytes(2 * dice.randint(1, 20)) for _ in range(3)}
    new = bytearray(firmware.linked(order, grown))
    new[len(new) // 2] ^= 0x5A
    return firmware.linked(), bytes(new)
