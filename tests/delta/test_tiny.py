"""What profile 4 has alone: all instruction sets, full images and what a cut left in 6 KiB of RAM. What it has in common with
profile 2: test_mapped.py."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, full, hybrid, native, simulate
from neurath.delta.apply import apply
from neurath.delta.budget import TINY_FIXED
from neurath.delta.format import parse
from neurath.errors import NeurathError
from neurath.flash.geometry import Span
from neurath.flash.native import profiles
from neurath.flash.profiles import TINY, TINY_WORKSPACE
from tests.delta import test_isa
from tests.delta.images import pair, small_layout
from tests.delta.programs import programs

LAYOUT = small_layout(32768)
UNITS = native.units(LAYOUT)
WISH = Wish(TINY, workspace=TINY_WORKSPACE)


def test_this_core_says_that_it_has_the_profile() -> None:
    assert profiles() == 0b111111


@pytest.mark.parametrize("isa", [test_isa.A64, test_isa.RV32, test_isa.X86])
def test_core_and_oracle_agree_on_the_other_instruction_sets(isa: int) -> None:
    old, new = test_isa.programs(isa, 3)
    made = build(old, new, LAYOUT, WISH)
    assert parse(made.data)[0].isa == isa
    assert apply(old, made.data, UNITS) == new


@given(seed=st.integers(0, 10**6), edits=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=40)), max_size=12))
@settings(max_examples=10, deadline=None)
def test_any_edits_come_back_in_place(seed: int, edits: list[tuple[int, bytes]]) -> None:
    old, _ = programs(seed, 20)
    new = bytearray(old)
    for at, put in edits:
        new[at % len(new) : at % len(new) + len(put) // 2] = put
    if bytes(new) != old and new:
        made = build(old, bytes(new), LAYOUT, WISH)
        assert simulate.rewrite(old, bytes(new), LAYOUT, made.data)[0] == new
        assert apply(old, made.data, UNITS) == new


def test_a_full_image_comes_back() -> None:
    _, new = pair(5, 40)
    made = full(new, LAYOUT, WISH)
    assert (made.kind, made.workspace <= TINY_WORKSPACE) == ("full", True)
    assert apply(b"", made.data, UNITS) == new


def test_the_room_that_segments_leave_is_what_the_core_counts() -> None:
    """The planner's figures are those of core/src/unpack.c: the most segments fit, one more does not."""
    dice = random.Random(4)
    blocks = [dice.randbytes(32) for _ in range(600)]
    old = b"".join(blocks)
    dice.shuffle(blocks)
    made = build(old, b"".join(blocks), LAYOUT, replace(WISH, apart=True))
    head = native.header(made.data, LAYOUT)
    assert TINY_WORKSPACE - 24 - 14 < made.workspace <= TINY_WORKSPACE
    assert abs(made.workspace - (TINY_FIXED + 14 * head.segments + 2 * head.units)) <= 24


def test_what_a_cut_left_goes_on_in_the_same_profile() -> None:
    layout = replace(small_layout(16384), scratch=Span(), resume=True)
    old, new = programs(12, 40)
    goal = hybrid.Goal(old, new, build(old, new, layout, WISH).data)
    for left in list(hybrid.cuts(goal, layout))[1:3]:
        head = native.header(hybrid.build(left, goal, layout).data, layout)
        assert (head.profile, head.hybrid, head.decoder <= TINY_WORKSPACE) == (TINY, True, True)


@pytest.mark.parametrize("flags", [0x02, 0x10])
def test_saves_and_a_model_that_goes_on_are_refused(flags: int) -> None:
    old, new = programs(9, 20)
    data = bytearray(build(old, new, LAYOUT, WISH).data)
    data[5] |= flags
    with pytest.raises(NeurathError):
        native.header(bytes(data), LAYOUT)
    with pytest.raises(NeurathError):
        parse(bytes(data))
