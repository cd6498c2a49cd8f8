"""The core on other processors: the same update, run as ARM programs under emulation, leaves the same flash byte for byte."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from neurath.flash.geometry import simple_layout
from neurath.flash.native import Nor
from tests.parts import need
from tests.rigs import rewriter
from tests.terminal.world import NEW, OLD

LAYOUT = simple_layout(24 * 1024, sector=4096)
#: compiler -> what runs its programs here, and the processor their ELF header names.
FOREIGN = {"aarch64-linux-gnu-gcc": ("qemu-aarch64-static", 183), "arm-linux-gnueabihf-gcc": ("qemu-arm-static", 40)}


def lives(program: list[str], folder: Path, before: bytes) -> tuple[list[str], str]:
    """Two power-ups: rewritten, then confirmed. What was said, and the digest of the whole flash."""
    flash, said = folder / "flash", []
    flash.write_bytes(before)
    for _ in range(2):
        done = subprocess.run([*program, folder / "job", flash], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout.splitlines()
    return said, hashlib.sha256(flash.read_bytes()).hexdigest()


@pytest.mark.heavy
@pytest.mark.parametrize("compiler", FOREIGN)
def test_an_update_in_place_by_a_foreign_processor_leaves_the_same_flash(compiler: str, tmp_path: Path) -> None:
    emulator = need(FOREIGN[compiler][0])
    job = rewriter.job(OLD, NEW, LAYOUT)
    (tmp_path / "job").write_bytes(job.bytes())
    nor = Nor.file(LAYOUT, tmp_path / "before", create=True)
    job.provision(nor)
    nor.close()
    before = (tmp_path / "before").read_bytes()
    foreign = rewriter.build(tmp_path / "foreign", compiler, static=True)
    assert int.from_bytes(foreign.read_bytes()[18:20], "little") == FOREIGN[compiler][1]
    here = lives([str(rewriter.build(tmp_path / "here"))], tmp_path, before)
    there = lives([emulator, str(foreign)], tmp_path, before)
    assert here == there
    assert here[0].count("bank new") == 2
