"""Profile 2: what the C encoder writes, the core and the slow oracle read; fields of code are predicted; nothing a file says
makes the decoder crash."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, insight, native, simulate
from neurath.delta.apply import apply
from neurath.delta.assemble import Pair
from neurath.delta.build import matched
from neurath.delta.encoder import Encoder, Hints
from neurath.delta.format import parse
from neurath.delta.match import Segment
from neurath.errors import NeurathError
from neurath.flash.isas import ALL, ARM, THUMB
from tests.delta.images import small_layout
from tests.delta.programs import ADDRESS, RAM, programs

LAYOUT = small_layout(16384)
UNITS = native.units(LAYOUT)


@pytest.mark.parametrize("arm", [False, True])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=4, deadline=None)
def test_core_and_oracle_decode_what_was_encoded_for_code(arm: bool, seed: int) -> None:
    old, new = programs(seed, 24, arm=arm)
    made = build(old, new, LAYOUT, Wish(2))
    assert native.header(made.data, LAYOUT).profile == 2
    assert apply(old, made.data, UNITS) == new


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_two_images_come_back(data: st.DataObject) -> None:
    old, new = data.draw(st.binary(max_size=700)), data.draw(st.binary(min_size=1, max_size=700))
    if old != new:
        made = build(old, new, LAYOUT, Wish(2, apart=data.draw(st.booleans())))
        assert apply(old, made.data, UNITS) == new


@pytest.mark.parametrize("arm", [False, True])
def test_code_that_only_moved_costs_hardly_more_than_its_segments(arm: bool) -> None:
    """Every call, pointer, load and RAM word of the moved functions is predicted."""
    old, new = programs(5, 60, arm=arm)
    small, simple = (build(old, new, LAYOUT, Wish(profile, apart=True)).data for profile in (2, 1))
    assert len(small) < 0.8 * len(simple)


@pytest.mark.parametrize(("arm", "isa"), [(False, THUMB), (True, ARM)])
def test_instruction_set_address_and_growth_of_ram_are_found(arm: bool, isa: int) -> None:
    old, new = programs(6, 60, arm=arm)
    found, hints = matched(Pair(old, new), Wish(2), ALL)
    assert (hints.isa, hints.address) == (isa, ADDRESS)
    (start, by), (_end, nothing) = hints.shifts
    assert RAM + 0x7F0 <= start <= RAM + 0x880
    assert (by, nothing) == (12, 0)
    assert found


def test_noise_has_no_instruction_set() -> None:
    assert insight.look(random.Random(1).randbytes(30000)) == Hints()


def test_a_wrong_guess_about_the_code_only_costs_bytes() -> None:
    old, new = programs(7, 24)
    found, hints = matched(Pair(old, new), Wish(2), ALL)
    sizes = []
    for wrong in (hints, replace(hints, isa=ARM), replace(hints, address=0x1234), Hints()):
        encoder = Encoder(old, new, found, wrong)
        sizes.append(sum(len(encoder.group(at, min(at + 2048, len(new)))) for at in range(0, len(new), 2048)))
    assert min(sizes) == sizes[0] < sizes[-1]


def test_in_place_nothing_is_read_that_the_order_has_rewritten() -> None:
    """Copies among literals keep the rule too: the core's rehearsal would refuse the file."""
    dice = random.Random(8)
    for seed in range(6):
        old, new = programs(seed, 40)
        blocks = [new[at : at + 96] for at in range(0, len(new), 96)]
        dice.shuffle(blocks)
        shuffled = b"".join(blocks)
        made = build(old, shuffled, LAYOUT, Wish(2))
        assert simulate.rewrite(old, shuffled, LAYOUT, made.data)[0] == shuffled


def test_a_hint_of_length_zero_moves_targets_and_copies_nothing() -> None:
    old, new = programs(9, 24)
    table = [Segment(0, 64, 0), Segment(0, 0, 256), Segment(300, 400, 0)]
    encoder = Encoder(old, new, table, Hints(THUMB, ADDRESS))
    assert len(encoder.control()) > 0
    assert len(encoder.group(0, 2048)) > 0


def test_broken_files_are_refused_or_decode_the_same_in_core_and_oracle() -> None:
    old, new = programs(10, 20)
    data = build(old, new, LAYOUT, Wish(2, apart=True)).data
    dice = random.Random(2)
    for _ in range(40):
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


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_bytes_crash_the_decoder(tail: bytes) -> None:
    old, _new = programs(11, 20)
    data = DATA[:20] + tail
    with contextlib.suppress(NeurathError):
        native.decode_apart(old, data, LAYOUT)


DATA = build(*programs(11, 20), LAYOUT, Wish(2, apart=True)).data
