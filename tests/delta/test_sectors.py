"""What an update touches: exactly the sectors whose content changes, each erased once."""

from __future__ import annotations

import pytest

from neurath.delta import build, full, native, simulate
from neurath.delta.build import changed_sectors
from neurath.flash.geometry import Layout
from tests.delta.images import pair, small_layout


def rewritten(old: bytes, new: bytes, layout: Layout, data: bytes) -> dict[int, int]:
    """Erases of each sector of the bank, by image offset."""
    nor, core = simulate.terminal(old, layout)
    ram = native.need(layout, len(new), len(data), native.header(data, layout).workspace, staged_in_ram=False)
    core.rewrite(data, simulate.target(new, data, layout), ram)
    assert core.bank_bytes(len(new)) == new
    base = layout.bank[0].base
    return {at: nor.erases(base + at) for at in range(0, layout.bank_size, 1024)}


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_changed_sectors_are_erased_once_and_the_others_never(seed: int) -> None:
    old, new = pair(seed)
    layout = small_layout(16384)
    for before, after in ((old, new), (new, old)):
        erases = rewritten(before, after, layout, build(before, after, layout).data)
        for at, count in erases.items():
            part = after[at : at + 1024]
            assert count == (bool(part) and before[at : at + len(part)] != part), f"sector at {at}"
        assert sum(erases.values()) == changed_sectors(before, after, layout)


def test_a_full_image_over_a_bank_that_holds_most_of_it_rewrites_only_the_rest() -> None:
    old, _ = pair(34)
    new = bytearray(old)
    new[2500] ^= 1
    layout = small_layout(16384)
    erases = rewritten(old, bytes(new), layout, full(bytes(new), layout).data)
    assert [at for at, count in erases.items() if count] == [2048]
