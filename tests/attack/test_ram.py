"""RAM that forgets between any two flash operations of a rewrite: a bit of the staged file or of the memory lent to the core
flips. Whatever that breaks, the terminal is old, new, or goes on with the same file: nothing else is ever booted, and nobody
has to come. Each case runs in a process of its own, for a bad pointer ends it as a fault ends a terminal's life."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from neurath.delta import build, hybrid, native, simulate
from neurath.delta.format import Save
from neurath.delta.match import Segment
from neurath.errors import NeurathError
from neurath.flash import native as flash_native
from neurath.flash import rescue
from neurath.flash._core import ffi, lib
from neurath.flash.bank import Fate
from neurath.flash.geometry import Layout, Span
from neurath.flash.native import Core, ImageRecord, Nor, write_bank
from neurath.ids import digest
from tests.delta.images import pair, small_layout
from tests.flash.crafted import RAM, packed_layout, raw_file, saved_images
from tests.parts import ASSURANCE

#: A unit is two sectors, and scratch holds one unit and no more: one sector too many would lie in the bank.
TIGHT = small_layout(16384, scratch_sectors=2)
#: Room for saves besides.
WIDE = small_layout(16384)


@dataclass(frozen=True)
class Case:
    """One update and where its lent RAM keeps what (byte offsets)."""

    layout: Layout
    old: bytes
    new: bytes
    data: bytes

    @property
    def room(self) -> int:
        header = native.header(self.data, self.layout)
        return native.need(self.layout, len(self.new), len(self.data), header.workspace, staged_in_ram=False)

    def blank(self) -> Nor:
        nor = Nor.memory(self.layout)
        write_bank(nor, self.old)
        Core(self.layout, nor).provision(ImageRecord(digest(self.old), len(self.old)))
        return nor

    def live(self, nor: Nor, region: str, after: int, bit: int) -> int:
        """One life: proof, then a rewrite in which this bit flips at the operation `after` ones on; the core's answer."""
        core = Core(self.layout, nor)
        core.power_up()
        file, ram = ffi.new("uint8_t[]", self.data), ffi.new("uint8_t[]", self.room)
        held = ffi.new("struct nrt_bytes *", {"data": file, "size": len(self.data)})
        read = ffi.addressof(lib, "nrt_bytes_read")
        staged = ffi.new("struct nrt_file *", {"ctx": held, "size": len(self.data), "read": read})
        lent = ffi.new("struct nrt_ram *", {"mem": ram, "len": self.room})
        target = flash_native.c_target(simulate.target(self.new, self.data, self.layout))
        words = (core.raw, staged, target, lent[0])
        assert lib.nrt_prove(*words) == lib.NRT_OK
        memory = {"file": file, "page": ffi.cast("uint8_t *", core.raw.page)}.get(region, ram)
        if region:
            nor.flip_at(after, memory, bit)
        return int(lib.nrt_rewrite(*words))

    def bits(self, region: str) -> range:
        """The bits of a region: the file, or where the plan keeps it in the lent RAM (core/src/old.c)."""
        leaves = -(-len(self.new) // self.layout.leaf) * 16
        units = len(native.units(self.layout))
        at = {"plan": 0, "leaves": 384, "changed": 384 + leaves}
        at["place"] = at["changed"] + (units * 4 + 7) // 8 * 8
        at["decoder"] = at["place"] + (units * 2 + 7) // 8 * 8
        if region == "file":
            return range(len(self.data) * 8)
        if region == "page":
            return range(self.layout.page * 8)
        ends = [*sorted(at.values()), self.room - 16]
        return range(at[region] * 8, ends[ends.index(at[region]) + 1] * 8)


def swapped() -> tuple[bytes, bytes, tuple[Segment, ...]]:
    """The first two commit units change places; and the copies that say so."""
    old = random.Random(8).randbytes(12 * 1024)
    new = old[2048:4096] + old[:2048] + old[4096:]
    return old, new, (Segment(0, 2048, 2048), Segment(2048, 0, 2048), Segment(4096, 4096, 8192))


@cache
def cases() -> dict[str, Case]:
    """One for each way a plan may go: unit by unit with all of scratch or with room to spare, sliding, with a save, two at
    once, and from RAM without scratch."""
    old, new = pair(300)
    one, other, copies = swapped()
    alone = replace(TIGHT, scratch=Span(), resume=True)
    packed = packed_layout()
    before, after, segment = saved_images()
    return {
        "tight": Case(TIGHT, old, new, build(old, new, TIGHT).data),
        "wide": Case(WIDE, old, new, build(old, new, WIDE).data),
        "slide": Case(WIDE, one, other, raw_file(one, other, WIDE, segments=copies, slide=True)),
        "saves": Case(packed, before, after, raw_file(before, after, packed, segments=[segment], saves=[Save(0, 0)])),
        "joint": Case(WIDE, one, other, raw_file(one, other, WIDE, segments=copies, joint=2)),
        "alone": Case(alone, old, new, build(old, new, alone).data),
    }


WAYS = ("tight", "wide", "slide", "saves", "joint", "alone")


@cache
def operations(name: str) -> int:
    """Erases and programs of the rewrite when nothing flips."""
    case = cases()[name]
    nor = case.blank()
    nor.forget()
    assert case.live(nor, "", 0, 0) == lib.NRT_OK
    return nor.operations


class Torn(AssertionError):  # noqa: N818 (what it is, not an error of ours)
    """A terminal that is neither old nor new nor resumable."""


def goes_on(case: Case, core: Core) -> None:
    """With the same file; where a sector was open without scratch, with the one made for what is there."""
    if rescue.torn(core) is None:
        core.resume(case.data, case.room)
        return
    goal = hybrid.Goal(case.old, case.new, case.data)
    file = hybrid.build(hybrid.recognise(rescue.description(core), goal, case.layout), goal, case.layout).data
    core.rescue(file, simulate.target(case.new, file, case.layout), RAM)


def outcome(case: Case, nor: Nor) -> str:
    """What the next power-up makes of this flash."""
    core = Core(case.layout, nor)
    fate = core.power_up()
    if fate is Fate.FETCH:
        goes_on(case, core)
        assert Core(case.layout, nor).power_up() is Fate.BOOT
        assert core.bank_bytes(len(case.new)) == case.new
        return "resumed"
    if fate is Fate.RESTORE:
        raise Torn(f"it needs a visit: {core.facts.broken.name}")
    size = core.facts.installed.size
    held = core.bank_bytes(size)
    if held not in (case.old, case.new):
        raise Torn("a bank is booted that is neither old nor new")
    return "new" if held == case.new else "old"


def after_flip(case: Case, chip: Path, flash: bytes, flip: tuple[str, int, int]) -> str:
    chip.write_bytes(flash)
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        signal.setitimer(signal.ITIMER_REAL, 3)  # the watchdog
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        try:
            case.live(Nor.file(case.layout, chip), *flip)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return outcome(case, Nor.file(case.layout, chip))


@pytest.mark.parametrize("name", WAYS)
def test_a_plan_that_forgets_how_far_it_goes_does_not_end_early(name: str, tmp_path: Path, seed: int) -> None:
    """Found at full count: a shorter plan ended as a bank to be judged, and a visit was needed."""
    case = cases()[name]
    flash = case.blank().read_raw(0, case.layout.size)
    dice = random.Random(f"{seed} {name}")
    last = operations(name)
    reach = lib.nrt_plan_reach()
    every = 1 if ASSURANCE else 5
    for field in ("n_order", "from", "joint", "slide", "resume", "n_saves"):
        for bit in range(dice.randrange(every), 32, every):
            for at in {0, 1, 2, 3, 4, *(dice.randrange(last) for _ in range(2 if every > 1 else 20))}:
                flip = ("plan", at, getattr(reach, field) * 8 + bit)
                try:
                    after_flip(case, tmp_path / "chip", flash, flip)
                except (AssertionError, NeurathError) as fault:
                    raise AssertionError(f"{name}: bit {bit} of {field} before operation {at}: {fault}") from fault


def samples(name: str, region: str, count: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """(region, operation, bit): under assurance twenty times as many."""
    dice = random.Random(f"{seed} {name} {region}")
    bits = cases()[name].bits(region)
    for _ in range(count * (20 if ASSURANCE else 1)):
        yield region, dice.randrange(operations(name)), dice.choice(bits)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("region", ["file", "leaves", "changed", "place", "plan", "decoder", "page"])
def test_a_bit_that_flips_between_two_operations_leaves_old_new_or_resumable(
    name: str, region: str, tmp_path: Path, seed: int
) -> None:
    case = cases()[name]
    blank = case.blank()
    flash = blank.read_raw(0, case.layout.size)
    seen: Counter[str] = Counter()
    for flip in samples(name, region, 8, seed):
        try:
            seen[after_flip(case, tmp_path / "chip", flash, flip)] += 1
        except (AssertionError, NeurathError) as fault:
            raise AssertionError(f"{name}: bit {flip[2]} of {region} before operation {flip[1]}: {fault}") from fault
    assert sum(seen.values()) >= 8


@pytest.mark.parametrize("name", ["tight", "slide"])
def test_every_bit_of_the_changed_mask_and_of_the_order_may_flip_right_after_the_proof(name: str, tmp_path: Path) -> None:
    case = cases()[name]
    flash = case.blank().read_raw(0, case.layout.size)
    for region in ("changed", "place"):
        for bit in list(case.bits(region))[:: 1 if ASSURANCE else 3]:
            assert after_flip(case, tmp_path / "chip", flash, (region, 0, bit)) in ("old", "new", "resumed"), (region, bit)
