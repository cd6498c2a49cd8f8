"""What can be found out about firmware without its ELF file: the instruction set, the address it is mapped at, and which
ranges of words grew between two builds. All of it are guesses that only cost bytes when they are wrong."""

from __future__ import annotations

import re
import struct
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from neurath.delta import elf, sight
from neurath.delta.encoder import Hints
from neurath.delta.match import Segment
from neurath.flash.isas import ALL, ARM, THUMB

#: An image is mapped at a multiple of this.
ALIGNMENT = 512
#: Calls that land on the start of a function, below which no instruction set is believed.
BELIEVED = 12
#: And for an address that need not be a multiple of anything.
SURE = 150
#: Bytes that are looked at for calls, addresses and strings.
SAMPLE = 4 << 20
#: Words looked at when the base address is voted for.
VOTERS, FINE_VOTERS = 20000, 1500
#: Text between zeros.
STRING = re.compile(rb"\0[\x20-\x7e]{5,}\0")
#: In bits: one more entry in the list of shifts, and a word predicted wrongly.
COST_SHIFT, COST_WORD = 24.0, 14.0
MAX_SHIFTS = 64
#: Bytes of a section in the control table.
COST_SECTION = 4
#: Smaller values are too common to say anything, larger ones are rather code; words grow by less than GROWTH.
SMALLEST, LARGEST, GROWTH = 0x200, {THUMB: 0x40000000}, 1 << 17
#: Of the other instruction sets.
HIGHEST = 0xE0000000


def look(old: bytes) -> Hints:
    """Instruction set and address of an image, without shifts: the one that most calls to functions speak for."""
    found = candidates(old, ALL)
    return found[0] if found else Hints()


def candidates(old: bytes, known: Sequence[int], believed: int = BELIEVED) -> list[Hints]:
    """Those of the known instruction sets that so many calls to functions speak for, the likeliest first, each with the
    address it would be mapped at."""
    sample = old[:SAMPLE]
    begins = {isa: sight.starts(isa, sample) for isa in known}
    votes = {isa: sight.calls(isa, sample, places) for isa, places in begins.items()}
    likely = sorted((isa for isa in votes if votes[isa] >= believed), key=lambda isa: (-votes[isa], isa))
    likely = [isa for isa in likely if 8 * votes[isa] >= votes[likely[0]]]
    if not likely:
        return []
    known = sorted(set(_words(sample)))
    strings = {found.start() + 1 for found in STRING.finditer(sample)}
    to_strings = _votes(known, strings)  # whatever the instruction set
    found = []
    for isa in likely:
        address = _address(known, set(begins[isa]), to_strings, odd=isa == THUMB)
        found.append(Hints(isa, address, _also(known, strings, (address, address + len(old)), LARGEST.get(isa, HIGHEST))))
    return found


def chosen(old: bytes, new: bytes, found: Sequence[Segment], known: Sequence[int]) -> Hints:
    """The candidate by which fewest bytes of the copies are mispredicted, tried with the decoder's own prediction: files in
    ELF by their sections too, and where no calls speak for one, each instruction set. None that the decoder does not know."""
    tried = [Hints(), *(candidates(old, known) or candidates(old, known, 0))]
    for isa in dict.fromkeys((None, *(h.isa for h in tried if h.isa in (THUMB, ARM)))):
        named, sections, moved = elf.sections(old, new, isa)
        if named in known and (isa is None or elf.is_arm(old)):
            tried.append(Hints(named, 0, 0, moved, sections))
    if len(tried) == 1:
        return tried[0]
    return min(tried, key=lambda hints: sight.Sight(old, new, found, hints).missed() + COST_SECTION * len(hints.sections))


def _words(image: bytes) -> array[int]:
    out = array("I", image[: len(image) // 4 * 4])
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        out.byteswap()
    return out


def _address(known: Sequence[int], starts: set[int], to_strings: Counter[int], *, odd: bool) -> int:
    """The base that most pointers among these words agree on: to the starts of functions and of strings; 0 when few do."""
    votes = _votes([w - odd for w in known if w % (2 if odd else 4) == odd], starts)
    votes.update(to_strings)
    return _elected(votes, BELIEVED)


def _elected(votes: Counter[int], least: int) -> int:
    """The base with most votes, the lowest of those with as many; 0 where it has fewer than `least`."""
    most = max(votes.values(), default=0)
    return min(base for base, count in votes.items() if count == most) if most >= least else 0


def _also(known: Sequence[int], strings: set[int], image: tuple[int, int], largest: int) -> int:
    """The address from which another part of the image counts (a second stage, code that is copied before it runs), found by
    its strings among the values of the fullest megabyte outside the image; 0 for none."""
    others = [w for w in known if SMALLEST << 8 <= w < largest and not image[0] <= w < image[1]]
    if not others:
        return 0
    block = Counter(w >> 20 for w in others).most_common(1)[0][0]
    return _elected(_votes([w for w in others if w >> 20 == block], strings, 4), SURE)


def _votes(pointers: Sequence[int], starts: set[int], alignment: int = ALIGNMENT) -> Counter[int]:
    """How many of the pointers each base would lead to one of these starts, no more of them asked than there are voters."""
    at: dict[int, list[int]] = defaultdict(list)
    for start in starts:
        at[start % alignment].append(start)
    step = -(-len(pointers) // (VOTERS if alignment == ALIGNMENT else FINE_VOTERS)) or 1
    asked = pointers[::step]
    votes = Counter(p - start for p in asked for start in at.get(p % alignment, ()) if p >= start)
    return votes if step == 1 else Counter({base: count * step for base, count in votes.items()})


# ---- words that grew ---------------------------------------------------------------------------------------------------


def grown(old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints) -> Hints:
    """The hints with the list of shifts; what sections say of memory without bytes stays."""
    if not hints.isa or hints.shifts:
        return hints
    return replace(hints, shifts=shifts(old, new, segments, hints))


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
    # By block, at one go each: a large image has thousands of them, and a million pairs.
    inside: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for pair, count in pairs.items():
        inside[pair[0] >> 16][pair] = count
    steps: dict[int, list[int]] = defaultdict(list)
    for (block, by), count in grew.most_common():
        if count >= 2:
            steps[block].append(by)
    found: list[tuple[int, int]] = []
    for block in sorted(b for b, count in blocks.items() if count >= 4):
        found += _ranges(inside[block], [0, *steps[block][:40]], min((block + 1) << 16, 0xFFFFFFFF))
        if len(found) >= MAX_SHIFTS:
            break
    return tuple((at, by & 0xFFFFFFFF) for at, by in found[:MAX_SHIFTS])


def _pairs(old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints) -> Iterator[tuple[int, int]]:
    one, other = hints.address, hints.also or hints.address
    size, largest = len(old), LARGEST.get(hints.isa, HIGHEST)
    for s in segments:
        at = -(-s.at // 4) * 4
        count = (s.end - at) // 4
        if s.diagonal % 4 or count <= 0:
            continue
        before = struct.unpack_from(f"<{count}I", old, at + s.diagonal)
        after = struct.unpack_from(f"<{count}I", new, at)
        for a, b in zip(before, after, strict=True):
            inside = one <= a < one + size or other <= a < other + size
            if SMALLEST <= a < largest and -GROWTH < b - a < GROWTH and not inside:
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
