"""The bank on Linux's own MTD: Debian's kernel on an emulated ARM board, its driver for NOR chips on SPI, the core as an ARM
program over /dev/mtd0. Power is taken from the whole board."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.flash.bank import Fate
from neurath.flash.geometry import simple_layout
from neurath.flash.native import Core, Nor
from tests.rigs import rewriter
from tests.rigs.board import CHIP, PATIENCE, SECTOR, Board, machine
from tests.terminal.world import image

pytestmark = [pytest.mark.heavy, pytest.mark.network]
WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
LAYOUT = simple_layout(500 * SECTOR, sector=SECTOR, scratch_sectors=9)
OLD = image(1, 32 * 1024)
#: Everything but the first and the last sectors changes.
NEW = OLD[:4096] + image(2, 24 * 1024) + OLD[28 * 1024 :]


@dataclass(frozen=True)
class Site:
    """One board and the bytes that its chip holds before the update."""

    folder: Path
    made: tuple[Path, Path]
    before: bytes

    @property
    def chip(self) -> Path:
        return self.folder / "chip"

    def fresh(self) -> None:
        self.chip.write_bytes(self.before)

    def run(self) -> list[str]:
        """One power-up that nobody disturbs."""
        with Board(self.folder, self.made, self.chip) as board:
            board.wait("end")
            board.cut()
        return board.said

    def seen(self) -> tuple[Fate, Core, Nor]:
        """What the host's core reads in a copy of the chip."""
        copy = self.folder / "copy"
        copy.write_bytes(self.chip.read_bytes())
        nor = Nor.file(LAYOUT, copy)
        core = Core(LAYOUT, nor)
        return core.power_up(), core, nor

    def begun(self, sectors: int) -> bool:
        """Whether so many sectors of the bank differ from what they were."""
        now, base = self.chip.read_bytes(), LAYOUT.bank[0].base
        places = range(base, base + len(OLD), SECTOR)
        return sum(now[at : at + SECTOR] != self.before[at : at + SECTOR] for at in places) >= sectors


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    assert LAYOUT.size == CHIP
    folder = tmp_path_factory.mktemp("board")
    job = rewriter.job(OLD, NEW, LAYOUT)
    init = rewriter.build(folder / "init", "arm-linux-gnueabihf-gcc", static=True)
    nor = Nor.file(LAYOUT, folder / "before", create=True)
    job.provision(nor)
    nor.write_raw(CHIP - 3, b"own")  # foreign to the image, and kept
    nor.close()
    return Site(folder, machine(folder, init, job.bytes()), (folder / "before").read_bytes())


@pytest.mark.xdist_group("board")
def test_a_bank_on_mtd_is_rewritten_in_place_and_confirmed(site: Site) -> None:
    site.fresh()
    assert "bank new" in site.run()
    fate, core, nor = site.seen()
    assert (fate, core.facts.candidate, core.bank_bytes(len(NEW))) == (Fate.BOOT, True, NEW)
    assert nor.read_raw(CHIP - 3, 3) == b"own"
    if WHOLE:
        assert "bank new" in site.run()
        assert not site.seen()[1].facts.candidate


@pytest.mark.xdist_group("board")
@pytest.mark.parametrize("sectors", range(1, 7) if WHOLE else (3,))
def test_power_taken_from_the_board_leaves_what_goes_on(site: Site, sectors: int) -> None:
    site.fresh()
    with Board(site.folder, site.made, site.chip) as board:
        end = time.monotonic() + PATIENCE
        while not site.begun(sectors):
            assert time.monotonic() < end
            assert "end" not in board.said, board.said
        board.cut()
    assert "end" not in board.said
    fate, core, _ = site.seen()
    assert fate in (Fate.FETCH, Fate.BOOT)
    assert core.bank_bytes(len(NEW)) != NEW or core.facts.candidate
    assert "bank new" in site.run()
    assert site.seen()[1].bank_bytes(len(NEW)) == NEW
