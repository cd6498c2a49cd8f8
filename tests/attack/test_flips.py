"""RAM that forgets after the checks: bits of the staged file, of the decoder's tables and of the proven leaves flip between
rehearsal and rewrite. No byte that was not proven reaches the bank; every sector is old or new."""

from __future__ import annotations

import random
from typing import Any

import pytest

from neurath.delta import build, native, simulate
from neurath.flash import native as flash_native
from neurath.flash._core import ffi, lib
from neurath.flash.native import Core, Nor
from tests.delta.images import pair, small_layout
from tests.parts import ASSURANCE

LAYOUT = small_layout(16384)
OLD, NEW = pair(300)
DATA = build(OLD, NEW, LAYOUT).data
ROOM = native.need(LAYOUT, len(NEW), len(DATA), native.header(DATA, LAYOUT).workspace, staged_in_ram=False)
TARGET = simulate.target(NEW, DATA, LAYOUT)


class Proven:
    """A terminal whose rehearsal has just succeeded; its staged file and its lent RAM are in our hands."""

    def __init__(self) -> None:
        self.nor, self.core = simulate.terminal(OLD, LAYOUT)
        self.file = ffi.new("uint8_t[]", DATA)
        held = ffi.new("struct nrt_bytes *", {"data": self.file, "size": len(DATA)})
        read = ffi.addressof(lib, "nrt_bytes_read")
        staged = ffi.new("struct nrt_file *", {"ctx": held, "size": len(DATA), "read": read})
        self.ram = ffi.new("uint8_t[]", ROOM)
        lent = ffi.new("struct nrt_ram *", {"mem": self.ram, "len": ROOM})
        target = flash_native.c_target(TARGET)
        self._alive = (held, lent, target, staged)
        self.words = (self.core.raw, staged, target, lent[0])
        assert lib.nrt_prove(*self.words) == lib.NRT_OK

    def rewrite(self) -> int:
        return int(lib.nrt_rewrite(*self.words))


def only_proven_sectors(nor: Nor, core: Core) -> None:
    bank = core.bank_bytes(LAYOUT.bank_size)
    for at in range(0, len(NEW), 1024):
        held, old, new = (part[at : min(at + 1024, len(NEW))] for part in (bank, OLD, NEW))
        assert held[: len(old)] == old or held[: len(new)] == new, f"sector at {at} holds bytes nobody proved"
    assert nor.violations == 0


def test_without_a_flip_the_rewrite_runs() -> None:
    proven = Proven()
    assert proven.rewrite() == lib.NRT_OK
    assert proven.core.bank_bytes(len(NEW)) == NEW


def spots(count: int, seed: int) -> list[int]:
    return list(range(count * 8)) if ASSURANCE else random.Random(seed).sample(range(count * 8), 150)


def test_a_bit_of_the_staged_file_that_flips_after_the_proof_never_reaches_the_bank() -> None:
    stopped = 0
    for bit in spots(len(DATA), 1):
        proven = Proven()
        proven.file[bit // 8] ^= 1 << bit % 8
        code = proven.rewrite()
        only_proven_sectors(proven.nor, proven.core)
        stopped += code < 0
    assert stopped > 20


@pytest.mark.parametrize("what", ["leaves"])
def test_a_bit_of_the_proven_leaves_that_flips_stops_the_rewrite(what: str) -> None:
    leaves = b"".join(simulate._leaf(NEW[at : at + 1024], 1024) for at in range(0, len(NEW), 1024))
    for place in range(0, len(leaves), 16):
        proven = Proven()
        start = bytes(ffi.buffer(proven.ram)).index(leaves)
        proven.ram[start + place] ^= 4
        assert proven.rewrite() < 0, what
        only_proven_sectors(proven.nor, proven.core)


def test_a_bit_of_the_copy_table_that_flips_after_the_proof_never_reaches_the_bank() -> None:
    from neurath.delta.apply import control_of
    from neurath.delta.format import parse

    table = b"".join(n.to_bytes(4, "little") for s in control_of(parse(DATA)[0]) for n in (s.at, s.source, s.length))
    stopped = 0
    for bit in spots(len(table), 2):
        proven = Proven()
        start = bytes(ffi.buffer(proven.ram)).index(table)
        flip(proven.ram, start * 8 + bit)
        stopped += proven.rewrite() < 0
        only_proven_sectors(proven.nor, proven.core)
    assert stopped > 20


def flip(memory: Any, bit: int) -> None:
    memory[bit // 8] ^= 1 << bit % 8
