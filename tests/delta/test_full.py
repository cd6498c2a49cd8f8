"""Full images whose model goes on from group to group: they copy from what was just made, and a power cut costs nothing but
decoding the first groups once more."""

from __future__ import annotations

import lzma
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, full, native, simulate
from neurath.delta.apply import apply
from neurath.delta.budget import LEAST_WINDOW, SMALL_FIXED, WINDOW
from neurath.delta.encoder import Whole
from neurath.delta.format import pack, parse
from neurath.errors import DataError
from neurath.flash.profiles import LARGE, SMALL
from tests.delta.images import pair, small_layout
from tests.delta.programs import programs

LAYOUT = small_layout(32768)
UNITS = native.units(LAYOUT)
GOES_ON = 0x10


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(1, 9).map(lambda n: bytes(40 * n))), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_core_and_oracle_decode_any_full_image(parts: list[bytes]) -> None:
    new = b"".join(parts) or b"x"
    made = full(new, LAYOUT, Wish(SMALL))
    assert parse(made.data)[0].flow
    assert apply(b"", made.data, UNITS) == new


@pytest.mark.parametrize("profile", [SMALL, LARGE])
def test_going_on_is_smaller_than_groups_that_decode_alone(profile: int) -> None:
    new = programs(11, 120)[1]
    on, alone = (full(new, LAYOUT, Wish(profile, flow=flow)) for flow in (True, False))
    assert parse(on.data)[0].flow
    assert not parse(alone.data)[0].flow
    assert len(on.data) < 0.97 * len(alone.data)
    assert len(on.data) <= 1.07 * len(lzma.compress(new, preset=9 | lzma.PRESET_EXTREME))


def test_the_window_ends_where_it_says() -> None:
    noise = random.Random(3).randbytes(WINDOW)
    for apart, copied in ((0, True), (1, False)):
        new = noise + bytes(random.Random(4).randbytes(apart)) + noise
        whole = Whole(new, 1 << 14, WINDOW)
        size = sum(len(whole.frame()) for _ in range(0, len(new), 1 << 14))
        assert (size < 1.1 * WINDOW) is copied


def test_what_the_bank_holds_already_is_decoded_into_nothing() -> None:
    """The rewrite leaves such units out; the model must have seen them all the same."""
    new = programs(12, 60)[1]
    old = bytearray(random.Random(5).randbytes(len(new)))
    old[2048 * 1 : 2048 * 3] = new[2048 * 1 : 2048 * 3]
    made = full(new, LAYOUT, Wish(SMALL))
    assert simulate.rewrite(bytes(old), new, LAYOUT, made.data)[0] == new


def test_the_window_is_what_the_memory_leaves() -> None:
    new = pair(13)[1]
    least = SMALL_FIXED + 2 * -(-len(new) // 2048)
    for room, window in ((least + WINDOW + 99, WINDOW), (least + 1000, 1000), (least + LEAST_WINDOW - 1, 0)):
        made = full(new, LAYOUT, Wish(SMALL, workspace=room))
        head = parse(made.data)[0]
        assert (head.flow, head.window) == (True, window)
        assert made.workspace <= room
        assert apply(b"", made.data, UNITS) == new
    assert full(new, LAYOUT).workspace <= 20480


def test_a_file_beside_the_old_image_goes_on_where_that_is_shorter() -> None:
    old, new = programs(14, 60)
    on, alone = (build(old, new, LAYOUT, Wish(SMALL, apart=True, flow=flow)) for flow in (True, False))
    assert len(on.data) <= len(alone.data)
    assert apply(old, on.data, UNITS) == new


def test_a_file_beside_the_old_image_copies_from_what_it_made() -> None:
    """New code that is like other new code, not like the old: half the image is there twice."""
    old, half = random.Random(16).randbytes(9000), random.Random(17).randbytes(4000)
    new = old[:3000] + half + old[3000:4500] + half[:3500] + old[4500:]
    made = build(old, new, LAYOUT, Wish(SMALL, apart=True))
    assert parse(made.data)[0].window >= 4000
    assert len(made.data) < 4400
    assert made.workspace <= 20480
    assert apply(old, made.data, UNITS) == new


def test_in_place_a_full_image_is_made_where_it_is_shorter() -> None:
    old, new = random.Random(18).randbytes(8000), programs(19, 60)[1]
    made = build(old, new, LAYOUT)
    assert made.kind == "full"
    assert simulate.rewrite(old, new, LAYOUT, made.data)[0] == new


def test_in_place_the_model_begins_anew_with_each_unit_and_copies_within_it() -> None:
    """A unit of two groups; the same noise twice within the first unit, and again in the next."""
    layout = small_layout(32768, sector=4096)
    old, half = random.Random(20).randbytes(12288), random.Random(21).randbytes(1500)
    new = half + old[:596] + half + old[3596:8192] + half + old[9692:]
    made = build(old, new, layout, Wish(SMALL))
    head = parse(made.data)[0]
    assert head.flow
    assert head.window > 0
    assert 2 * 1500 < len(made.data) < 2 * 1500 + 300
    assert apply(old, made.data, native.units(layout)) == new
    assert simulate.rewrite(old, new, layout, made.data)[0] == new


@pytest.mark.parametrize("profile", [0, 1, 3])
def test_nothing_goes_on_where_no_model_can(profile: int) -> None:
    old, new = pair(15)
    head, frames = parse(build(old, new, LAYOUT, Wish(profile)).data)
    data = pack(replace(head, flow=True), frames)
    assert data[5] & GOES_ON
    with pytest.raises(DataError):
        native.header(data, LAYOUT)
    with pytest.raises(DataError):
        parse(data)
