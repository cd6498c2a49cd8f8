"""The plan in place: which commit units change, in which order they are rewritten, how many of them are committed at once or
whether the plan slides, and which copies that can keep. It knows units as ranges of the image; it must never know how bytes
are coded.

A unit's old bytes are there until it is committed, and all units of one commit are decoded before a byte of any is erased. So
a copy from unit i into unit j works when i is not rewritten, is committed with j (i = j too), or comes after it. Units that
need each other's old bytes are committed together, as many as scratch holds (decision 0250). Where the plan slides, every
unit is decoded before the one ahead of it is committed: so j may also read what comes right before it (decision 0281).
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import neurath.flash._core as _core
from neurath.delta.match import Segment

#: Copies looked at from each start of the search, for each unit, and at most.
SEARCH_WORK, MOST_WORK = 60_000, 4_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Commit units in the order they are rewritten, `joint` of them at once or sliding, and the segments that keeps; `gone`
    are those it cannot: their bytes are no longer there, but where they went still tells the map something. `lost` are these
    in bytes, `cost` what they are worth in bits, roughly."""

    order: tuple[int, ...]
    segments: tuple[Segment, ...]
    lost: int
    gone: tuple[Segment, ...] = ()
    joint: int = 1
    slide: bool = False
    cost: int = 0


def changed_units(old: bytes, new: bytes, units: Sequence[tuple[int, int]]) -> list[int]:
    """Units whose bytes of the new image differ from what the bank holds there."""
    return [
        u for u, (start, end) in enumerate(units) if start < len(new) and old[start : min(end, len(new))] != new[start:end]
    ]


def plan(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment], most: int = 1) -> Plan:
    """The order that loses least, and what it keeps. `units` are (start, end) image offsets; scratch holds `most` of them: no
    more are committed at once, and no plan slides that has room for one only."""
    changed = changed_units(old, new, units)
    pieces = _pieces(found, units, frozenset(changed))
    needs = _needs(new, pieces, frozenset(changed))
    order, way, cost = _ordered(changed, needs, most)
    place = {unit: k for k, unit in enumerate(order)}
    kept, gone, lost = [], [], 0
    for segment, unit, source in pieces:
        if source in place and way.gone(place[source], place[unit]):
            gone.append(segment)
            lost += segment.length
        else:
            kept.append(segment)
    return Plan(tuple(order), tuple(_whole(kept)), lost, tuple(_whole(gone)), way.joint or 1, way.joint == SLIDES, cost)


def apart(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment]) -> Plan:
    """Nothing is lost where old bytes never go away."""
    return Plan(tuple(changed_units(old, new, units)), tuple(found), 0)


#: In place of a number of units that are committed at once.
SLIDES = 0


@dataclass(frozen=True, slots=True)
class Way:
    """How a plan goes on: so many units at once, or SLIDES."""

    joint: int

    def gone(self, source: int, unit: int) -> bool:
        """Whether the old bytes at one place of the order are gone when the unit at another is decoded."""
        return source + 1 < unit if self.joint == SLIDES else source // self.joint < unit // self.joint


def _ordered(changed: list[int], needs: Needs, most: int) -> tuple[list[int], Way, int]:
    """The order that loses least, and its way: one at a time, else several at once or sliding where that loses less; and what
    it loses."""
    number = {unit: i for i, unit in enumerate(changed)}
    flat = [(number[u], number[s], n) for u, wanted in sorted(needs.items()) for s, n in sorted(wanted.items())]
    starts = [list(range(len(changed))), list(range(len(changed)))[::-1], _greedy(len(changed), flat)]
    best, way, lost = _searched(starts, flat, Way(1))
    for joint in (SLIDES, *range(2, min(most, len(changed)) + 1)):
        if lost == 0 or most < 2:
            break
        found, _, now = _searched([*starts, best], flat, Way(joint))
        if now < lost:
            best, way, lost = _in_image_order(found, joint), Way(joint), now
    return [changed[i] for i in best], way, lost


def _searched(starts: Sequence[list[int]], flat: Sequence[tuple[int, int, int]], way: Way) -> tuple[list[int], Way, int]:
    """The best order found from these starts (core/ports/order.c)."""
    needs = _core.ffi.new("uint32_t[]", [v for need in flat for v in need] or [0])
    found = []
    for start in starts:
        order = _core.ffi.new("uint32_t[]", start or [0])
        work = min(MOST_WORK, SEARCH_WORK * len(start))
        lost = _core.lib.nrt_order(needs, len(flat), len(start), way.joint, order, work)
        found.append((int(lost), list(order)[: len(start)]))
        if lost == 0:
            break
    lost, best = min(found, key=lambda one: one[0])
    return best, way, lost


def _in_image_order(order: list[int], joint: int) -> list[int]:
    """Units of one commit in image order: neighbours are told in fewer bytes."""
    if joint == SLIDES:
        return order
    return [unit for k in range(0, len(order), joint) for unit in sorted(order[k : k + joint])]


def _pieces(
    found: Sequence[Segment], units: Sequence[tuple[int, int]], changed: frozenset[int]
) -> list[tuple[Segment, int, int]]:
    """Segments cut where the unit written or the unit read changes; what unchanged units would need is left out."""
    starts = [start for start, _ in units]
    pieces = []
    for segment in found:
        cuts = {segment.at, segment.end}
        cuts |= set(starts[bisect_right(starts, segment.at) : bisect_left(starts, segment.end)])
        read = starts[bisect_right(starts, segment.source) : bisect_left(starts, segment.source + segment.length)]
        cuts |= {start - segment.diagonal for start in read}
        edges = sorted(cuts)
        for start, end in itertools.pairwise(edges):
            unit = bisect_right(starts, start) - 1
            if unit in changed:
                pieces.append((segment.part(start, end), unit, bisect_right(starts, start + segment.diagonal) - 1))
    return pieces


Needs = dict[int, dict[int, int]]


def _needs(new: bytes, pieces: Sequence[tuple[Segment, int, int]], changed: frozenset[int]) -> Needs:
    """unit -> {unit whose old bytes it copies: what these would cost as literals, in bits}."""
    needs: Needs = defaultdict(lambda: defaultdict(int))
    for segment, unit, source in pieces:
        if source != unit and source in changed:
            needs[unit][source] += 1 + _content(new[segment.at : segment.end])
    return needs


def _content(piece: bytes) -> int:
    """Bits of these bytes by how often each occurs: stretches of padding are worth nothing."""
    return round(_n_log_n(len(piece)) - sum(map(_n_log_n, Counter(piece).values())))


@functools.cache  # at most as many as a commit unit has bytes
def _n_log_n(n: int) -> float:
    return n * math.log2(n) if n else 0.0


def _greedy(units: int, flat: Sequence[tuple[int, int, int]]) -> list[int]:
    """Always the unit whose old bytes the remaining ones need least."""
    wanted = [0] * units
    takes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for unit, source, n in flat:
        wanted[source] += n
        takes[unit].append((source, n))
    pending, order = set(range(units)), []
    while pending:
        unit = min(pending, key=lambda u: (wanted[u], u))
        pending.discard(unit)
        order.append(unit)
        for source, n in takes[unit]:
            wanted[source] -= n
    return order


def _whole(pieces: Sequence[Segment]) -> list[Segment]:
    """Pieces that touch on one diagonal become one again."""
    result: list[Segment] = []
    for piece in pieces:
        if result and result[-1].end == piece.at and result[-1].diagonal == piece.diagonal:
            result[-1] = result[-1].part(result[-1].at, piece.end)
        else:
            result.append(piece)
    return result
