"""Resume mode: what a cut leaves of a rewrite without scratch, and the file that goes on from exactly there
(docs/spec/rescue.md). It knows images, sectors and an order; it must never copy from a sector of unknown content.

A plan without scratch erases one sector at a time, so a cut leaves units that are new, at most one sector that is torn, and
old ones. The file for such a *hybrid* rewrites the torn sector's unit first and goes on in the order of the file that was cut;
so cutting it again leaves a hybrid of the same list, and the largest file of that list is known before the first erase.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from neurath.delta import apply, code, native
from neurath.delta.assemble import Pair as Images
from neurath.delta.assemble import unit_shift, useful, with_hints
from neurath.delta.budget import Wish, room
from neurath.delta.build import Delta, matched
from neurath.delta.encoder import GRAIN, MAPPED, Encoder, Hints
from neurath.delta.format import Head, pack, parse
from neurath.delta.match import Segment
from neurath.delta.plan import _pieces, plan
from neurath.errors import DataError
from neurath.flash.geometry import Layout
from neurath.flash.profiles import LARGE, QUICK, RAW, SMALL, TINY, TINY_WORKSPACE

#: Bytes of a leaf's mark (docs/spec/rescue.md 2).
MARK = 4
#: Commit units that are coded at most for an exact bound; one takes some 0.1 s.
EXACT = 1000
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hybrid:
    """What a bank holds in mid-rewrite: `data`, of which nobody knows the ranges in `absent` (start, end); `torn` is the
    sector a cut left open, one of them. `size` in the description is len(data). `said` is the
    description that came from the terminal, where one did."""

    data: bytes
    torn: Range | None = None
    absent: tuple[Range, ...] = ()
    said: bytes = b""

    def holds(self, start: int, end: int) -> bool:
        """Whether all of these bytes are known."""
        return end <= len(self.data) and not any(a < end and start < b for a, b in self.absent)


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the rewrite goes: the image the plan began on, the image it ends in, and the file that was cut (b"": nobody has
    it any more). `meant` is the image that file was to make, where that is not the one wanted now."""

    old: bytes
    new: bytes
    file: bytes = b""
    meant: bytes = b""


def sectors(layout: Layout) -> list[Range]:
    """Image offsets (start, end) of every sector of the bank."""
    found, offset = [], 0
    for span in layout.bank:
        inside = [(r.base + i * r.size, r.size) for r in layout.regions for i in range(r.count)]
        found += [(offset + at - span.base, offset + at - span.base + n) for at, n in inside if span.base <= at < span.end]
        offset += span.length
    return sorted(found)


# ---- what cuts leave ---------------------------------------------------------------------------------------------------


def describe(hybrid: Hybrid, leaf: int) -> bytes:
    """The description of a hybrid, as nrt_hybrid() makes it (docs/spec/rescue.md 2)."""
    size = len(hybrid.data)
    start, end = hybrid.torn or (0, 0)
    out = [n.to_bytes(4, "little") for n in (size, start, end - start)]
    for at in range(0, size, leaf):
        part = hybrid.data[at : at + leaf]
        out.append(mark(part, leaf) if hybrid.holds(at, at + len(part)) else bytes(MARK))
    return b"".join(out)


def mark(part: bytes, leaf: int) -> bytes:
    """The mark of one leaf."""
    return hashlib.sha256(part.ljust(leaf, b"\xff")).digest()[:MARK]


def digest(description: bytes) -> bytes:
    """What a ticket for a resume delta calls its base."""
    return hashlib.sha256(description).digest()[:16]


def cuts(goal: Goal, layout: Layout) -> Iterator[Hybrid]:
    """Every hybrid with a torn sector that cuts in `goal.file` can leave, any number of them, in the order of its plan."""
    bank = _bank(goal.old, layout)
    size = max(len(goal.old), len(goal.new))
    units = native.units(layout)
    for unit in parse(goal.file)[0].order:
        for start, end in _changed(bank, goal.new, sectors(layout), units[unit]):
            bank[start:end] = bytes((layout.erased,)) * (end - start)
            yield Hybrid(bytes(bank[:size]), (start, end), ((start, min(end, size)),))
            bank[start:end] = _programmed(goal.new, start, end, layout)


def _bank(image: bytes, layout: Layout) -> bytearray:
    return bytearray(image.ljust(layout.bank_size, bytes((layout.erased,))))


def _programmed(new: bytes, start: int, end: int, layout: Layout) -> bytes:
    return new[start:end].ljust(end - start, bytes((layout.erased,)))


def _changed(bank: bytes | bytearray, new: bytes, parts: Sequence[Range], unit: Range) -> list[Range]:
    """Sectors of a unit that get new content."""
    inside = [(a, b) for a, b in parts if unit[0] <= a < unit[1] and a < len(new)]
    return [(a, b) for a, b in inside if bank[a : min(b, len(new))] != new[a:b]]


def _over(old: bytes, new: bytes, layout: Layout) -> bytearray:
    """A bank whose every sector was rewritten with the new image as far as that goes."""
    bank = _bank(old, layout)
    for a, b in sectors(layout):
        if a < len(new):
            bank[a:b] = _programmed(new, a, b, layout)
    return bank


def recognise(description: bytes, goal: Goal, layout: Layout) -> Hybrid:
    """The hybrid that a terminal describes: each leaf is the old image's or the new one's, or nobody knows it. DataError where
    these bytes describe nothing."""
    numbers = [int.from_bytes(description[i : i + 4], "little") for i in (0, 4, 8)]
    size, start, length = numbers
    leaf = layout.leaf
    if len(description) != 12 + MARK * -(-size // leaf) or not 0 < size <= layout.bank_size or (length and start >= size):
        raise DataError(
            "this describes no bank", f"{len(description)} B for {size} B of image", "see docs/spec/rescue.md", id="NRT-285"
        )
    sides = [_over(goal.old, image, layout) for image in (goal.new, goal.meant, b"")]
    data, absent = bytearray(sides[-1][:size]), []
    for i, at in enumerate(range(0, size, leaf)):
        said, end = description[12 + MARK * i :][:MARK], min(at + leaf, size)
        holder = next((side for side in sides if said == mark(bytes(side[at:end]), leaf)), None)
        if holder is None:
            absent.append((at, end))
            data[at:end] = bytes((layout.erased,)) * (end - at)
        else:
            data[at:end] = holder[at:end]
    torn = (start, start + length) if length else None
    return Hybrid(bytes(data), torn, tuple(absent), description)


# ---- the file that goes on ---------------------------------------------------------------------------------------------


def build(hybrid: Hybrid, goal: Goal, layout: Layout, wish: Wish | None = None) -> Delta:
    """The resume delta: from this hybrid to the new image, in the order and with the copies of the file that was cut as far as
    they can still be made. In resume mode where the memory map allows it. The terminal rehearses it before it writes."""
    made = _planned(hybrid, goal, layout, wish or Wish())
    data = _packed(hybrid, goal, layout, made)
    return Delta(data, "delta", native.header(data, layout).workspace, _sectors(hybrid, goal, layout), len(goal.new))


@dataclass(frozen=True, slots=True)
class Bound:
    """What the largest resume delta of an update takes: bytes of the file, RAM of its decoder; `exact`: all were built."""

    size: int
    workspace: int
    exact: bool


def largest(goal: Goal, layout: Layout, wish: Wish | None = None, most: int = EXACT) -> Bound:
    """The bound for all resume deltas that cuts in `goal.file` can ask for. Where building them all would code more than
    `most` commit units, only the first of each is: the others are taken from the file that was cut, and half as much again,
    for their map has changed."""
    wish = wish or Wish()
    left = list(cuts(goal, layout))
    units = len(parse(goal.file)[0].order)
    exact = len(left) * units <= 2 * most
    made = [_size(hybrid, goal, layout, wish, exact) for hybrid in left]
    return Bound(max((m[0] for m in made), default=0), max((m[1] for m in made), default=0), exact)


def _size(hybrid: Hybrid, goal: Goal, layout: Layout, wish: Wish, exact: bool) -> tuple[int, int]:
    if exact:
        delta = build(hybrid, goal, layout, wish)
        return len(delta.data), delta.workspace
    made = _planned(hybrid, goal, layout, wish)
    first = _packed(hybrid, goal, layout, replace(made, order=made.order[:1]))
    rest = sum(_frame_sizes(goal, layout).get(unit, 0) for unit in made.order[1:])
    return len(first) + 3 * rest // 2 + 3 * len(made.order) + 256, native.header(first, layout).workspace + 2 * len(made.order)


def _frame_sizes(goal: Goal, layout: Layout) -> dict[int, int]:
    """Bytes of the frames of each unit in the file that was cut."""
    head, frames = parse(goal.file)
    units, sizes, at = native.units(layout), {}, 0
    for unit in head.order:
        count = len(code.groups(units, [unit], head.new_size, layout.group))
        sizes[unit] = sum(len(frame) + 3 for frame in frames[at : at + count])
        at += count
    return sizes


def _planned(hybrid: Hybrid, goal: Goal, layout: Layout, wish: Wish) -> _Made:
    units = native.units(layout)
    found, hints, before, profile = _before(hybrid, goal, layout, wish)
    wish = replace(wish, profile=profile, workspace=min(wish.workspace, TINY_WORKSPACE) if profile == TINY else wish.workspace)
    order = _order(hybrid, goal, layout, before)
    planned = frozenset(order)
    turn = {unit: k for k, unit in enumerate(order)}
    grain = _split(_pieces(found, units, planned), hybrid)
    kept = [
        s for s, u, source in grain if turn.get(source, len(order)) >= turn[u] and hybrid.holds(s.source, s.source + s.length)
    ]
    gone = [s for s, u, source in grain if not hybrid.holds(s.source, s.source + s.length)]
    most = room(wish, len(order))
    images = Images(hybrid.data, goal.new)
    segments = sorted(useful(images, _joined(kept), profile)[:most], key=lambda s: s.at)
    if profile in (SMALL, TINY):
        # Where code of units that are new already came from still tells the map something.
        others = [s for s, _, _ in _pieces(found, units, frozenset(range(len(units))) - planned) if s.diagonal and s.length]
        segments = with_hints(segments, [*gone, *others], most - len(segments))
    if not segments:
        hints = Hints(hints.isa, hints.address)  # what the map was taught stands in the control table, and there is none
    return _Made(order, tuple(segments), hints, profile)


@dataclass(frozen=True, slots=True)
class _Made:
    order: tuple[int, ...]
    segments: tuple[Segment, ...]
    hints: Hints
    profile: int


def _resumed(profile: int) -> int:
    """Who takes a resume delta decodes profile 2 where it decodes 3 or 5."""
    return SMALL if profile in (LARGE, QUICK) else profile


def _before(hybrid: Hybrid, goal: Goal, layout: Layout, wish: Wish) -> tuple[list[Segment], Hints, list[int], int]:
    """Segments (what is there already first), hints, order and profile: those of the file that was cut, else found anew."""
    if not goal.file:
        profile = _resumed(SMALL if wish.profile is None else wish.profile)
        images = Images(hybrid.data, goal.new)
        found, hints = matched(images, replace(wish, profile=profile), layout.code)
        units = native.units(layout)
        order = plan(hybrid.data, goal.new, units, found).order
        return found, hints, list(order), profile
    head, segments, hints = _read(goal.file)
    profile = _resumed(head.profile)
    intact = _pieces(segments, sectors(layout), frozenset(range(len(sectors(layout)))))
    still = [
        s for s, _, _ in intact if hybrid.data[s.source : s.source + s.length] == goal.old[s.source : s.source + s.length]
    ]
    return _same(hybrid, goal, still, sectors(layout)), hints, list(head.order), profile


@lru_cache(maxsize=8)
def _read(file: bytes) -> tuple[Head, tuple[Segment, ...], Hints]:
    """Header, segments and hints of an update file."""
    head, _ = parse(file)
    if head.profile < SMALL:
        return head, tuple(apply.control_of(head)), Hints(0, head.address)
    map_ = apply.map_of(head)
    return head, tuple(map_.segments), Hints(head.isa, head.address, map_.also, tuple(map_.shifts))


def _same(hybrid: Hybrid, goal: Goal, found: Sequence[Segment], parts: Sequence[Range]) -> list[Segment]:
    """`found`, where what a sector holds already is not copied from elsewhere but from itself."""
    here = [
        Segment(a, a, min(b, len(goal.new)) - a)
        for a, b in parts
        if a < len(goal.new)
        and _is_new(hybrid, goal.new, a, min(b, len(goal.new)))
        and hybrid.data[a : min(b, len(goal.new))] != goal.old[a : min(b, len(goal.new))]
    ]
    joined = _joined(here)
    out: list[Segment] = list(joined)
    for s in found:
        out += _without(s, joined)
    return sorted(out, key=lambda s: s.at)


def _without(s: Segment, taken: Sequence[Segment]) -> list[Segment]:
    """The parts of a segment that none of `taken` (ascending) makes."""
    parts, at = [], s.at
    for t in taken:
        if t.at < s.end and t.end > at:
            if t.at > at:
                parts.append(s.part(at, t.at))
            at = t.end
    return [*parts, s.part(at, s.end)] if at < s.end else parts


def _split(pieces: Sequence[tuple[Segment, int, int]], hybrid: Hybrid) -> list[tuple[Segment, int, int]]:
    """Pieces cut where what they read begins or ends to be known."""
    edges = sorted({edge for pair in hybrid.absent for edge in pair})
    out = []
    for s, unit, source in pieces:
        marks = [s.at, *(e - s.diagonal for e in edges if s.at < e - s.diagonal < s.end), s.end]
        out += [(s.part(a, b), unit, source) for a, b in itertools.pairwise(marks)]
    return out


def _joined(pieces: Sequence[Segment]) -> list[Segment]:
    out: list[Segment] = []
    for s in pieces:
        if out and out[-1].end == s.at and out[-1].diagonal == s.diagonal:
            out[-1] = out[-1].part(out[-1].at, s.end)
        else:
            out.append(s)
    return out


def _order(hybrid: Hybrid, goal: Goal, layout: Layout, before: Sequence[int]) -> tuple[int, ...]:
    """The unit of the torn sector, then what else is not new yet, in the order of the file that was cut."""
    units = native.units(layout)
    wanted = [
        u for u, (a, b) in enumerate(units) if a < len(goal.new) and not _is_new(hybrid, goal.new, a, min(b, len(goal.new)))
    ]
    first = [u for u in wanted if hybrid.torn and units[u][0] <= hybrid.torn[0] < units[u][1]]
    if hybrid.torn and not first:
        raise DataError("the torn sector lies outside the new image", f"it begins at {hybrid.torn[0]}", id="NRT-285")
    place = {u: k for k, u in enumerate(before)}
    return tuple(first + sorted((u for u in wanted if u not in first), key=lambda u: (place.get(u, len(place)), u)))


def _is_new(hybrid: Hybrid, new: bytes, start: int, end: int) -> bool:
    return hybrid.holds(start, end) and hybrid.data[start:end] == new[start:end]


def _sectors(hybrid: Hybrid, goal: Goal, layout: Layout) -> int:
    return sum(a < len(goal.new) and not _is_new(hybrid, goal.new, a, min(b, len(goal.new))) for a, b in sectors(layout))


def _packed(hybrid: Hybrid, goal: Goal, layout: Layout, made: _Made) -> bytes:
    base, new, units = hybrid.data, goal.new, native.units(layout)
    encoder = Encoder(base, new, made.segments, made.hints, MAPPED[made.profile]) if made.profile in MAPPED else None
    control = encoder.control() if encoder and made.segments else code.control(made.profile, made.segments)
    head = Head(
        profile=made.profile,
        old_size=len(base),
        new_size=len(new),
        base=zlib.crc32(hybrid.said or describe(hybrid, layout.leaf)) & 0xFFFF,
        crc=zlib.crc32(new, zlib.crc32(base)),
        group=layout.group,
        unit_shift=unit_shift(units, layout.group),
        order=made.order,
        segments=len(made.segments),
        control=control,
        isa=made.hints.isa if encoder else 0,
        address=made.hints.address,
        resume=layout.resume,
        hybrid=True,
    )
    if encoder is None:
        ranges = code.groups(units, made.order, len(new), layout.group)
        return pack(head, code.frames(made.profile, base, new, made.segments, ranges))
    return pack(head, _frames(encoder, hybrid, len(new), layout, made.order))


def _frames(encoder: Encoder, hybrid: Hybrid, new_size: int, layout: Layout, order: Sequence[int]) -> list[bytes]:
    units, size = native.units(layout), len(hybrid.data)
    gone = bytearray(size // GRAIN + 1)

    def lose(start: int, end: int, why: bytes = b"\1") -> None:
        first, last = start // GRAIN, -(-min(end, size) // GRAIN)
        gone[first:last] = why * max(0, last - first)

    for start, end in hybrid.absent:
        lose(start, end, b"\2")
    out = []
    for unit in order:
        out += [encoder.group(*span, gone) for span in code.groups(units, [unit], new_size, layout.group)]
        lose(*units[unit])
    return out


__all__ = ["RAW", "Goal", "Hybrid", "build", "cuts", "describe", "digest", "largest", "mark", "recognise", "sectors"]
