"""A delta under a power cut at every flash operation: old, new, or the same file goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurath.delta import Delta, Wish, build, full, simulate
from neurath.flash.geometry import Span
from neurath.flash.native import Core, Fate, PowerCut
from tests.delta.images import pair, small_layout

WIDE = small_layout(16384)
#: Scratch for two of the four units: an update is more than one commit.
LAYOUT = replace(WIDE, scratch=Span(WIDE.scratch.base, 4096))
OLD, NEW = pair(400)
DELTA = build(OLD, NEW, LAYOUT)
FULL = full(NEW, LAYOUT)
TINY = build(OLD, NEW, LAYOUT, Wish(4, workspace=6144))


@pytest.mark.parametrize("made", [DELTA, FULL, TINY], ids=["delta", "full", "tiny"])
@pytest.mark.parametrize("kind", ["before", "early", "late", "after"])
def test_a_cut_at_any_operation_ends_in_old_new_or_goes_on_with_the_same_file(made: Delta, kind: str) -> None:
    data, ram = made.data, made.ram_needed(LAYOUT, staged_in_ram=False)
    target = simulate.target(NEW, data, LAYOUT)
    ends = {"old": 0, "new": 0, "resumed": 0}
    at = 0
    while True:
        nor, core = simulate.terminal(OLD, LAYOUT)
        nor.cut_at(at, kind, seed=at)
        try:
            core.rewrite(data, target, ram)
            break
        except PowerCut:
            nor.no_cut()
            nor.power(at % 3)
        ends[_end(Core(LAYOUT, nor), data, ram)] += 1
        at += 1
    assert ends["resumed"] > 20
    assert ends["old"] > 2


def _end(core: Core, data: bytes, ram: int) -> str:
    if core.power_up() is Fate.FETCH:
        core.resume(data, ram)
        assert core.bank_bytes(len(NEW)) == NEW
        return "resumed"
    held = core.bank_bytes(LAYOUT.bank_size)
    assert held.startswith((OLD, NEW))
    return "old" if held.startswith(OLD) else "new"
