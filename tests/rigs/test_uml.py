"""A kernel of the tests ends with everything it runs its own processes in."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.rigs import uml


def running(script: Path) -> list[int]:
    """The processes of the kernel that began with this script: each carries the line it was booted by."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            found += [int(pid)] if f"init={script}" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace") else []
    return found


@pytest.mark.heavy
def test_what_takes_too_long_inside_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended after 6 s"):
        uml.inside(tmp_path / "out", "sh", "-c", "sleep 600 & sleep 600", patience=6)
    ended = time.monotonic()
    while left := running(tmp_path / "out/init"):  # what was killed is there until it has given back its memory
        assert time.monotonic() - ended < 30, left
        time.sleep(0.1)


@pytest.mark.heavy
def test_what_it_says_and_how_it_ended_are_told(tmp_path: Path) -> None:
    assert uml.inside(tmp_path / "out", "echo", "here").strip() == "here"
    with pytest.raises(AssertionError, match="ended with 3"):
        uml.inside(tmp_path / "out", "sh", "-c", "exit 3")
