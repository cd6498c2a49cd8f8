"""The state log: an independent reader agrees with the core, cuts in a row never lose what was acted on, the vector holds."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import FlashError
from neurath.flash.geometry import Layout, simple_layout
from neurath.flash.native import KINDS, Core, Fate, Nor, PowerCut, Reset, Why
from tests.flash.crafted import RAM, edited, powered, provisioned, raw_file, small_layout, target_of
from tests.flash.logreader import Said, read_log, read_span

ROOT = Path(__file__).resolve().parent.parent.parent
OLD = random.Random(1).randbytes(30_000)


def said_by(nor: Nor) -> Said:
    layout = nor.layout
    first, second = (nor.read_raw(span.base, span.length) for span in layout.log)
    return read_log((first, second), layout.write_unit, layout.erased)


def agree(nor: Nor, core: Core) -> None:
    said, facts = said_by(nor).facts, core.facts
    image = facts.installed
    assert said["installed"] == (image.envelope, image.image, image.size, image.sequence, image.epoch)
    assert said.get("serial", 0) == facts.serial
    assert said["candidate"] == facts.candidate
    assert said["installs"] == facts.installs
    assert said["boots"] == facts.boots
    assert (said["commit"], said["done"], said["broken"]) == (facts.commit, facts.done, facts.broken)
    assert said["file_size"] == facts.target.file_size


@pytest.mark.parametrize(("write_unit", "erased"), [(1, 0xFF), (4, 0x00), (8, 0xFF), (16, 0xFF), (32, 0x00)])
def test_a_reader_written_from_the_page_agrees_with_the_core(write_unit: int, erased: int) -> None:
    layout = simple_layout(48 * 1024, write_unit=write_unit, erased=erased, scratch_sectors=4)
    nor = provisioned(layout, OLD)
    core = powered(layout, nor)
    image = OLD
    for turn in range(6):
        core.accept_serial(10 + turn)
        agree(nor, core)
        new = edited(image, turn, changes=8)
        file = raw_file(image, new, layout)
        core.rewrite(file, target_of(new, file, layout, sequence=turn + 2), RAM)
        agree(nor, core)
        core = Core(layout, nor)
        core.power_up(Reset.FAULT)
        agree(nor, core)
        core.confirm()
        agree(nor, core)
        image = new
    core.give_up(Why.DIGEST)
    agree(nor, core)
    assert nor.violations == 0


@given(st.binary(max_size=1024), st.sampled_from([1, 4, 8, 16, 32]))
def test_no_bytes_in_the_log_crash_the_core_or_the_reader(garbage: bytes, write_unit: int) -> None:
    layout = small_layout(512, write_unit=write_unit)
    nor = Nor.memory(layout)
    nor.write_raw(layout.log[0].base, garbage)
    assert Core(layout, nor).power_up() is Fate.RESTORE
    read_span(garbage.ljust(1024, b"\xff"), write_unit, 0xFF)


def test_a_thousand_cuts_in_a_row_never_lose_an_accepted_serial(seed: int) -> None:
    layout: Layout = small_layout(512)
    nor = provisioned(layout, OLD[:4000])
    rng = random.Random(seed)
    kinds = [kind for kind in KINDS if kind != "ghost"]
    safe = tried = 0
    for _ in range(1000):
        nor.power(rng.choice((0, 1, rng.randrange(2, 2**31))))
        nor.no_cut()
        core = Core(layout, nor)
        assert core.power_up() is Fate.BOOT
        # What was returned from is kept; what was cut may be there or not.
        assert safe <= core.facts.serial <= tried
        nor.cut_at(rng.randrange(32), rng.choice(kinds), rng.randrange(2**31))
        try:
            for _ in range(3):
                tried = max(tried, core.facts.serial + 1)
                core.accept_serial(core.facts.serial + 1)
                safe = core.facts.serial
        except PowerCut:
            continue
    assert nor.violations == 0
    assert safe > 100


def test_a_full_log_is_compacted_and_erases_stay_few() -> None:
    layout = simple_layout(48 * 1024)
    nor = provisioned(layout, OLD)
    core = powered(layout, nor)
    for serial in range(1, 1001):
        core.accept_serial(serial)
    assert powered(layout, nor).facts.serial == 1000
    erases = [nor.erases(span.base) for span in layout.log]
    assert sum(erases) <= 7
    assert nor.violations == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_span_that_takes_no_erase_costs_no_cell_a_second_program(again: bool) -> None:
    """Power was lost anywhere in the move of the log; then the span that comes next takes no erase. What is asked for again
    fails again, and what was set before that erase stays as it is, in both spans."""
    layout = small_layout(512)
    for cut in range(12):
        nor = provisioned(layout, bytes(range(200)))
        nor.cut_at(cut)
        with contextlib.suppress(PowerCut):
            powered(layout, nor).accept_serial(1)
        nor.no_cut()
        nor.power()
        said = [read_span(nor.read_raw(span.base, span.length), layout.write_unit, layout.erased) for span in layout.log]
        goes_by = said_by(nor)
        (idle,) = (span for span, of in zip(layout.log, said, strict=True) if of.generation != goes_by.generation)
        nor.fault(idle.base)
        core = powered(layout, nor)
        for serial in (7, 8, 9):
            with pytest.raises(FlashError):
                (powered(layout, nor) if again else core).accept_serial(serial)
            assert nor.violations == 0, cut
        assert said_by(nor).facts.get("serial", 0) == goes_by.facts.get("serial", 0)


def vector() -> dict[str, object]:
    layout = small_layout(512)
    nor = provisioned(layout, bytes(range(200)))
    core = powered(layout, nor)
    core.accept_serial(9)
    core.give_up(Why.UNCONFIRMED)
    active = nor.read_raw(layout.log[1].base, 512).rstrip(b"\xff")
    return {"write_unit": 8, "erased": 255, "span": active.hex(), "serial": 9, "broken": 2, "records": said_by(nor).records}


def test_the_vector_is_what_the_core_writes() -> None:
    kept = json.loads((ROOT / "vectors/statelog.json").read_text())
    assert json.loads(json.dumps(vector())) == kept
    said = read_span(bytes.fromhex(kept["span"]).ljust(1024, b"\xff"), 8, 0xFF)
    assert said.sealed
    assert (said.facts["serial"], said.facts["broken"]) == (9, 2)


@pytest.mark.parametrize("way", [{"joint": 6}, {"slide": True}], ids=["joint", "slide"])
def test_the_reader_agrees_with_the_core_after_cuts_where_units_wait_for_each_other(way: dict[str, int], seed: int) -> None:
    layout = simple_layout(28 * 1024, group=4096, scratch_sectors=6)
    image = OLD[: 7 * 4096]
    new = bytes(b ^ 0x3C for b in image)
    file = raw_file(image, new, layout, **way)
    resumed = 0
    for cut in range(0, 400, 7):
        nor = provisioned(layout, image)
        nor.cut_at(cut, "random", seed)
        with contextlib.suppress(PowerCut):
            powered(layout, nor).rewrite(file, target_of(new, file, layout), RAM)
        nor.no_cut()
        core = Core(layout, nor)
        if core.power_up() is Fate.FETCH:
            resumed += 1
            agree(nor, core)
            core.resume(file, RAM)
        if core.facts.candidate:  # a PLAN nothing was committed of means nothing, and stays where it is
            agree(nor, core)
        assert core.bank_bytes(len(new)) == (new if core.facts.candidate else image)
    assert resumed > 0
