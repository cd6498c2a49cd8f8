"""The plan in place: which commit units change, in which order they are rewritten, how many of them are committed at once,
and which copies that can keep. It knows units as ranges of the image; it must never know how bytes are coded.

A unit's old bytes are there until it is committed, and all units of one commit are decoded before a byte of any is erased. So
a copy from unit i into unit j works when i is not rewritten, is committed with j (i = j too), or comes after it. Units that
need each other's old bytes are committed together, as many as scratch holds (decision 0250).
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from neurath.delta.match import Segment

#: Moves of the local search, for images of any number of units.
SEARCH_STEPS = 20000
#: Exchanges looked at for one number of units at once.
EXCHANGES = 40000


@dataclass(frozen=True, slots=True)
class Plan:
    """Commit units in the order they are rewritten, `joint` of them at once, and the segments that keeps; `gone` are those it
    cannot: their bytes are no longer there, but where they went still tells the map something."""

    order: tuple[int, ...]
    segments: tuple[Segment, ...]
    lost: int
    gone: tuple[Segment, ...] = ()
    joint: int = 1


def changed_units(old: bytes, new: bytes, units: Sequence[tuple[int, int]]) -> list[int]:
    """Units whose bytes of the new image differ from what the bank holds there."""
    return [
        u for u, (start, end) in enumerate(units) if start < len(new) and old[start : min(end, len(new))] != new[start:end]
    ]


def plan(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment], most: int = 1) -> Plan:
    """The order that loses fewest copied bytes, and what it keeps. `units` are (start, end) image offsets; at most `most` of
    them are committed at once, and no more than lose less."""
    changed = changed_units(old, new, units)
    pieces = _pieces(found, units, frozenset(changed))
    needs = _needs(pieces, frozenset(changed))
    order, joint = _ordered(changed, needs, most)
    turn = {unit: k // joint for k, unit in enumerate(order)}
    kept = [s for s, unit, source in pieces if source not in turn or turn[source] >= turn[unit]]
    gone = [s for s, unit, source in pieces if source in turn and turn[source] < turn[unit]]
    return Plan(tuple(order), tuple(_whole(kept)), _lost(order, needs, joint), tuple(_whole(gone)), joint)


def _ordered(changed: list[int], needs: Needs, most: int) -> tuple[list[int], int]:
    """The order, and how many of it at once: fewest bytes lost, then fewest units at once."""
    alone = min(_starts(changed, needs), key=lambda candidate: _lost(candidate, needs))
    alone = _searched(list(alone), needs)
    best, joint, lost = alone, 1, _lost(alone, needs)
    for n in range(2, min(most, len(changed)) + 1):
        if lost == 0:
            break
        found = _exchanged(best, needs, n)
        if _lost(found, needs, n) < lost:
            best, joint, lost = _in_image_order(found, n), n, _lost(found, needs, n)
    return best, joint


def _in_image_order(order: list[int], joint: int) -> list[int]:
    """Units of one commit in image order: neighbours are told in fewer bytes."""
    return [unit for k in range(0, len(order), joint) for unit in sorted(order[k : k + joint])]


def _exchanged(start: list[int], needs: Needs, joint: int) -> list[int]:
    """Exchanges units of different commits while that loses less, then shakes the best order and tries again; always the
    same for the same images."""
    rng = random.Random(joint)
    debts = _debts(needs)
    order, best, best_lost, steps = list(start), list(start), _lost(start, needs, joint), 0
    while steps < EXCHANGES and best_lost > 0:
        steps += _descend(order, debts, joint, EXCHANGES - steps)
        if (lost := _lost(order, needs, joint)) < best_lost:
            best, best_lost = list(order), lost
        order = list(best)
        for _ in range(1 + joint):
            i, k = rng.randrange(len(order)), rng.randrange(len(order))
            order[i], order[k] = order[k], order[i]
    return best


Debts = dict[int, dict[int, tuple[int, int]]]


def _debts(needs: Needs) -> Debts:
    """unit -> other -> (bytes it copies from the other, bytes the other copies from it)."""
    debts: Debts = defaultdict(dict)
    pairs = {(min(u, s), max(u, s)) for u, wanted in needs.items() for s in wanted}
    for u, v in sorted(pairs):
        there, back = needs.get(u, {}).get(v, 0), needs.get(v, {}).get(u, 0)
        debts[u][v] = (there, back)
        debts[v][u] = (back, there)
    return debts


def _descend(order: list[int], debts: Debts, joint: int, most: int) -> int:
    """Takes every exchange that loses less until none does or `most` were looked at; how many were."""
    turn = {unit: k // joint for k, unit in enumerate(order)}

    def owed(unit: int, at: int, partner: int, partner_at: int) -> int:
        total = 0
        for other, (takes, gives) in debts[unit].items():
            where = partner_at if other == partner else turn[other]
            total += takes if where < at else gives if where > at else 0
        return total

    looked, improved = 0, True
    while improved and looked < most:
        improved = False
        for i, k in itertools.combinations(range(len(order)), 2):
            u, v = order[i], order[k]
            a, b = turn[u], turn[v]
            looked += 1
            if a == b:
                continue
            if looked > most:
                break
            before = owed(u, a, v, b) + owed(v, b, u, a)
            after = owed(u, b, v, a) + owed(v, a, u, b)
            # What the two owe each other is in each sum twice.
            takes, gives = debts[u].get(v, (0, 0))
            before -= gives if a < b else takes
            after -= takes if a < b else gives
            if after < before:
                order[i], order[k], turn[u], turn[v] = v, u, b, a
                improved = True
    return looked


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


def _lost(order: Sequence[int], needs: Needs, joint: int = 1) -> int:
    turn = {unit: k // joint for k, unit in enumerate(order)}
    return sum(n for unit, wanted in needs.items() for source, n in wanted.items() if turn[source] < turn[unit])


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
