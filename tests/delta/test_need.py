"""nrt_need(): the truth in both directions, with poisoned guard bytes behind the lent RAM."""

from __future__ import annotations

import random

import pytest

from neurath.delta import Wish, build, full, native, simulate
from neurath.errors import RefusedError
from neurath.flash import native as flash_native
from neurath.flash._core import ffi, lib
from neurath.flash.geometry import Layout, simple_layout
from tests.delta.images import pair, small_layout

GUARD = 4096


def prove_and_rewrite(old: bytes, new: bytes, layout: Layout, data: bytes, room: int, shift: int = 0) -> tuple[int, bool, int]:
    """Result of the core in exactly `room` bytes; whether the guard is whole; flash operations."""
    nor, core = simulate.terminal(old, layout)
    memory = ffi.new("uint8_t[]", b"\xa5" * (room + shift + GUARD))
    ram = ffi.new("struct nrt_ram *", {"mem": memory + shift, "len": room})[0]
    target = flash_native.c_target(simulate.target(new, data, layout))
    code = lib.nrt_host_rewrite(core.raw, nor.raw, data, len(data), target, ram)
    whole = bytes(ffi.buffer(memory + shift + room, GUARD)) == b"\xa5" * GUARD
    if code == lib.NRT_OK:
        assert core.bank_bytes(len(new)) == new
    return code, whole, nor.operations


CASES = [(kind, profile) for kind in ("delta", "full") for profile in (0, 1, 2, 3)]


@pytest.mark.parametrize(("kind", "profile"), CASES)
@pytest.mark.parametrize("shift", [0, 1, 7])
def test_with_exactly_need_the_update_runs_and_with_one_byte_less_it_is_refused(kind: str, profile: int, shift: int) -> None:
    old, new = pair(21)
    old = old if kind == "delta" else b""
    layout = small_layout(16384)
    made = build(old, new, layout, Wish(profile=profile)) if old else full(new, layout, Wish(profile=profile))
    room = made.ram_needed(layout, staged_in_ram=False)
    assert prove_and_rewrite(old, new, layout, made.data, room, shift)[:2] == (lib.NRT_OK, True)
    assert prove_and_rewrite(old, new, layout, made.data, room - 1, shift) == (lib.NRT_E_SPACE, True, 0)


def test_a_file_staged_in_ram_adds_itself_and_its_parity() -> None:
    layout = simple_layout(1 << 18)
    without = native.need(layout, 200_000, 30_000, 5000, staged_in_ram=False)
    assert native.need(layout, 200_000, 30_000, 5000, staged_in_ram=True) == without + 30_000 + lib.nrt_parity_size(30_000)
    assert native.need(layout, 200_000, 30_000, 5001, staged_in_ram=False) == without + 1


def test_the_page_of_need_gives_the_same_figure() -> None:
    """docs/spec/need.md, computed anew."""

    def up(n: int) -> int:
        return -(-n // 8) * 8

    layout = simple_layout(1 << 18)
    plan = 8 + 384 + up(16 * -(-200_000 // 4096)) + up(4 * 16) + up(2 * 16)
    assert native.need(layout, 200_000, 1, 0, staged_in_ram=False) == plan
    old, new = pair(22)
    for profile, model, each in ((0, 0, 12), (1, 4480, 12), (2, 12800, 14), (3, 3825664, 14)):
        made = build(old, new, layout, Wish(profile=profile))
        head = native.header(made.data, layout)
        tables = up(12 * head.segments) + up((each - 12) * head.segments) + up(2 * head.units)
        assert made.workspace == 8 + 896 + tables + model


def test_what_a_layout_cannot_take_at_all_is_refused() -> None:
    from dataclasses import replace

    from neurath.flash.geometry import Span

    layout = simple_layout(1 << 16)
    for image, where in ((0, layout), (1 << 20, layout), (1000, replace(layout, scratch=Span()))):
        with pytest.raises(RefusedError):
            native.need(where, image, 100, 5000, staged_in_ram=True)


def test_the_decoder_of_512_segments_takes_at_most_12_kib() -> None:
    workspace = 8 + 896 + 12 * 512 + 2 * 128 + 4480
    assert workspace <= 12 * 1024


def test_the_small_profile_takes_at_most_20_kib_however_much_there_is_to_copy() -> None:
    dice = random.Random(3)
    blocks = [dice.randbytes(64) for _ in range(900)]
    old, new = b"".join(blocks), b"".join(dice.sample(blocks, len(blocks)))
    made = build(old, new, simple_layout(len(old)), Wish(profile=2, apart=True))
    assert 17 * 1024 < made.workspace <= 20 * 1024
