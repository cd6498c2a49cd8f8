"""Real firmware: update files small enough to be worth it, within the decoder's RAM, tried by the core in both directions."""

from __future__ import annotations

import lzma

import bsdiff4
import pytest

from neurath.delta import Wish, build
from neurath.flash.geometry import simple_layout
from neurath.flash.profiles import LARGE_WORKSPACE
from tests.parts import images

PAIRS = ("microbit", "greatfet", "primehub", "movehub")


@pytest.mark.network
@pytest.mark.parametrize("name", PAIRS)
def test_a_real_release_becomes_a_small_update_file_in_both_directions(name: str) -> None:
    pair = images(name)
    layout = simple_layout(max(len(pair.old), len(pair.new)))
    for old, new in ((pair.old, pair.new), (pair.new, pair.old)):
        delta = build(old, new, layout)
        assert len(delta.data) < len(lzma.compress(new)) * 0.6
        assert delta.workspace <= 20 * 1024
        assert delta.ram_needed(layout, staged_in_ram=False) < 24 * 1024


@pytest.mark.network
@pytest.mark.parametrize("apart", [True, False], ids=["beside the old image", "in place"])
@pytest.mark.parametrize("name", ["movehub", "technichub", "greatfet"])
def test_the_large_profile_is_never_larger_on_real_releases(name: str, apart: bool) -> None:
    """Each file was tried by the core; build() hands out no other."""
    pair = images(name)
    layout = simple_layout(max(len(pair.old), len(pair.new)))
    small, large = (build(pair.old, pair.new, layout, Wish(profile, apart=apart)) for profile in (2, 3))
    assert len(large.data) <= len(small.data)
    assert large.workspace <= LARGE_WORKSPACE


@pytest.mark.network
@pytest.mark.parametrize("name", PAIRS)
def test_without_the_order_of_one_bank_the_first_coder_keeps_pace_with_bsdiff(name: str) -> None:
    pair = images(name)
    layout = simple_layout(max(len(pair.old), len(pair.new)))
    apart = build(pair.old, pair.new, layout, Wish(apart=True))
    assert len(apart.data) < len(bsdiff4.diff(pair.old, pair.new)) * 1.05
