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
    assert not made.slide or (made.joint == 1 and most > 1)
    place = {unit: k // made.joint for k, unit in enumerate(made.order)}
    assert made.segments
    for segment in made.segments:
        for offset in range(segment.at, segment.end):
            unit, source = offset // UNIT, (offset + segment.diagonal) // UNIT
            assert place.get(source, len(place)) + made.slide >= place[unit]


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


def test_units_that_swap_places_wait_for_each_other_and_lose_nothing() -> None:
    old = random.Random(5).randbytes(12 * UNIT)
    swapped = [old[unit * UNIT : unit * UNIT + UNIT] for unit in (5, 1, 2, 9, 4, 0, 6, 7, 8, 3, 10, 11)]
    new = b"".join(swapped)
    assert planned(old, new)[0].lost >= 2 * UNIT - 100
    for most in (2, 6):
        made, _, _ = planned(old, new, most)
        assert (made.slide, made.joint, made.lost) == (True, 1, 0), "no more at once than lose less"
        assert sorted(made.order) == [0, 3, 5, 9]


def test_units_that_move_round_lose_nothing_where_the_plan_slides() -> None:
    old = random.Random(7).randbytes(12 * UNIT)
    new = b"".join(old[unit * UNIT : unit * UNIT + UNIT] for unit in (5, 0, 1, 2, 3, 4, 11, 6, 7, 8, 9, 10))
    assert planned(old, new)[0].lost >= 2 * UNIT - 100
    made, _, _ = planned(old, new, 2)
    assert (made.slide, made.lost) == (True, 0)


def test_what_is_easily_said_again_is_lost_before_what_is_not() -> None:
    """Two units swap places, one of them all but padding: in whichever order, one copy is lost."""
    rng = random.Random(8)
    padding = b"\xff" * (UNIT - 60) + rng.randbytes(60)
    for flip in (False, True):
        parts = [padding, rng.randbytes(UNIT), *(rng.randbytes(UNIT) for _ in range(3))]
        parts = parts[::-1] if flip else parts
        old = b"".join(parts)
        i = 3 if flip else 0
        parts[i], parts[i + 1] = parts[i + 1], parts[i]
        made, _, _ = planned(old, b"".join(parts))
        assert all(segment.at // UNIT == parts.index(padding) for segment in made.gone)
        assert made.gone


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_more_units_at_once_never_lose_more(seed: int) -> None:
    rng = random.Random(seed)
    old = rng.randbytes(10 * UNIT)
    new = b"".join(old[at : at + UNIT // 2] for at in rng.sample(range(0, 10 * UNIT, UNIT // 2), 20))
    lost = [planned(old, new, most)[0].cost for most in (1, 2, 4, 6)]
    assert lost == sorted(lost, reverse=True)
