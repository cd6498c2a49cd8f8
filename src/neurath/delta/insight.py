"""What can be found out about firmware without its ELF file: the instruction set, the address it is mapped at, and which
ranges of words grew between two builds. All of it are guesses that only cost bytes when they are wrong."""

from __future__ import annotations

import re
import struct
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from neurath.delta.encoder import Hints
from neurath.delta.match import Segment

NONE, THUMB, ARM = 0, 1, 2
ISAS = {NONE: "none", THUMB: "thumb", ARM: "arm"}
#: An image is mapped at a multiple of this.
ALIGNMENT = 512
#: Calls that land on the start of a function, below which no instruction set is believed.
BELIEVED = 12
#: And for an address that need not be a multiple of anything.
SURE = 150
#: Words looked at when the base address is voted for.
VOTERS, FINE_VOTERS = 20000, 1500
#: Text between zeros.
STRING = re.compile(rb"\0[\x20-\x7e]{5,}\0")
#: In bits: one more entry in the list of shifts, and a word predicted wrongly.
COST_SHIFT, COST_WORD = 24.0, 14.0
MAX_SHIFTS = 64
#: Smaller values are too common to say anything, larger ones are rather code; words grow by less than GROWTH.
SMALLEST, LARGEST, GROWTH = 0x200, {THUMB: 0x40000000, ARM: 0xE0000000}, 1 << 17


def look(old: bytes) -> Hints:
    """Instruction set and address of an image, without shifts."""
    halves, words = _halves(old), _words(old)
    thumb, arm = _thumb_starts(halves), _arm_starts(words)
    votes = {THUMB: _thumb_calls(halves, thumb), ARM: _arm_calls(words, arm)}
    isa = max(votes, key=lambda k: votes[k])
    if votes[isa] < BELIEVED:
        return Hints()
    strings = {found.start() + 1 for found in STRING.finditer(old)}
    address = _address(words, thumb if isa == THUMB else arm, strings, odd=isa == THUMB)
    return Hints(isa, address, _also(words, strings, (address, address + len(old)), LARGEST[isa]))


def _words(image: bytes) -> array[int]:
    return _as("I", image[: len(image) // 4 * 4])


def _halves(image: bytes) -> array[int]:
    return _as("H", image[: len(image) // 2 * 2])


def _as(code: str, data: bytes) -> array[int]:
    out = array(code, data)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        out.byteswap()
    return out


def _thumb_starts(halves: Sequence[int]) -> set[int]:
    """Offsets where a function seems to begin: PUSH with LR."""
    return {2 * i for i, h in enumerate(halves) if h & 0xFF00 == 0xB500 or h == 0xE92D}


def _arm_starts(words: Sequence[int]) -> set[int]:
    return {4 * i for i, w in enumerate(words) if w & 0xFFFF4000 == 0xE92D4000}


def _thumb_calls(halves: Sequence[int], starts: set[int]) -> int:
    count = 0
    for i, a in enumerate(halves[:-1]):
        if a & 0xF800 == 0xF000 and (b := halves[i + 1]) & 0xD000 == 0xD000:
            s = a >> 10 & 1
            offset = s << 24 | (~(b >> 13 ^ s) & 1) << 23 | (~(b >> 11 ^ s) & 1) << 22 | (a & 0x3FF) << 12 | (b & 0x7FF) << 1
            count += 2 * i + 4 + offset - (s << 25) in starts
    return count


def _arm_calls(words: Sequence[int], starts: set[int]) -> int:
    return sum(
        4 * i + 8 + 4 * ((w & 0xFFFFFF ^ 0x800000) - 0x800000) in starts
        for i, w in enumerate(words)
        if w & 0x0F000000 == 0x0B000000 and w >> 28 != 15
    )


def _address(words: Sequence[int], starts: set[int], strings: set[int], *, odd: bool) -> int:
    """The base that most pointers agree on: to the starts of functions and of strings; 0 when few do."""
    known = sorted(set(words))
    votes = _votes([w - odd for w in known if w % (2 if odd else 4) == odd], starts)
    votes += _votes(known, strings)
    if not votes:
        return 0
    base, count = min(votes.items(), key=lambda item: (-item[1], item[0]))
    return base if count >= BELIEVED else 0


def _also(words: Sequence[int], strings: set[int], known: tuple[int, int], largest: int) -> int:
    """The address from which another part of the image counts (a second stage, code that is copied before it runs), found by
    its strings among the values of the fullest megabyte outside the image; 0 for none."""
    others = {w for w in words if SMALLEST << 8 <= w < largest and not known[0] <= w < known[1]}
    if not others:
        return 0
    block = Counter(w >> 20 for w in others).most_common(1)[0][0]
    votes = _votes(sorted(w for w in others if w >> 20 == block), strings, 4)
    base, count = min(votes.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))
    return base if count >= SURE else 0


def _votes(pointers: Sequence[int], starts: set[int], alignment: int = ALIGNMENT) -> Counter[int]:
    at = defaultdict(list)
    for start in starts:
        at[start % alignment].append(start)
    step = -(-len(pointers) // (VOTERS if alignment == ALIGNMENT else FINE_VOTERS)) or 1
    votes: Counter[int] = Counter()
    for pointer in pointers[::step]:
        for start in at[pointer % alignment]:
            if pointer >= start:
                votes[pointer - start] += step
    return votes


# ---- words that grew ---------------------------------------------------------------------------------------------------


def shifts(old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints) -> tuple[tuple[int, int], ...]:
    """Ranges of word values outside the image and how much they grew (modulo 2^32), the cheapest list that explains the
    aligned words of all copies."""
    pairs = Counter(_pairs(old, new, segments, hints))
    grew: Counter[tuple[int, int]] = Counter()
    for (word, by), count in pairs.items():
        if by:
            grew[word >> 16, by] += count
    blocks: Counter[int] = Counter()
    for (block, _), count in grew.items():
        if count >= 3:
            blocks[block] += count
    found: list[tuple[int, int]] = []
    for block in sorted(b for b, count in blocks.items() if count >= 4):
        mine = {pair: count for pair, count in pairs.items() if pair[0] >> 16 == block}
        steps = [0, *[by for (b, by), count in grew.most_common() if b == block and count >= 2][:40]]
        found += _ranges(mine, steps, min((block + 1) << 16, 0xFFFFFFFF))
    return tuple((at, by & 0xFFFFFFFF) for at, by in found[:MAX_SHIFTS])


def _pairs(old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints) -> Iterator[tuple[int, int]]:
    bases, largest = {hints.address, hints.also or hints.address}, LARGEST[hints.isa]
    for s in segments:
        at = -(-s.at // 4) * 4
        count = (s.end - at) // 4
        if s.diagonal % 4 or count <= 0:
            continue
        before = struct.unpack_from(f"<{count}I", old, at + s.diagonal)
        after = struct.unpack_from(f"<{count}I", new, at)
        for a, b in zip(before, after, strict=True):
            if SMALLEST <= a < largest and not any(base <= a < base + len(old) for base in bases) and -GROWTH < b - a < GROWTH:
                yield a, b - a


def _ranges(pairs: dict[tuple[int, int], int], steps: Sequence[int], end: int) -> list[tuple[int, int]]:
    """Where in a sorted block of words the growth changes, so that changes and wrong words cost least."""
    at: dict[int, dict[int, int]] = defaultdict(dict)
    for (word, by), count in pairs.items():
        at[word][by] = count
    cost = [0.0] + [COST_SHIFT] * (len(steps) - 1)
    came: list[list[int]] = []
    for word in sorted(at):
        total = sum(at[word].values())
        best = min(range(len(steps)), key=cost.__getitem__)
        row = [k if cost[k] <= cost[best] + COST_SHIFT else best for k in range(len(steps))]
        cost = [
            cost[j] + (COST_SHIFT if j != k else 0) + COST_WORD * (total - at[word].get(steps[k], 0))
            for k, j in enumerate(row)
        ]
        came.append(row)
    state = min(range(len(steps)), key=cost.__getitem__)
    path = []
    for row in reversed(came):
        path.append(state)
        state = row[state]
    found: list[tuple[int, int]] = []
    now = 0
    for word, k in zip(sorted(at), reversed(path), strict=True):
        if steps[k] != now:
            now = steps[k]
            found.append((word, now))
    if found:
        found.append((end, 0))
    return found
