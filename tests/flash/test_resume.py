"""Resume mode on one terminal: no scratch, each sector erased once; after a cut the file made for exactly what is there."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from neurath.delta import hybrid
from neurath.delta.format import parse
from neurath.errors import DataError, RefusedError
from neurath.flash import rescue
from neurath.flash.bank import Fate
from neurath.flash.native import Core, Nor, PowerCut
from neurath.sim.power import Story
from tests.flash.crafted import RAM, provisioned, raw_file, small_layout, target_of
from tests.power.broken import resumed


@cache
def told() -> Story:
    return resumed(512, write_unit=8)


def began(cut: int | None, kind: str = "early", file: bytes | None = None) -> tuple[Nor, Core]:
    """A terminal of the old image whose power goes at this operation of its rewrite."""
    s = told()
    nor = provisioned(s.layout, s.old)
    core = Core(s.layout, nor)
    assert core.power_up() is Fate.BOOT
    if cut is not None:
        nor.cut_at(cut, kind)
    data = file or s.file
    try:
        core.rewrite(data, target_of(s.new, data, s.layout), RAM)
    except PowerCut:
        nor.power()
        core = Core(s.layout, nor)
    return nor, core


def bank_erases(nor: Nor) -> list[int]:
    return [nor.erases(span.base + at) for span in nor.layout.bank for at in range(0, span.length, 512)]


def cuts(kind: str = "early") -> Iterator[tuple[Nor, Core, tuple[int, int]]]:
    """Every cut that leaves a sector torn."""
    for operation in range(200):
        nor, core = began(operation, kind)
        fate, ended = core.power_up(), core.facts.candidate
        if fate is Fate.FETCH and rescue.torn(core) is not None:
            yield nor, core, rescue.torn(core)
        if ended:
            return
    raise AssertionError("the rewrite does not end")


def test_without_a_cut_each_sector_that_changes_is_erased_once_and_no_other() -> None:
    nor, core = began(None)
    assert core.bank_bytes(len(told().new)) == told().new
    assert bank_erases(nor) == [1, 1, 1, 0, 1, 1, 1, 1]
    assert nor.violations == 0


@pytest.mark.parametrize("kind", ["before", "early", "late", "after"])
def test_a_cut_anywhere_costs_one_erase_of_the_sector_that_was_open(kind: str) -> None:
    s, seen = told(), 0
    for nor, core, torn in cuts(kind):
        seen += 1
        cure = next(c for c in s.cures if c.torn == torn[0])
        before = nor.operations
        assert Core(s.layout, nor).power_up() is Fate.FETCH
        assert nor.operations == before  # a power-up writes nothing
        core.rescue(cure.file, cure.target, RAM)
        assert core.bank_bytes(len(s.new)) == s.new
        assert core.facts.candidate
        assert not core.facts.plan_open
        spent = bank_erases(nor)
        assert spent[3] == 0
        assert max(spent) <= 2
        assert sum(spent) in (7, 8)
        assert nor.violations == 0
    assert seen > 10


def test_a_terminal_describes_its_bank_as_the_encoder_does() -> None:
    s = told()
    goal = hybrid.Goal(s.old, s.new, s.file)
    known = {left.torn[0]: left for left in hybrid.cuts(goal, s.layout) if left.torn}
    for _nor, core, torn in cuts("late"):
        said = rescue.description(core)
        assert said == hybrid.describe(known[torn[0]], s.layout.leaf)
        assert hybrid.recognise(said, goal, s.layout) == replace(known[torn[0]], said=said)


def test_a_file_that_owes_its_old_content_something_is_refused_and_a_full_image_goes_on() -> None:
    s = told()
    _nor, core, _torn = next(cuts("late"))
    with pytest.raises(DataError, match="could not go on") as refused:
        core.resume(s.file, RAM)
    assert refused.value.id == "NRT-232"
    whole = raw_file(s.old, s.new, s.layout, resume=True)
    torn = 0
    for operation in range(100):
        nor, core = began(operation, "early", whole)
        if core.power_up() is Fate.FETCH:
            torn += rescue.torn(core) is not None
            core.resume(whole, RAM)
            assert core.bank_bytes(len(s.new)) == s.new
            assert max(bank_erases(nor)) <= 2
    assert torn > 5


def test_only_the_file_for_this_very_hybrid_is_taken() -> None:
    s = told()
    _nor, core, torn = next(cuts("late"))
    for cure in s.cures:
        if cure.torn != torn[0]:
            with pytest.raises(DataError):
                core.rescue(cure.file, cure.target, RAM)
    mine = next(c for c in s.cures if c.torn == torn[0])
    with pytest.raises(DataError):
        core.rescue(s.file, told().target, RAM)  # not made for a hybrid
    assert len(parse(mine.file)[0].order) > 1
    core.rescue(mine.file, mine.target, RAM)


def test_a_file_for_a_hybrid_does_not_come_to_a_bank_that_is_whole() -> None:
    s = told()
    nor = provisioned(s.layout, s.old)
    core = Core(s.layout, nor)
    core.power_up()
    with pytest.raises(DataError):
        core.prove(s.cures[0].file, s.cures[0].target, RAM)
    with pytest.raises(RefusedError):
        core.rescue(s.cures[0].file, s.cures[0].target, RAM)


def test_a_map_that_does_not_allow_resume_mode_refuses_its_files() -> None:
    s = told()
    layout = replace(small_layout(512), resume=False)
    core = Core(layout, provisioned(layout, s.old))
    core.power_up()
    with pytest.raises(DataError):
        core.prove(s.file, target_of(s.new, s.file, layout), RAM)


def test_what_a_cut_left_open_is_rewritten_before_anything_else_whatever_is_to_come(seed: int) -> None:
    """On to a third image, of which every sector is new: the second cut leaves the same sector open, and never two."""
    s = told()
    other = random.Random(seed).randbytes(len(s.new))
    goal = hybrid.Goal(s.old, other, meant=s.new)
    later = 0
    for _nor, core, torn in cuts("late"):
        later += torn[0] % 1024 != 0  # not the first of its unit
        nor = core.nor
        file = hybrid.build(hybrid.recognise(rescue.description(core), goal, s.layout), goal, s.layout).data
        target = target_of(other, file, s.layout, sequence=3)
        before = nor.operations
        # Cut at the first erase of a bank sector: COMMIT is written by then, nothing is DONE.
        for operation in itertools.count():
            nor.cut_at(operation, "before")
            with pytest.raises(PowerCut):
                core.rescue(file, target, RAM)
            core = Core(s.layout, nor)
            assert core.power_up() is Fate.FETCH
            if core.facts.hybrid and core.facts.commit > 0:
                break
        assert rescue.torn(core) == torn
        assert nor.operations > before
        nor.no_cut()
        core.rescue(file, target, RAM)
        assert core.bank_bytes(len(other)) == other
        assert nor.violations == 0
    assert later > 3
