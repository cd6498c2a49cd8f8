"""The plan in place: which commit units change, in which order they are rewritten, and which copies that order can keep. It
knows units as ranges of the image; it must never know how bytes are coded.

A unit's old bytes are there until the unit is committed; a unit is decoded whole before it is. So a copy from unit i into
unit j works when i = j, when i is not rewritten, or when i comes after j.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from neurath.delta.match import Segment

#: Moves of the local search, for images of any number of units.
SEARCH_STEPS = 20000


@dataclass(frozen=True, slots=True)
class Plan:
    """Commit units in the order they are rewritten, and the segments that order keeps; `gone` are those it cannot: their
    bytes are no longer there, but where they went still tells the map something."""

    order: tuple[int, ...]
    segments: tuple[Segment, ...]
    lost: int
    gone: tuple[Segment, ...] = ()


def changed_units(old: bytes, new: bytes, units: Sequence[tuple[int, int]]) -> list[int]:
    """Units whose bytes of the new image differ from what the bank holds there."""
    return [
        u for u, (start, end) in enumerate(units) if start < len(new) and old[start : min(end, len(new))] != new[start:end]
    ]


def plan(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment]) -> Plan:
    """The order that loses fewest copied bytes, and what it keeps. `units` are (start, end) image offsets."""
    changed = changed_units(old, new, units)
    pieces = _pieces(found, units, frozenset(changed))
    needs = _needs(pieces, frozenset(changed))
    order = min(_starts(changed, needs), key=lambda candidate: _lost(candidate, needs))
    order = _searched(list(order), needs)
    place = {unit: k for k, unit in enumerate(order)}
    kept = [s for s, unit, source in pieces if source not in place or place[source] >= place[unit]]
    gone = [s for s, unit, source in pieces if source in place and place[source] < place[unit]]
    return Plan(tuple(order), tuple(_whole(kept)), _lost(order, needs), tuple(_whole(gone)))


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


def _needs(pieces: Sequence[tuple[Segment, int, int]], changed: frozenset[int]) -> Needs:
    """unit -> {unit whose old bytes it copies: how many}."""
    needs: Needs = defaultdict(lambda: defaultdict(int))
    for segment, unit, source in pieces:
        if source != unit and source in changed:
            needs[unit][source] += segment.length
    return needs


def _lost(order: Sequence[int], needs: Needs) -> int:
    place = {unit: k for k, unit in enumerate(order)}
    return sum(n for unit, wanted in needs.items() for source, n in wanted.items() if place[source] < place[unit])


def _starts(changed: list[int], needs: Needs) -> list[list[int]]:
    return [changed, changed[::-1], _greedy(changed, needs)]


def _greedy(changed: list[int], needs: Needs) -> list[int]:
    """Always the unit whose old bytes the remaining ones need least."""
    pending = set(changed)
    wanted: dict[int, int] = defaultdict(int)
    for unit in changed:
        for source, n in needs[unit].items():
            wanted[source] += n
    order = []
    while pending:
        unit = min(pending, key=lambda u: (wanted[u], u))
        pending.discard(unit)
        order.append(unit)
        for source, n in needs[unit].items():
            wanted[source] -= n
    return order


def _searched(order: list[int], needs: Needs) -> list[int]:
    """Moves single units to where they lose least, until nothing improves or the steps are used up."""
    steps, improved = 0, True
    while improved and steps < SEARCH_STEPS:
        improved = False
        for unit in list(order):
            best = _best_place(order, unit, needs)
            steps += len(order)
            if best is not None:
                order.remove(unit)
                order.insert(best, unit)
                improved = True
            if steps >= SEARCH_STEPS:
                break
    return order


def _best_place(order: list[int], unit: int, needs: Needs) -> int | None:
    """Index in `order` without `unit` where it loses fewest bytes; None when it is best where it is.

    Walks one step at a time: moving past a neighbour changes only what the two owe each other.
    """
    rest = [u for u in order if u != unit]
    here = order.index(unit)
    mine = needs[unit]
    # Cost relative to standing first: every neighbour passed is then rewritten before this unit.
    cost, best_cost, best, stay = 0, 0, 0, 0
    for k, other in enumerate(rest, start=1):
        cost += mine.get(other, 0) - needs[other].get(unit, 0)
        if k == here:
            stay = cost
        if cost < best_cost:
            best_cost, best = cost, k
    return best if best_cost < stay else None


def _whole(pieces: Sequence[Segment]) -> list[Segment]:
    """Pieces that touch on one diagonal become one again."""
    result: list[Segment] = []
    for piece in pieces:
        if result and result[-1].end == piece.at and result[-1].diagonal == piece.diagonal:
            result[-1] = result[-1].part(result[-1].at, piece.end)
        else:
            result.append(piece)
    return result
