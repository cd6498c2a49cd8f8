"""The bank on a block device (a loop device): the same bytes as in a file, on the medium before anything goes on, whole blocks
only; and no device that cannot hold the memory map, or is somebody else's."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.errors import DataError
from neurath.flash.bank import Fate
from neurath.flash.geometry import Layout, Model, model_to_toml, simple_layout
from neurath.flash.native import Core, Nor
from neurath.ids import ModelName
from neurath.wire import keys, manifest
from tests.parts import need
from tests.rigs import rewriter
from tests.terminal.world import NEW, OLD

WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
LAYOUT = simple_layout(24 * 1024, sector=4096)
#: How a process may leave an operation, as core/ports/nor.h counts.
BEFORE, EARLY, AFTER = 1, 2, 4
#: O_DIRECT and O_DSYNC, octal, as the kernel shows them here.
DIRECT, DSYNC = os.O_DIRECT, os.O_DSYNC


@contextmanager
def loop(backing: Path, *, block: int = 512) -> Iterator[Path]:
    """A loop device over this file, for as long as it is needed."""
    losetup = [need("losetup"), "--find", "--show", "--sector-size", str(block), str(backing)]
    for _ in range(10):  # another test may take the one that was found
        made = subprocess.run(losetup, capture_output=True, text=True, check=False)
        if made.returncode == 0:
            break
    assert made.returncode == 0, made.stderr
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    need("loop")
    path = tmp_path / "chip"
    path.write_bytes(b"\xff" * LAYOUT.size)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewriter.build(tmp_path_factory.mktemp("host") / "rewriter")


def test_an_update_leaves_the_same_bytes_on_a_block_device_as_in_a_file(chip: Path) -> None:
    job = rewriter.job(OLD, NEW, LAYOUT)
    goal = rewriter.target(NEW, job.file, LAYOUT)
    with loop(chip) as device:
        for path in (device, chip.with_name("file")):
            nor = Nor.file(LAYOUT, path, create=path != device)
            job.provision(nor)
            core = Core(LAYOUT, nor)
            core.power_up()
            core.rewrite(job.file, goal, job.ram)
            core.confirm()
            assert core.bank_bytes(len(NEW)) == NEW
            assert (nor.violations, nor.operations > 100) == (0, True)
            nor.close()
    found = [chip.read_bytes(), chip.with_name("file").read_bytes()]
    assert found[0] == found[1]


def test_every_write_is_on_the_medium_before_it_returns(chip: Path) -> None:
    """O_DSYNC past the page cache, on the one descriptor that writes."""
    with loop(chip) as device:
        nor = Nor.file(LAYOUT, device)
        mine = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink() and os.readlink(one) == str(device)]
        assert len(mine) == 1
        text = Path(f"/proc/self/fdinfo/{mine[0].name}").read_text()
        flags = int(next(line for line in text.splitlines() if line.startswith("flags:")).split()[1], 8)
        assert flags & DIRECT
        assert flags & DSYNC
        nor.close()


@pytest.mark.heavy
def test_killed_in_any_operation_on_a_block_device_it_goes_on(chip: Path, program: Path, seed: int) -> None:
    job = rewriter.job(OLD, NEW, LAYOUT)
    plan = chip.with_name("job")
    plan.write_bytes(job.bytes())
    model = Nor.file(LAYOUT, chip.with_name("model"), create=True)
    job.provision(model)
    model.write_raw(LAYOUT.birth.base, b"foreign")
    model.close()
    before = chip.with_name("model").read_bytes()
    with loop(chip) as device:

        def life(*cut: int) -> int:
            done = subprocess.run(
                [program, plan, device, *map(str, cut)], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode in (0, -9), done.stdout
            return done.returncode

        def fresh() -> None:
            device.write_bytes(before)

        fresh()
        whole = Nor.file(LAYOUT, device)
        core = Core(LAYOUT, whole)
        core.power_up()
        core.rewrite(job.file, rewriter.target(NEW, job.file, LAYOUT), job.ram)
        operations = whole.operations
        whole.close()
        chance = random.Random(seed)
        cuts = range(operations) if WHOLE else sorted(chance.sample(range(operations), 12))
        fates = set()
        for at in cuts:
            fresh()
            assert life(at, chance.choice((BEFORE, EARLY, AFTER))) == -9
            if chance.random() < 0.3:
                life(chance.randint(0, 20), EARLY)  # and again, in what follows
            seen = Nor.file(LAYOUT, device)
            fate = Core(LAYOUT, seen).power_up()
            seen.close()
            fates.add(fate)
            assert fate in (Fate.BOOT, Fate.FETCH), f"cut in operation {at}"
            assert life() == 0
            after = chip.read_bytes()
            assert after[LAYOUT.bank[0].base :][: len(NEW)] == NEW, f"cut in operation {at}"
            assert after[LAYOUT.birth.base :][:7] == b"foreign"
        assert fates == {Fate.BOOT, Fate.FETCH}


def test_a_device_that_cannot_hold_the_map_is_refused_with_the_reason(chip: Path, tmp_path: Path) -> None:
    fine = simple_layout(24 * 1024, sector=1024, page=256, group=2048, leaf=1024, scratch_sectors=9)
    big = tmp_path / "big"
    big.write_bytes(b"\xff" * fine.size)
    with loop(chip) as device, loop(big, block=4096) as coarse:
        for layout, path, why in (
            (simple_layout(80 * 1024, sector=4096), device, "the memory map"),
            (fine, coarse, "at once"),
            (LAYOUT, Path("/dev/null"), "no flash"),
        ):
            with pytest.raises(DataError) as refusal:
                Nor.file(layout, path)
            assert why in refusal.value.why


def test_a_device_that_somebody_uses_is_left_alone(chip: Path) -> None:
    with loop(chip) as device:
        held = os.open(device, os.O_RDWR | os.O_EXCL)
        with pytest.raises(DataError) as refusal:
            Nor.file(LAYOUT, device)
        assert "in use" in refusal.value.why
        os.close(held)
        Nor.file(LAYOUT, device).close()


def test_the_factory_takes_a_blank_device_once(chip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model(ModelName("board"), LAYOUT, ram=64 * 1024)
    release = keys.from_seed(b"r" * 32)
    (tmp_path / "m.toml").write_text(model_to_toml(model))
    (tmp_path / "r.pem").write_bytes(keys.public_pem(release.public))
    (tmp_path / "old").write_bytes(OLD)
    (tmp_path / "old.env").write_bytes(manifest.sign(manifest.contents_of(OLD, model, sequence=1, version="1"), release))
    chip.write_bytes(os.urandom(LAYOUT.size - 3 * 4096).rjust(LAYOUT.size, b"\0"))  # what a new disk holds
    with loop(chip) as device:
        words = ["agent", "provision", "--bank", device, "--model", tmp_path / "m.toml", "--image", tmp_path / "old"]
        words += ["--envelope", tmp_path / "old.env", "--id", "t1", "--release-key", tmp_path / "r.pem"]
        assert main([str(word) for word in words]) == 0
        capsys.readouterr()
        assert main(["agent", "status", "--bank", str(device), "--model", str(tmp_path / "m.toml")]) == 0
        assert "whole" in capsys.readouterr().out
        before = chip.read_bytes()
        assert main([str(word) for word in words]) == 5
        assert chip.read_bytes() == before


def test_blocks_larger_than_a_page_are_written_with_what_lies_beside(chip: Path) -> None:
    """A 4 KiB block holds many records of the log; each program keeps the others."""
    layout: Layout = LAYOUT
    with loop(chip, block=4096) as device:
        nor = Nor.file(layout, device)
        core = Core(layout, nor)
        core.provision()
        core.power_up()
        for serial in range(1, 40):
            core.accept_serial(serial)
        nor.close()
        again = Nor.file(layout, device)
        core = Core(layout, again)
        core.power_up()
        assert core.facts.serial == 39
        again.close()
