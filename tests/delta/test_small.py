"""What profile 2 has alone: its encoder finds out what the code is and keeps the order of an update in place. What it has in
common with profile 4: test_mapped.py."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from neurath.delta import Wish, build, insight, native, simulate
from neurath.delta.assemble import Pair
from neurath.delta.build import matched
from neurath.delta.encoder import Encoder, Hints
from neurath.delta.match import Segment
from neurath.flash.isas import ALL, ARM, THUMB
from tests.delta.images import small_layout
from tests.delta.programs import ADDRESS, RAM, programs

LAYOUT = small_layout(16384)
UNITS = native.units(LAYOUT)


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
