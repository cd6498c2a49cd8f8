"""The plan in place: every changed unit once, no copy from bytes that are gone."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta.match import Segment, Suffix
from neurath.delta.plan import Plan, plan
from tests.delta.images import pair

UNIT = 1024


def planned(old: bytes, new: bytes, most: int = 1) -> tuple[Plan, list[tuple[int, int]], list[Segment]]:
    units = [(at, at + UNIT) for at in range(0, max(len(old), len(new)) + UNIT, UNIT)]
    found = Suffix().match(old, new)
    return plan(old, new, units, found, most), units, found


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_no_kept_copy_reads_a_unit_that_is_gone(seed: int, most: int) -> None:
    old, new = pair(seed)
    made, _, _ = planned(old, new, most)
    assert 1 <= made.joint <= most
    place = {unit: k // made.joint for k, unit in enumerate(made.order)}
    assert made.segments
    for segment in made.segments:
        for offset in range(segment.at, segment.end):
            unit, source = offset // UNIT, (offset + segment.diagonal) // UNIT
            assert place.get(source, len(place)) >= place[unit]


def test_units_that_do_not_change_are_left_out() -> None:
    old, _ = pair(5)
    new = bytearray(old)
    new[UNIT * 3 + 7] ^= 1
    made, _, _ = planned(old, bytes(new))
    assert made.order == (3,)
    assert all(s.at >= UNIT * 3 and s.end <= UNIT * 4 for s in made.segments)


def test_an_image_that_grew_rewrites_the_units_it_grew_into() -> None:
    old, _ = pair(6)
    made, _, _ = planned(old, old + bytes(3 * UNIT))
    assert set(made.order) >= {len(old) // UNIT + 1, len(old) // UNIT + 2}


def test_moved_code_is_copied_whole_in_the_right_order() -> None:
    body = random.Random(4).randbytes(20 * UNIT)
    for old, new in ((body, bytes(UNIT // 2) + body), (bytes(UNIT // 2) + body, body)):
        made, _, _ = planned(old, new)
        assert made.lost == 0
        assert sum(s.length for s in made.segments) >= len(body)


def test_units_that_swap_places_are_committed_together_and_lose_nothing() -> None:
    old = random.Random(5).randbytes(12 * UNIT)
    swapped = [old[unit * UNIT : unit * UNIT + UNIT] for unit in (5, 1, 2, 9, 4, 0, 6, 7, 8, 3, 10, 11)]
    new = b"".join(swapped)
    assert planned(old, new)[0].lost >= 2 * UNIT - 100
    for most in (2, 6):
        made, _, _ = planned(old, new, most)
        assert (made.joint, made.lost) == (2, 0), "no more at once than lose less"
        assert sorted(made.order) == [0, 3, 5, 9]


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_more_units_at_once_never_lose_more(seed: int) -> None:
    rng = random.Random(seed)
    old = rng.randbytes(10 * UNIT)
    new = b"".join(old[at : at + UNIT // 2] for at in rng.sample(range(0, 10 * UNIT, UNIT // 2), 20))
    lost = [planned(old, new, most)[0].lost for most in (1, 2, 4, 6)]
    assert lost == sorted(lost, reverse=True)
