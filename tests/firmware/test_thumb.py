"""The shipped Thumb binary of the core on the NOR model of the host: an update keeps every rule of the chip and leaves the
flash the host's core leaves, cuts of every kind end in the new image, and faults of flash and RAM never in a bad one."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.delta.budget import Wish
from neurath.delta.build import build
from neurath.delta.simulate import target
from neurath.flash.bank import Fate, ImageRecord
from neurath.flash.geometry import model_from_toml
from neurath.flash.native import KINDS, Core, Nor, lib
from neurath.flash.profiles import QUICK, SIMPLE, SMALL
from neurath.sim.unicorn_cuts import Case
from neurath.sim.unicorn_rig import ORDER_BOOT, ORDER_CONFIRM, ORDER_UPDATE, Chip, Program, RuleError
from tests.parts import ASSURANCE, images, need

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parents[2]
PORT = ROOT / "examples" / "port-m3"
#: Who may have the bank read while an update is proven and written: old bytes come through nrt_old() alone; the others compare
#: what is written with what is there, and take the digest of the whole.
READERS = {"nrt_old", "nrt_plan_mark", "nrt_flash_same", "nrt_flash_program", "nrt_bank_hash"}
#: Instructions of rehearsal and rewrite together for each byte of the image.
GOAL = 800


@functools.cache
def binary(more: str = "") -> Program:
    """The example of the port guide, linked; `more` are further words for the compiler."""
    need("arm-none-eabi-gcc")
    out = ROOT / "out" / ("port-m3" + hashlib.sha256(more.encode()).hexdigest()[:8] * bool(more))
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["make", "-C", str(PORT), f"OUT={out}", f"MORE={more}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Program.of(out / "m3.elf")


def case_of(old: bytes, new: bytes, profile: int = SIMPLE, *, ecc: bool = False, program: Program | None = None) -> Case:
    layout = model_from_toml((PORT / "m3.toml").read_text()).layout
    delta = build(old, new, layout, Wish(profile=profile))
    wanted = replace(target(new, delta.data, layout), sequence=2)
    record = ImageRecord(hashlib.sha256(old).digest(), len(old), bytes(16), 1, 0)
    return Case(program or binary(), layout, old, new, delta.data, wanted, record, ecc)


@functools.cache
def small() -> tuple[bytes, bytes]:
    """Two images of 20 KiB that differ in three commit units."""
    old = random.Random(4).randbytes(20_000)
    new = bytearray(old)
    for at in (700, 9_000, 17_000):
        new[at : at + 90] = random.Random(at).randbytes(90)
    new[1_000:1_000] = new[15_000:15_200]
    return old, bytes(new[:20_100])


def updated(case: Case, nor: Nor) -> None:
    """The same by the host's build of the core."""
    Core(case.layout, nor).power_up()
    core = Core(case.layout, nor)
    core.power_up()
    core.prove(case.file, case.target, 24576)
    core.rewrite(case.file, case.target, 24576)
    core = Core(case.layout, nor)
    core.power_up()
    core.confirm()


@pytest.mark.parametrize("profile", [SIMPLE, QUICK, SMALL] if ASSURANCE else [SIMPLE])
def test_the_thumb_binary_keeps_the_rules_and_leaves_the_flash_that_the_host_leaves(
    profile: int, capsys: pytest.CaptureFixture[str]
) -> None:
    case = case_of(*small(), profile)
    chip = Chip(case.program, case.flash(), strict=True)
    told = case.live(chip)
    assert [t.fate for t in told] == [Fate.BOOT] * 3
    assert chip.readers <= READERS, chip.readers
    assert chip.nor.violations == 0
    stack = chip.stack(len(told) - 1)
    each = chip.instructions / len(case.new)
    with capsys.disabled():
        sys.stdout.write(f"\nprofile {profile}: {each:.0f} instructions a byte of the image, {stack} bytes of stack\n")
    assert stack < 2048
    assert profile == SMALL or each <= GOAL
    host = case.flash()
    updated(case, host)
    assert host.read_raw(0, case.layout.size) == chip.nor.read_raw(0, case.layout.size)


def test_the_quick_profile_takes_few_instructions_for_a_byte_of_a_real_image(capsys: pytest.CaptureFixture[str]) -> None:
    pair = images("movehub")
    most = len(pair.new) if ASSURANCE else 16_384
    case = case_of(pair.old[:most], pair.new[:most], QUICK)
    chip = Chip(case.program, case.flash(), strict=True)
    assert [told.fate for told in case.live(chip)] == [Fate.BOOT] * 3
    each = chip.instructions / len(case.new)
    with capsys.disabled():
        sys.stdout.write(f"\nquick: {each:.0f} instructions a byte of {len(case.new)}, {len(case.file)} bytes of file\n")
    assert each <= GOAL


@pytest.mark.parametrize("ecc", [False, True])
def test_a_cut_of_any_kind_ends_in_the_new_image_by_the_binary_itself(*, ecc: bool, seed: int) -> None:
    case = case_of(*small(), ecc=ecc)
    operations = case.operations()
    stride = 1 if ASSURANCE else -(-len(operations) // 3)
    found = list(case.cuts(operations, tuple(KINDS), range(seed % stride, len(operations), stride), seed))
    assert len(found) >= 2 * len(KINDS)
    assert any(cut.fetched for cut in found)


def test_single_cuts_of_a_real_pair_end_in_the_new_image(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every operation x kind in assurance (three quarters of an hour of processor time; NEURATH_OPERATIONS=100:200 takes
    these alone), one operation else."""
    pair = images("movehub")
    case = case_of(pair.old, pair.new)
    begun = time.process_time()
    operations = case.operations()
    first = seed % len(operations)
    begin, end = (int(n) for n in os.environ.get("NEURATH_OPERATIONS", f"0:{len(operations)}").split(":"))
    chosen, kinds = (range(begin, end), tuple(KINDS)) if ASSURANCE else (range(first, first + 1), ("early", "meta"))
    found = list(case.cuts(operations, kinds, chosen))
    assert {cut.number for cut in found} == set(chosen)
    with capsys.disabled():
        lives, asked = sum(cut.lives for cut in found), sum(cut.fetched > 0 for cut in found)
        sys.stdout.write(f"\n{len(chosen)} of {len(operations)} operations, {len(found)} cuts, {lives} power-ups, ")
        sys.stdout.write(f"{asked} asked for the file, {sum(cut.met for cut in found)} came to a state met before, 0 bricks, ")
        sys.stdout.write(f"{time.process_time() - begun:.0f} s\n")


def test_a_state_is_all_that_decides_what_comes_next() -> None:
    """Chips of one state are one chip to whoever cuts: flash, what its cells may read another day, RAM that somebody owns."""
    case = case_of(*small())
    operations = case.operations()
    states: dict[str, list[bytes]] = {}

    def told(name: str, *, seed: int = 1, mark: int = 0) -> bytes:
        nor = case.flash()
        chip = Chip(case.program, nor)
        states[name] = []
        chip.after = lambda: states[name].append(chip.state())
        if mark:
            nor.cut_at(0, "ghost", mark)
            assert lib.nrt_host_program(nor.raw, case.layout.bank[0].end - 256, bytes(4), 4) == lib.NRT_CUT
        case.live(chip, seed=seed)
        return hashlib.blake2b(b"".join(states[name])).digest()

    first = told("first")
    assert len(states["first"]) == len(set(states["first"])) == len(operations)
    assert told("again") == first
    assert told("RAM of another day", seed=5) != first
    assert not set(states["RAM of another day"]) & set(states["first"])
    assert told("a cell that may read otherwise", mark=3) != first


def test_a_watchdog_reset_anywhere_goes_on(seed: int) -> None:
    """RAM as it was, the processor from its first instruction."""
    case = case_of(*small())
    dice = random.Random(seed)
    for _ in range(6 if not ASSURANCE else 200):
        chip = Chip(case.program, case.flash())
        bitten = chip.power_up(ORDER_UPDATE, case.file, case.target, most=dice.randrange(100_000, 14_000_000))
        if bitten.cut:
            chip.power_up(ORDER_BOOT, case.file, case.target, seed=None)
        case.live(chip)


@pytest.mark.parametrize("silent", [False, True])
def test_a_sector_that_fails_is_never_booted_from(*, silent: bool) -> None:
    case = case_of(*small())
    bank = case.layout.bank[0]
    worn = next(o.at for o in case.operations() if o.at >= bank.base and not o.data)
    nor = case.flash()
    nor.fault(worn, silent=silent)
    chip = Chip(case.program, nor)
    said = chip.power_up(ORDER_UPDATE, case.file, case.target)
    assert said.result < 0
    for order in (ORDER_BOOT, ORDER_CONFIRM):
        said = chip.power_up(order, case.file, case.target, seed=order)
        assert said.fate is not Fate.BOOT or case.holds(nor, case.old), said


def test_a_bit_of_the_staged_file_that_flips_is_refused_before_anything_is_erased(seed: int) -> None:
    case = case_of(*small())
    bits = random.Random(seed).sample(range(8 * len(case.file)), 8)
    bank = case.layout.bank[0]
    for bit in bits:
        rotten = bytearray(case.file)
        rotten[bit // 8] ^= 1 << bit % 8
        chip = Chip(case.program, case.flash())
        assert chip.power_up(ORDER_UPDATE, bytes(rotten), case.target).result < 0
        assert not [o for o in chip.operations if bank.base <= o.at < bank.end]


def test_the_rig_sees_code_that_is_fetched_while_flash_is_busy() -> None:
    case = case_of(*small(), program=binary("-DIN_RAM="))
    with pytest.raises(RuleError, match="the processor stopped"):
        case.live(Chip(case.program, case.flash(), strict=True))


def test_the_rig_sees_a_load_from_the_bank_that_the_port_knows_nothing_of() -> None:
    case = case_of(*small())
    with pytest.raises(RuleError, match="past the port"):
        case.live(Chip(hidden(case.program), case.flash(), strict=True))


def hidden(program: Program) -> Program:
    """A binary whose port's read the rig cannot tell: its entry seems to lie elsewhere."""
    functions = tuple((b, s, {"flash_read": "ready", "ready": "flash_read"}.get(n, n)) for b, s, n in program.functions)
    return replace(program, functions=functions)
