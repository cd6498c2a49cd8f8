"""Any number of power cuts on a small device: samples of the graph of flash states, and the whole of it in the assurance
tier."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from neurath.flash.native import Nor
from neurath.sim.power import Cuts, Story, walk
from tests.flash.crafted import small_layout
from tests.power.broken import STORIES, TRACED, story, swapped

ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"
DEVICES = list(itertools.product((512, 1024), (False, True), (0xFF, 0x00)))


def line(sector: int, ecc: bool, erased: int, cuts: Cuts) -> str:
    kind = "with ECC" if ecc else "without ECC"
    return (
        f"| 16 x {sector} B, {kind}, erased 0x{erased:02X} | {cuts.states:,} | {cuts.edges:,} | {cuts.old:,} | {cuts.new:,} "
        f"| {cuts.resumed:,} | {cuts.bricked} | {'yes' if cuts.closed else 'no'} | {cuts.seconds:.0f} |"
    )


def test_the_small_device_is_what_it_claims() -> None:
    for sector in (512, 1024):
        layout = small_layout(sector)
        nor = Nor.memory(layout)
        assert layout.size == 16 * sector == len(nor.read_raw(0, layout.size))
        assert (layout.group, layout.leaf, layout.bank_size) == (2 * sector, sector, 8 * sector)


@pytest.mark.parametrize("told", STORIES)
@pytest.mark.parametrize(("sector", "ecc", "erased"), DEVICES)
def test_any_number_of_cuts_ends_in_the_new_image(told: str, sector: int, ecc: bool, erased: int, seed: int) -> None:
    cuts = walk(replace(STORIES[told](sector, ecc=ecc, erased=erased), most=400, seed=seed, kinds=TRACED))
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert cuts.states == 400


@pytest.mark.parametrize("write_unit", [1, 4, 8, 16])
def test_two_cuts_in_a_row_with_narrow_write_units(write_unit: int, seed: int) -> None:
    cuts = walk(replace(story(512, write_unit=write_unit), depth=2, most=1500, seed=seed))
    assert cuts.bricked == 0, (cuts.harm, cuts.where)


def test_cuts_that_touch_nothing_are_walked_to_closure() -> None:
    cuts = walk(replace(story(512), kinds=("before",)))
    assert cuts.closed
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert cuts.old > 0
    assert cuts.resumed > 0
    assert cuts.new > 0


@pytest.mark.parametrize("told", STORIES)
def test_any_number_of_cuts_of_every_kind_with_a_trace_is_closed_on_one_device(told: str) -> None:
    """Metastable cells too: whatever a cut leaves may read either way at every power-up from then on."""
    cuts = walk(replace(STORIES[told](512, ecc=True, erased=0x00), kinds=TRACED))
    assert cuts.closed
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert min(cuts.old, cuts.new, cuts.resumed) > 0


@pytest.mark.parametrize(("depth", "kinds"), [(1, ("early", "late", "meta")), (2, ("early", "late"))])
@pytest.mark.parametrize("told", [story, swapped])
def test_states_walked_as_found_are_of_the_same_classes(
    told: Callable[..., Story], depth: int, kinds: tuple[str, ...]
) -> None:
    """The representatives hide nothing: walked byte for byte, cuts lead to the same classes of states."""
    short = walk(replace(told(512), depth=depth, kinds=kinds))
    whole = walk(replace(told(512), depth=depth, kinds=kinds, as_found=True))
    assert whole.states > 3 * short.states
    assert (whole.forms, whole.digest) == (short.forms, short.digest)
    assert short.bricked == whole.bricked == 0


#: With one cut that leaves no trace, wherever it falls, every sequence of so many is walked (decision 0018).
GHOSTLY = 3

if ASSURANCE:
    HEAD = "| device | states | cuts | boots old | boots new | goes on | bricks | closed | s |\n" + "|---" * 9 + "|\n"

    @pytest.mark.heavy
    @pytest.mark.parametrize("told", ["story", "swapped", "resumed"])
    @pytest.mark.parametrize(("sector", "ecc", "erased"), DEVICES)
    def test_any_number_of_cuts_is_closed(
        told: str, sector: int, ecc: bool, erased: int, figures: Callable[[str, str], None]
    ) -> None:
        cuts = walk(replace(STORIES[told](sector, ecc=ecc, erased=erased), kinds=TRACED))
        kind = {"swapped": "joint-", "resumed": "resume-"}.get(told, "") + ("ecc" if ecc else "plain")
        note = f"\nKinds: {', '.join(TRACED)}; any number of cuts; longest shortest path {cuts.deepest} cuts.\n"
        if told == "swapped":
            note += "Units swap places two by two: each pair is decoded, then committed at once.\n"
        if told == "resumed":
            note += f"Resume mode, no scratch: {cuts.rescued:,} power-ups found a sector open and got a file for it.\n"
        figures(f"power-{sector}-{kind}-{erased:02x}", HEAD + line(sector, ecc, erased, cuts) + "\n" + note)
        assert cuts.closed
        assert cuts.bricked == 0, (cuts.harm, cuts.where)

    @pytest.mark.heavy
    @pytest.mark.parametrize(("sector", "ecc", "erased"), DEVICES)
    def test_every_sequence_of_few_cuts_of_which_one_leaves_no_trace_is_walked(
        sector: int, ecc: bool, erased: int, figures: Callable[[str, str], None]
    ) -> None:
        cuts = walk(replace(story(sector, ecc=ecc, erased=erased), ghosts=1, depth=GHOSTLY))
        kind = "ecc" if ecc else "plain"
        note = f"\nAll kinds, every sequence of up to {GHOSTLY} cuts; one, anywhere, leaves no trace and shows later.\n"
        figures(f"power-ghost-{sector}-{kind}-{erased:02x}", HEAD + line(sector, ecc, erased, cuts) + "\n" + note)
        assert cuts.bricked == 0, (cuts.harm, cuts.where)
