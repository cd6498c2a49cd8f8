"""Profiles 2, 4 and 5, which predict fields of code by the map: what the C encoder writes, the core and the slow oracle read;
nothing a file says makes the decoder crash."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, native
from neurath.delta.apply import apply
from neurath.delta.format import parse
from neurath.errors import NeurathError
from neurath.flash.profiles import QUICK, SMALL, TINY, TINY_WORKSPACE
from tests.delta.images import small_layout
from tests.delta.programs import programs

LAYOUT = small_layout(32768)
UNITS = native.units(LAYOUT)
SMALLEST = {SMALL: Wish(SMALL), QUICK: Wish(QUICK), TINY: Wish(TINY, workspace=TINY_WORKSPACE)}
FILES = {profile: build(*programs(11, 20), LAYOUT, replace(wish, apart=True)).data for profile, wish in SMALLEST.items()}

each = pytest.mark.parametrize("profile", SMALLEST, ids={SMALL: "small", QUICK: "quick", TINY: "tiny"}.get)


@each
@pytest.mark.parametrize("arm", [False, True])
@given(seed=st.integers(0, 10**6), apart=st.booleans())
@settings(max_examples=4, deadline=None)
def test_core_and_oracle_decode_what_was_encoded_for_code(profile: int, arm: bool, seed: int, apart: bool) -> None:
    old, new = programs(seed, 24, arm=arm)
    wish = replace(SMALLEST[profile], apart=apart)
    made = build(old, new, LAYOUT, wish)
    assert native.header(made.data, LAYOUT).profile == profile
    assert made.workspace <= wish.workspace
    assert apply(old, made.data, UNITS) == new


@each
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_two_images_come_back(profile: int, data: st.DataObject) -> None:
    old, new = data.draw(st.binary(max_size=700)), data.draw(st.binary(min_size=1, max_size=700))
    if old != new:
        made = build(old, new, LAYOUT, replace(SMALLEST[profile], apart=data.draw(st.booleans())))
        assert apply(old, made.data, UNITS) == new


@each
@pytest.mark.parametrize("arm", [False, True])
def test_code_that_only_moved_costs_hardly_more_than_its_segments(profile: int, arm: bool) -> None:
    """Calls, pointers, loads and RAM words of the moved functions are predicted; what else runs in that RAM predicts none."""
    old, new = programs(5, 60, arm=arm)
    wish = replace(SMALLEST[profile], apart=True)
    made, simple = (len(build(old, new, LAYOUT, replace(wish, profile=one)).data) for one in (profile, 1))
    assert made < {SMALL: 0.8, QUICK: 0.8, TINY: 0.85}[profile] * simple


@each
def test_broken_files_are_refused_or_decode_the_same_in_core_and_oracle(profile: int) -> None:
    old, new = programs(10, 20)
    data = build(old, new, LAYOUT, replace(SMALLEST[profile], apart=True)).data
    dice = random.Random(2)
    for _ in range(60 if profile == TINY else 40 if profile == SMALL else 20):
        broken = bytearray(data)
        at = dice.randrange(14, len(data))
        broken[at] ^= 1 << dice.randrange(8)
        cut = bytes(broken[: dice.choice((len(data), at))])
        try:
            core = native.decode_apart(old, cut, LAYOUT)
        except NeurathError:
            continue
        assert parse(cut)[0].new_size == len(core)
        try:
            slow = apply(old, cut, UNITS)
        except NeurathError:
            continue  # the oracle also knows the CRC
        assert slow == core


@each
@given(tail=st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_bytes_crash_the_decoder(profile: int, tail: bytes) -> None:
    old, _new = programs(11, 20)
    with contextlib.suppress(NeurathError):
        native.decode_apart(old, FILES[profile][:20] + tail, LAYOUT)
