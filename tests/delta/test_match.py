"""Segments: inside both images, apart, and as useful as they claim."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta.match import Bsdiff, Exact, Matcher, Segment, hits, joined
from tests.delta.images import pair


@pytest.mark.parametrize("matcher", [Bsdiff(), Exact(Bsdiff())])
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
    found = Exact(Bsdiff()).match(old, new)
    assert found
    assert all(old[s.source : s.source + s.length] == new[s.at : s.end] for s in found)


def test_neighbours_on_one_diagonal_are_joined_over_a_small_gap_only() -> None:
    near, far, other = Segment(20, 120, 10), Segment(90, 190, 10), Segment(110, 500, 10)
    assert joined([Segment(0, 100, 10), near, far, other]) == [Segment(0, 100, 30), far, other]


def test_images_of_noise_have_no_segments() -> None:
    import random

    assert Bsdiff().match(random.Random(1).randbytes(5000), random.Random(2).randbytes(5000)) == []
