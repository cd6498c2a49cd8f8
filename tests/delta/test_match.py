"""Segments: inside both images, apart, and as useful as they claim."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta.match import Exact, Matcher, Segment, Suffix, hits, joined
from tests.delta.images import pair


@pytest.mark.parametrize("matcher", [Suffix(), Exact(Suffix())])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_segments_ascend_apart_and_stay_inside_both_images(matcher: Matcher, seed: int) -> None:
    old, new = pair(seed, 10)
    found = matcher.match(old, new)
    assert all(s.source >= 0 and s.source + s.length <= len(old) and s.end <= len(new) and s.length > 0 for s in found)
    assert all(a.end <= b.at for a, b in itertools.pairwise(found))
    assert sum(hits(old, new, s) for s in found) > len(new) // 2


def test_exact_segments_are_equal_bytes() -> None:
    old, new = pair(3)
    found = Exact(Suffix()).match(old, new)
    assert found
    assert all(old[s.source : s.source + s.length] == new[s.at : s.end] for s in found)


def test_neighbours_on_one_diagonal_are_joined_over_a_small_gap_only() -> None:
    near, far, other = Segment(20, 120, 10), Segment(90, 190, 10), Segment(110, 500, 10)
    assert joined([Segment(0, 100, 10), near, far, other]) == [Segment(0, 100, 30), far, other]


@given(
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.lists(st.integers(0, 1), max_size=20),
    st.lists(st.integers(0, 1), max_size=20),
)
@settings(deadline=None)
def test_any_two_images_can_be_compared(a: bytes, b: bytes, first: list[int], second: list[int]) -> None:
    old, new = b"".join((a, b)[k] for k in first), b"".join((a, b)[k] for k in second)
    found = Suffix().match(old, new)
    assert all(s.source >= 0 and s.source + s.length <= len(old) and s.end <= len(new) and s.length > 0 for s in found)
    assert all(a.end <= b.at for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("shift", [0, 1, 2, 7])
def test_what_moved_is_found_wherever_it_stands(shift: int) -> None:
    """Suffixes begin at even offsets alone; the longest stretch is longer than a candidate goes at once."""
    noise = random.Random(shift).randbytes(60_000)
    found = Suffix().match(noise, b"x" * shift + noise[:50_000] + b"yz" + noise[20_001:])
    assert [(s.at, s.source, s.length) for s in found] == [
        (shift, 0, 50_000),
        (shift + 50_002, 20_001, 39_999),
    ]


def test_images_full_of_the_same_bytes_are_compared_in_bounded_time() -> None:
    dice = random.Random(5)
    old = b"".join(dice.choice((b"\0" * 32, b"\xff" * 24, dice.randbytes(16))) for _ in range(40_000))
    began = time.process_time()
    assert hits(old, old, Suffix().match(old, old[100:] + old[:100])[0]) > 0
    assert time.process_time() - began < 20


def test_images_of_noise_have_no_segments() -> None:
    assert Suffix().match(random.Random(1).randbytes(5000), random.Random(2).randbytes(5000)) == []
