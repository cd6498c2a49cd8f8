"""The core on a NOR model in memory and in a file: the straight path, and what must never be touched."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from neurath.delta.format import Save
from neurath.delta.match import Segment
from neurath.errors import DataError, FlashError, RefusedError, TrustError
from neurath.flash.geometry import Layout, Span, simple_layout
from neurath.flash.native import Core, Fate, Nor, PowerCut, Reset, Why, write_bank
from tests.flash.crafted import (
    RAM,
    edited,
    packed_layout,
    powered,
    provisioned,
    raw_file,
    record_of,
    saved_images,
    small_layout,
    target_of,
)

OLD = random.Random(1).randbytes(100_000)
NEW = OLD[:30_000] + b"inserted" + OLD[30_000:]


def untouched(nor: Nor) -> bool:
    """Neither bank nor scratch was written to; a failed proof is counted in the state log alone."""
    starts = {r.base + i * r.size for r in nor.layout.regions for i in range(r.count)}
    log = {s for s in starts for span in nor.layout.log if span.base <= s < span.end}
    return all(nor.erases(s) == nor.programs(s) == 0 for s in starts - log)


@pytest.fixture
def layout() -> Layout:
    return simple_layout(128 * 1024)


def test_a_full_image_ends_in_the_new_image_unconfirmed_then_confirmed(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, NEW, layout)
    core = powered(layout, nor)
    core.rewrite(file, target_of(NEW, file, layout), RAM)
    assert core.bank_bytes(len(NEW)) == NEW
    assert core.facts.candidate
    assert core.facts.installs == 1
    core = Core(layout, nor)
    assert core.power_up() is Fate.BOOT
    core.confirm()
    assert core.facts.confirmed.image == hashlib.sha256(NEW).digest()
    assert nor.violations == 0


def test_a_proof_writes_nothing(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, NEW, layout)
    powered(layout, nor).prove(file, target_of(NEW, file, layout), RAM)
    assert nor.operations == 0


def test_a_quiet_power_up_writes_nothing(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    for _ in range(5):
        assert powered(layout, nor).facts.installed.size == len(OLD)
    assert nor.operations == 0


def test_each_changed_sector_is_erased_once_and_no_other(layout: Layout) -> None:
    new = bytearray(OLD)
    for at in (100, 50_000, 99_000):
        new[at] ^= 1
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, bytes(new), layout)
    powered(layout, nor).rewrite(file, target_of(bytes(new), file, layout), RAM)
    bank = layout.bank[0].base
    erased = {s: nor.erases(bank + s * 4096) for s in range(32)}
    assert {s for s, n in erased.items() if n} == {0, 50_000 // 4096, 99_000 // 4096}
    assert max(erased.values()) == 1
    scratch = sum(nor.erases(layout.scratch.base + s * 4096) for s in range(8))
    assert scratch == 3
    log = sum(nor.erases(span.base) for span in layout.log)
    assert log <= 2


def test_identity_survives_a_process(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "bank"
    nor = Nor.file(layout, path, create=True)
    write_bank(nor, OLD)
    Core(layout, nor).provision(record_of(OLD))
    nor.close()
    again = Nor.file(layout, path)
    assert powered(layout, again).facts.installed == record_of(OLD)
    with pytest.raises(DataError):
        Nor.file(simple_layout(64 * 1024), path)
    with pytest.raises(FileExistsError):
        Nor.file(layout, path, create=True)
    with pytest.raises(FileNotFoundError):
        Nor.file(layout, tmp_path / "absent")


def test_a_cut_file_continues_with_the_same_file_and_no_other(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, NEW, layout)
    core = powered(layout, nor)
    nor.cut_at(120, "early")
    with pytest.raises(PowerCut):
        core.rewrite(file, target_of(NEW, file, layout), RAM)
    core = Core(layout, nor)
    assert core.power_up() is Fate.FETCH
    assert core.facts.target == target_of(NEW, file, layout)
    other = raw_file(OLD, OLD, layout)
    with pytest.raises(DataError):
        core.resume(other, RAM)
    core = powered(layout, nor)
    core.resume(file, RAM)
    assert core.bank_bytes(len(NEW)) == NEW
    assert nor.violations == 0


def test_a_wrong_base_is_refused_before_any_write(layout: Layout) -> None:
    wrong = edited(OLD, 3)
    nor = provisioned(layout, wrong)
    file = raw_file(OLD, NEW, layout, segments=[Segment(0, 0, 20_000)])
    with pytest.raises(DataError):
        powered(layout, nor).rewrite(file, target_of(NEW, file, layout), RAM)
    assert untouched(nor)


def test_a_plan_that_reads_what_it_erased_is_refused_before_any_write(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    new = OLD[:20_000] + OLD[:16_000] + OLD[36_000:]
    file = raw_file(OLD, new, layout, segments=[Segment(20_000, 0, 16_000)])
    with pytest.raises(DataError):
        powered(layout, nor).rewrite(file, target_of(new, file, layout), RAM)
    assert untouched(nor)
    back = raw_file(OLD, new, layout, segments=[Segment(20_000, 0, 16_000)], order=list(range(6, -1, -1)))
    core = powered(layout, nor)
    core.rewrite(back, target_of(new, back, layout), RAM)
    assert core.bank_bytes(len(new)) == new


def test_units_of_one_commit_may_read_each_other_and_nobody_else() -> None:
    layout = simple_layout(48 * 1024, group=4096, scratch_sectors=2)
    old = random.Random(6).randbytes(5 * 4096)
    new = old[4096:8192] + old[:4096] + old[8192:]
    swap = [Segment(0, 4096, 4096), Segment(4096, 0, 4096)]
    refused = (
        raw_file(old, new, layout, segments=swap),
        raw_file(old, new, layout, segments=swap, order=(2, 0, 1), joint=2),
        raw_file(old, bytes(b ^ 1 for b in old), layout, joint=3),
    )
    for file in refused:
        nor = provisioned(layout, old)
        with pytest.raises((DataError, RefusedError)):
            powered(layout, nor).rewrite(file, target_of(new, file, layout), RAM)
        assert untouched(nor)
    file = raw_file(old, new, layout, segments=swap, order=(0, 1), joint=2)
    nor = provisioned(layout, old)
    core = powered(layout, nor)
    core.rewrite(file, target_of(new, file, layout), RAM)
    assert core.bank_bytes(len(new)) == new
    assert nor.erases(layout.bank[0].base) == nor.erases(layout.scratch.base) == 1


def test_where_a_plan_slides_a_unit_may_read_the_one_right_before_it_and_no_other() -> None:
    layout = simple_layout(48 * 1024, group=4096, scratch_sectors=2)
    old = random.Random(8).randbytes(4 * 4096)
    new = old[-4096:] + old[:-4096]
    round_ = [Segment(0, 3 * 4096, 4096), Segment(4096, 0, 3 * 4096)]
    narrow = simple_layout(48 * 1024, group=4096, scratch_sectors=1)
    refused = (
        (layout, raw_file(old, new, layout, segments=round_)),
        (layout, raw_file(old, new, layout, segments=round_, order=(1, 0, 2, 3), slide=True)),
        (layout, raw_file(old, new, layout, segments=round_, order=(0, 2, 1, 3), slide=True)),
        (narrow, raw_file(old, new, narrow, segments=round_, slide=True)),
    )
    for where, file in refused:
        nor = provisioned(where, old)
        with pytest.raises((DataError, RefusedError)):
            powered(where, nor).rewrite(file, target_of(new, file, where), RAM)
        assert untouched(nor)
    file = raw_file(old, new, layout, segments=round_, slide=True)
    nor = provisioned(layout, old)
    core = powered(layout, nor)
    core.rewrite(file, target_of(new, file, layout), RAM)
    assert core.bank_bytes(len(new)) == new
    assert {nor.erases(layout.bank[0].base + at) for at in range(0, 4 * 4096, 4096)} == {1}
    assert [nor.erases(layout.scratch.base + at) for at in (0, 4096)] == [2, 2]


def test_a_plan_that_slides_past_units_that_hold_the_new_bytes_already_is_done_all_the_same() -> None:
    layout = simple_layout(48 * 1024, group=4096, scratch_sectors=2)
    old = random.Random(9).randbytes(4 * 4096)
    new = old[:4096] + bytes(b ^ 1 for b in old[4096:8192]) + old[8192:12288] + bytes(b ^ 2 for b in old[12288:])
    file = raw_file(old, new, layout, slide=True)
    cut, ends = 0, set()
    while True:
        nor = provisioned(layout, old)
        nor.cut_at(cut, "late", cut)
        try:
            powered(layout, nor).rewrite(file, target_of(new, file, layout), RAM)
            break
        except PowerCut:
            nor.no_cut()
        core = Core(layout, nor)
        fate = core.power_up()
        if fate is Fate.FETCH:
            core.resume(file, RAM)
        ends.add((fate, core.bank_bytes(len(new)) == new))
        assert core.bank_bytes(len(new)) in (old, new)
        cut += 3
    assert ends == {(Fate.BOOT, False), (Fate.BOOT, True), (Fate.FETCH, True)}


def test_a_save_serves_old_bytes_after_their_sector_is_gone() -> None:
    layout = packed_layout()
    old, new, segment = saved_images()
    without = raw_file(old, new, layout, segments=[segment])
    nor = provisioned(layout, old)
    with pytest.raises(DataError):
        powered(layout, nor).rewrite(without, target_of(new, without, layout), RAM)
    file = raw_file(old, new, layout, segments=[segment], saves=[Save(0, 0)])
    for cut in range(0, 400, 7):
        nor = provisioned(layout, old)
        core = powered(layout, nor)
        nor.cut_at(cut, "random", cut)
        try:
            core.rewrite(file, target_of(new, file, layout), RAM)
        except PowerCut:
            core = Core(layout, nor)
            if core.power_up() is Fate.FETCH:
                core.resume(file, RAM)
            elif not core.facts.candidate:
                core.rewrite(file, target_of(new, file, layout), RAM)
        nor.no_cut()
        assert core.bank_bytes(len(new)) == new
        assert nor.violations == 0


def test_more_scratch_erases_than_changed_sectors_are_refused(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, NEW, layout, segments=[Segment(0, 0, 10)], saves=[Save(0, 0)])
    with pytest.raises(RefusedError):
        powered(layout, nor).rewrite(file, target_of(NEW, file, layout), RAM)
    assert untouched(nor)


def test_holes_and_foreign_areas_are_kept_byte_for_byte() -> None:
    layout = small_layout(1024)
    old = random.Random(2).randbytes(8 * 1024 - 300)
    new = random.Random(3).randbytes(8 * 1024 - 100)
    nor = provisioned(layout, old)
    hole = Span(layout.bank[0].end, 1024)
    tail = Span(layout.bank[1].end, layout.size - layout.bank[1].end)
    nor.write_raw(hole.base, bytes(range(256)) * 4)
    before = (nor.read_raw(hole.base, 1024), nor.read_raw(tail.base, tail.length))
    file = raw_file(old, new, layout)
    core = powered(layout, nor)
    core.rewrite(file, target_of(new, file, layout), RAM)
    assert core.bank_bytes(len(new)) == new
    assert (nor.read_raw(hole.base, 1024), nor.read_raw(tail.base, tail.length)) == before
    assert nor.violations == 0


def test_what_lies_behind_the_images_end_is_left_erased() -> None:
    layout = small_layout(512)
    old = random.Random(2).randbytes(8 * 512)
    new = random.Random(3).randbytes(7 * 512 + 100)
    nor = provisioned(layout, old)
    file = raw_file(old, new, layout)
    powered(layout, nor).rewrite(file, target_of(new, file, layout), RAM)
    end = layout.bank[1].end
    assert nor.read_raw(end - 512 + 104, 408) == b"\xff" * 408


def test_only_boots_that_end_by_a_fault_count(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    file = raw_file(OLD, NEW, layout)
    powered(layout, nor).rewrite(file, target_of(NEW, file, layout), RAM)
    for _ in range(5):
        assert Core(layout, nor).power_up(Reset.POWER) is Fate.BOOT
    assert Core(layout, nor).power_up(Reset.FAULT) is Fate.BOOT
    assert Core(layout, nor).power_up(Reset.FAULT) is Fate.BOOT
    core = Core(layout, nor)
    assert core.power_up(Reset.FAULT) is Fate.RESTORE
    assert core.facts.broken is Why.UNCONFIRMED
    core = Core(layout, nor)
    assert core.power_up() is Fate.RESTORE


def test_boots_of_a_confirmed_image_never_count(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    for _ in range(5):
        assert Core(layout, nor).power_up(Reset.FAULT) is Fate.BOOT
    assert nor.operations == 0


def test_a_serial_is_accepted_once(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    core = powered(layout, nor)
    core.accept_serial(5)
    for serial in (5, 4, 0):
        with pytest.raises(TrustError):
            core.accept_serial(serial)
    assert powered(layout, nor).facts.serial == 5


def test_a_blank_flash_asks_for_restoration(layout: Layout) -> None:
    core = Core(layout, Nor.memory(layout))
    assert core.power_up() is Fate.RESTORE
    assert core.facts.broken is Why.BLANK


@pytest.mark.parametrize("silent", [False, True])
def test_a_failing_sector_stops_the_rewrite_and_is_never_booted(layout: Layout, silent: bool) -> None:
    file = raw_file(OLD, NEW, layout)
    for sector in range(7, 25, 4):
        nor = provisioned(layout, OLD)
        nor.fault(layout.bank[0].base + sector * 4096, silent=silent)
        core = powered(layout, nor)
        with pytest.raises(FlashError):
            core.rewrite(file, target_of(NEW, file, layout), RAM)
        core = Core(layout, nor)
        assert core.power_up() is Fate.RESTORE
        assert core.facts.broken is Why.FLASH


def test_an_image_that_never_confirmed_may_when_it_is_tried_again_whenever_the_power_goes(layout: Layout) -> None:
    file = raw_file(OLD, NEW, layout)
    nor = provisioned(layout, OLD)
    powered(layout, nor).rewrite(file, target_of(NEW, file, layout), RAM)
    for _ in range(4):
        given_up = Core(layout, nor)
        fate = given_up.power_up(Reset.FAULT)
    assert (fate, given_up.facts.broken) == (Fate.RESTORE, Why.UNCONFIRMED)
    before, number = nor.read_raw(0, layout.size), nor.operations
    Core(layout, nor).power_up(Reset.FAULT)
    assert nor.operations == number, "another try that hung changed something"
    core = powered(layout, nor)
    core.confirm()
    for cut in range(nor.operations - number):
        nor.write_raw(0, before)
        core = powered(layout, nor)
        nor.cut_at(cut, "early")
        with pytest.raises(PowerCut):
            core.confirm()
        core = Core(layout, nor)
        fate = core.power_up()
        assert (fate, core.facts.broken) in ((Fate.RESTORE, Why.UNCONFIRMED), (Fate.BOOT, Why.NONE)), cut
        core.confirm()
        core = Core(layout, nor)
        assert core.power_up() is Fate.BOOT
        assert core.facts.confirmed.image == hashlib.sha256(NEW).digest()


def test_giving_up_is_remembered(layout: Layout) -> None:
    nor = provisioned(layout, OLD)
    powered(layout, nor).give_up(Why.DIGEST)
    core = Core(layout, nor)
    assert core.power_up() is Fate.RESTORE
    assert core.facts.broken is Why.DIGEST
    with pytest.raises(RefusedError):
        core.confirm()
