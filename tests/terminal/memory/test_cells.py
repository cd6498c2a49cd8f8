"""Control groups as files: version 2 as the kernel's documentation has it (cgroup-v2.rst), in a made-up tree, and freezing
in the real version 2 (why: docs/decisions/0234)."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from neurath.terminal.memory.cells import ROOT, Cell, available, own
from tests.parts import absent, need

MB = 1 << 20


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """A version 2 tree with one group `box/inner`: 100 MB used, 30 of them page cache, 160 allowed."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    inner = tmp_path / "box/inner"
    inner.mkdir(parents=True)
    (inner / "memory.current").write_text(f"{100 * MB}\n")
    (inner / "memory.max").write_text(f"{160 * MB}\n")
    (inner / "memory.high").write_text("max\n")
    (inner / "memory.reclaim").write_text("")
    (inner / "memory.stat").write_text(f"anon {70 * MB}\nfile {30 * MB}\ninactive_file {20 * MB}\nactive_file {10 * MB}\n")
    (inner / "cgroup.freeze").write_text("0\n")
    (inner / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    (tmp_path / "box/memory.current").write_text(f"{100 * MB}\n")
    (tmp_path / "box/memory.max").write_text("max\n")
    return tmp_path


def test_what_a_group_uses_is_without_its_page_cache_and_what_is_left_is_up_to_its_limit(unified: Path) -> None:
    cell = Cell("box/inner", unified)
    assert (cell.used, cell.left) == (70 * MB, 90 * MB)
    assert Cell("box", unified).left > 1 << 50  # "max"
    assert (Cell("nobody", unified).used, Cell("nobody", unified).limit()) == (0, None)


def test_the_least_of_all_groups_up_to_the_root_is_what_is_to_be_had(unified: Path, tmp_path: Path) -> None:
    about = tmp_path / "self"
    about.write_text("0::/box/inner\n")
    assert [cell.path for cell in own(unified, about)] == ["box/inner", "box"]
    (unified / "box/memory.max").write_text(f"{101 * MB}\n")
    assert min(cell.left for cell in own(unified, about)) == MB
    assert available(unified) > 0


def test_limiting_sets_high_and_reclaims_what_is_above(unified: Path) -> None:
    cell = Cell("box/inner", unified)
    before = cell.limit()
    assert before == (unified / "box/inner/memory.high", "max")
    cell.squeeze(10 * MB)
    assert (unified / "box/inner/memory.high").read_text() == str(10 * MB)
    assert (unified / "box/inner/memory.reclaim").read_text() == str(60 * MB)
    before[0].write_text(before[1])  # as the journal undoes it
    assert cell.limit() == before


def test_a_group_that_does_not_freeze_is_not_called_frozen(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurath.terminal.memory.cells._FREEZE_TIME", 0.2)
    cell, events = Cell("box/inner", unified), unified / "box/inner/cgroup.events"
    assert not cell.freeze()
    assert (unified / "box/inner/cgroup.freeze").read_text() == "1"
    monkeypatch.setattr("neurath.terminal.memory.cells._FREEZE_TIME", 60)
    later = threading.Timer(0.2, lambda: events.write_text("populated 1\nfrozen 1\n"))
    later.start()
    assert cell.freeze()
    later.join()


@pytest.mark.heavy
def test_a_real_group_of_version_2_stands_still_and_goes_on(tmp_path: Path) -> None:
    need("root")
    base = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
    if not (base / "cgroup.procs").exists():
        absent("no cgroup of version 2 is mounted here")
    cell = Cell(f"neurath-{secrets.token_hex(4)}")
    cell.unified.mkdir()
    beat = tmp_path / "beat"
    words = "import sys, time\nwhile True:\n open(sys.argv[1], 'a').write('x'); time.sleep(0.01)"
    process = subprocess.Popen([sys.executable, "-c", words, str(beat)])
    try:
        (cell.unified / "cgroup.procs").write_text(str(process.pid))
        until(lambda: beat.exists() and beat.stat().st_size > 3)
        assert cell.switch() == (cell.unified / "cgroup.freeze", "1", "0")
        assert cell.freeze()
        still = beat.stat().st_size
        time.sleep(0.3)
        assert beat.stat().st_size == still
        (cell.unified / "cgroup.freeze").write_text("0")
        until(lambda: beat.stat().st_size > still)
    finally:
        process.kill()
        process.wait(30)
        until(lambda: gone(cell.unified))


def gone(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def until(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
