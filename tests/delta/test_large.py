"""Profile 3: what the C encoder writes, the core and the slow oracle read; it goes on from group to group and after a cut;
nothing a file says makes the decoder crash; terminals that lend little never get it."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, native, simulate
from neurath.delta.apply import apply
from neurath.delta.format import MAX_SEGMENTS
from neurath.errors import NeurathError
from neurath.flash._core import ffi, lib
from neurath.flash.geometry import simple_layout
from neurath.flash.native import Core, Fate, PowerCut
from neurath.flash.profiles import LARGE_WORKSPACE
from neurath.flash.structs import c_layout
from tests.delta.images import small_layout
from tests.delta.programs import programs

LAYOUT = small_layout(16384)
UNITS = native.units(LAYOUT)
DATA = build(*programs(11, 20), LAYOUT, Wish(3, apart=True)).data


@pytest.mark.parametrize("apart", [True, False], ids=["beside the old image", "in place"])
@pytest.mark.parametrize("arm", [False, True], ids=["thumb", "arm"])
def test_core_and_oracle_decode_what_was_encoded_for_code(arm: bool, apart: bool) -> None:
    old, new = programs(random.Random(f"{arm} {apart}").randrange(10**6), 22, arm=arm)
    made = build(old, new, LAYOUT, Wish(3, apart=apart))
    assert native.header(made.data, LAYOUT).profile == 3
    assert apply(old, made.data, UNITS) == new


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_any_two_images_come_back(data: st.DataObject) -> None:
    old, new = data.draw(st.binary(max_size=300)), data.draw(st.binary(min_size=1, max_size=300))
    if old != new:
        made = build(old, new, LAYOUT, Wish(3, apart=data.draw(st.booleans())))
        assert apply(old, made.data, UNITS) == new


@given(seed=st.integers(0, 10**6), arm=st.booleans())
@settings(max_examples=6, deadline=None)
def test_code_that_changed_in_many_groups_comes_back_in_place_and_beside(seed: int, arm: bool) -> None:
    """build() tries what it made: rehearsed and rewritten in place, or decoded beside the old image."""
    old, new = programs(seed, 60, arm=arm)
    sizes = {(profile, apart): len(build(old, new, LAYOUT, Wish(profile, apart=apart)).data)
             for profile in (2, 3) for apart in (True, False)}  # fmt: skip
    assert sizes[3, True] < sizes[2, True]


def test_in_place_nothing_is_read_that_the_order_has_rewritten() -> None:
    """Nor taught: the core's rehearsal would refuse the file."""
    dice = random.Random(8)
    for seed in range(4):
        old, new = programs(seed, 40)
        blocks = [new[at : at + 96] for at in range(0, len(new), 96)]
        dice.shuffle(blocks)
        shuffled = b"".join(blocks)
        made = build(old, shuffled, LAYOUT, Wish(3))
        assert simulate.rewrite(old, shuffled, LAYOUT, made.data)[0] == shuffled


def test_a_cut_at_any_operation_goes_on_with_the_same_file() -> None:
    """Every commit unit decodes by itself, whatever was decoded before the cut."""
    old, new = programs(400, 140)
    made = build(old, new, LAYOUT, Wish(3))
    assert native.header(made.data, LAYOUT).units > 4
    ram, target = made.ram_needed(LAYOUT, staged_in_ram=False), simulate.target(new, made.data, LAYOUT)
    resumed, at = 0, 0
    while True:
        nor, core = simulate.terminal(old, LAYOUT)
        nor.cut_at(at, "early", seed=at)
        try:
            core.rewrite(made.data, target, ram)
            break
        except PowerCut:
            nor.no_cut()
            nor.power(at % 3)
        again = Core(LAYOUT, nor)
        if again.power_up() is Fate.FETCH:
            again.resume(made.data, ram)
            assert again.bank_bytes(len(new)) == new
            resumed += 1
        at += 7
    assert resumed > 5


def test_a_unit_is_refused_where_the_model_has_not_just_been() -> None:
    """Beside the old image the model goes on through the file: the second unit cannot be had without the first."""
    old, new = programs(12, 120)
    data = build(old, new, LAYOUT, Wish(3, apart=True)).data
    file, *_alive = native._file(data)
    ram = ffi.new("uint8_t[]", native.header(data, LAYOUT).workspace)
    unpack = ffi.new("struct nrt_unpack **")
    layout, lent = c_layout(LAYOUT), ffi.new("struct nrt_ram *", {"mem": ram, "len": len(ram)})
    assert lib.nrt_unpack_open(unpack, layout, file, lent[0]) == lib.NRT_OK
    sink = ffi.new("struct nrt_sink *")
    assert native.header(data, LAYOUT).units > 1
    assert lib.nrt_unpack_unit(unpack[0], ffi.NULL, 1, sink[0]) == lib.NRT_E_STATE


def test_broken_files_are_refused_or_decode_the_same_in_core_and_oracle() -> None:
    old, _new = programs(11, 20)
    dice = random.Random(2)
    slow = 0
    for _ in range(60):
        broken = bytearray(DATA)
        at = dice.randrange(14, len(DATA))
        broken[at] ^= 1 << dice.randrange(8)
        cut = bytes(broken[: dice.choice((len(DATA), at))])
        with contextlib.suppress(NeurathError):
            core = native.decode_apart(old, cut, LAYOUT)
            if slow < 3:
                slow += 1
                assert apply(old, cut, UNITS) == core


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_no_bytes_crash_the_decoder(tail: bytes) -> None:
    old, _new = programs(11, 20)
    with contextlib.suppress(NeurathError):
        native.decode_apart(old, DATA[:20] + tail, LAYOUT)


def test_only_who_lends_four_megabytes_gets_it() -> None:
    old, new = programs(13, 60)
    made = [
        build(old, new, LAYOUT, Wish(apart=True, workspace=room)) for room in (20480, LARGE_WORKSPACE - 1, LARGE_WORKSPACE)
    ]
    assert [native.header(m.data, LAYOUT).profile for m in made][2] == 3
    assert max(m.workspace for m in made[:2]) <= 21504
    assert len(made[2].data) < len(made[0].data)


def test_it_may_have_more_segments_and_still_fits_four_megabytes() -> None:
    dice = random.Random(3)
    blocks = [dice.randbytes(64) for _ in range(900)]
    old, new = b"".join(blocks), b"".join(dice.sample(blocks, len(blocks)))
    layout = simple_layout(len(old))
    made = build(old, new, layout, Wish(3, apart=True))
    assert native.header(made.data, layout).segments > MAX_SEGMENTS
    assert made.workspace <= LARGE_WORKSPACE
