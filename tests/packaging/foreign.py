"""An update by an agent that was installed from this tree's own wheel, on another processor: Debian for it in a folder of its
own, run under QEMU's user emulation. It knows how such a root is made and entered; minutes each, so `make assurance` only."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.sim.corpus import cache
from tests.journey.test_straight_path import ONE, prepared
from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
#: Debian's name of an architecture -> what Python calls the machine, where the emulator says so.
MACHINES = {"arm64": "aarch64", "armhf": "armv7l"}
LONG = 3600.0


@dataclass(frozen=True)
class Abroad:
    """A root for another processor."""

    root: Path

    def run(self, *words: str | Path, limit: float = 600.0) -> subprocess.CompletedProcess[str]:
        argv = ["chroot", str(self.root), *map(str, words)]
        clean = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        return subprocess.run(argv, env=clean, capture_output=True, text=True, timeout=limit, check=False)

    def inside(self, path: Path) -> Path:
        """The same file as it is called in there."""
        return Path("/") / path.relative_to(self.root)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder that is seen from both sides."""
        made = Path(tempfile.mkdtemp(dir=self.root, prefix="work-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def abroad(arch: str) -> Iterator[Abroad]:
    """The root with this tree's wheel in it, built there. There is one on this machine: it is nobody else's meanwhile."""
    for part in ("root", "mmdebstrap", "arch-test", "qemu-arm-static"):
        need(part)
    root = cache() / f"root-{arch}"
    words = ["bash", ROOT / "tools/foreign.sh", arch, root]
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONG, check=False)
        assert done.returncode == 0, done.stderr
        assert MACHINES[arch] in done.stdout, done.stdout
        yield Abroad(root)


def updates(arch: str, seed: int) -> None:
    """Cut in the rewrite by SIGKILL, then to its end: the bank holds the new image, and the server knows."""
    with abroad(arch) as land:
        _updates(land, arch, seed)


def _updates(land: Abroad, arch: str, seed: int) -> None:
    machine = land.run("/venv/bin/python", "-c", "import platform; print(platform.machine())").stdout.strip()
    assert machine == MACHINES[arch]
    with land.folder() as place, prepared("movehub", place, seed) as ground:
        words = ["/venv/bin/neurath", "agent", "run", "--server", ground.url, "--once", "--confirm", "boot", "--json"]
        words += ["--bank", land.inside(ground.bank(ONE)), "--model", land.inside(ground.vault / "model.toml")]
        words += ["--token", ground.tokens[ONE]]
        cut = land.run(*words, "--kill-at", "30")
        assert cut.returncode in (-9, 137), cut.stdout + cut.stderr
        assert not ground.runs_new(ONE)
        done = land.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ground.runs_new(ONE)
