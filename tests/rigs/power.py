"""Takes the power from a program, and from all it started, ahead of any system call that changes a file system (power.c). It
knows how the rig is built and run; it must never know what the program is for."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.parts import absent, need

SOURCE = Path(__file__).with_name("power.c")
#: How the rig itself ends: it cut; what it watched was not over in time; it could not watch.
CUT, LATE, LOST = 137, 98, 99


@dataclass(frozen=True)
class Ran:
    """How a program ended and the calls it made; `cut`: power went ahead of the last of them."""

    code: int
    calls: list[str]

    @property
    def cut(self) -> bool:
        return self.code == CUT


@dataclass(frozen=True)
class Power:
    """The rig, built in a folder."""

    program: Path
    log: Path

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], at: int = 0) -> Ran:
        """Runs it with the power going ahead of call number `at`; 0: to its end. AssertionError where it is not over after
        five minutes (or POWER_SECONDS of its environment): it says what each of its processes was waiting for."""
        argv = [str(self.program), str(at), str(self.log), *words]
        done = subprocess.run(argv, cwd=cwd, env=dict(env), capture_output=True, timeout=600, check=False)
        if done.returncode == LOST:
            absent(f"programs cannot be watched on this machine (ptrace): {done.stderr[-300:]!r}")
        assert done.returncode != LATE, f"not over in time: {done.stderr.decode(errors='replace')[-2000:]}"
        return Ran(done.returncode, self.log.read_text(errors="replace").splitlines())


def build(folder: Path) -> Power:
    need("gcc")
    program = folder / "power"
    words = ["gcc", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-o", program, SOURCE]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Power(program, folder / "power.log")
