"""The flash disk of the emulated phone: what a cut leaves can be told without living through it again."""

from __future__ import annotations

import random
from pathlib import Path

from neurath.sim.nbd import TEARS, Cut, FlashDisk, left

SECTOR = 4096


def written(disk: FlashDisk, seed: int, count: int = 60) -> None:
    """Erases and programs as an emulator sends them, until the power goes."""
    dice = random.Random(seed)
    for _ in range(count):
        sector = dice.randrange(4) * SECTOR
        if dice.random() < 0.3:
            disk._write(sector, b"\xff" * SECTOR)
        else:
            at = sector + dice.randrange(0, SECTOR, 512)
            old = disk.data[at : at + 512]
            disk._write(at, bytes(o & n for o, n in zip(old, dice.randbytes(512), strict=True)))
        if disk.cut.is_set():
            return


def test_what_a_cut_leaves_is_the_same_as_if_the_power_had_gone_there(tmp_path: Path) -> None:
    flash = random.Random(1).randbytes(4 * SECTOR)
    whole = FlashDisk(tmp_path / "whole", flash, SECTOR)
    written(whole, 7)
    assert whole.illegal == 0
    for number in range(1, len(whole.operations) + 1):
        for tear in TEARS:
            cut = Cut(number, tear, seed=number)
            disk = FlashDisk(tmp_path / "cut", flash, SECTOR, cut)
            written(disk, 7)
            assert disk.cut.is_set()
            assert left(flash, whole.operations, cut) == bytes(disk.data), cut
            disk.close()
    whole.close()
