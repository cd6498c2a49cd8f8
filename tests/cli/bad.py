"""What the bad-input table needs: a small world on disk, ways to be refused, and the rule for how a refusal looks."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "neurath.cli.main")
#: What a verb did until then may stand before it; the error itself is three lines, and the last ones.
THREE_LINES = re.compile(r"((?!error|  why|  try).*\n)*error NRT-\d{3}: .+\n  why   .+\n  try   .+\n")
#: Files that a server's store may change when it is only looked into.
LIVELY = ("-wal", "-shm", ".log", ".lock")


@dataclass(frozen=True, slots=True)
class Case:
    """One verb given one kind of bad input. Words in braces name things of the world; `disk` is what the disk still takes.
    `leaves` are files that may be left behind, `lives` files that a terminal at work may change."""

    name: str
    words: str
    code: int
    disk: int | None = None
    leaves: tuple[str, ...] = ()
    lives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Files of a test and a port nobody answers on, another somebody sits on."""

    folder: Path
    things: dict[str, str]

    def words(self, template: str) -> list[str]:
        return template.format_map(self.things).split()

    def run(self, words: list[str], disk: int | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """The verb, as a person would start it; with `disk`, no file may grow beyond so many bytes, as on a full disk."""

        def full() -> None:
            if disk is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))

        return subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, cwd=self.folder, preexec_fn=full, timeout=seconds, check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def held(self) -> dict[str, str]:
        """Digest of each file of the world, to see that nothing was lost."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.name.endswith(LIVELY):
                found[str(path.relative_to(self.folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What is wrong with a refusal: "" when it is three lines, the right code, and no traceback."""
    if "Traceback" in done.stderr or "Traceback" in done.stdout:
        return f"a traceback:\n{done.stderr[-1500:]}"
    if done.returncode != code:
        return f"exit code {done.returncode} instead of {code}: {done.stderr[-600:]}{done.stdout[-300:]}"
    if not THREE_LINES.fullmatch(done.stderr):
        return f"not three lines (what, why, try):\n{done.stderr[-1500:]}"
    return ""


def busy_port() -> tuple[socket.socket, int]:
    """A listening socket and its port; the caller closes it."""
    held = socket.create_server(("127.0.0.1", 0))
    return held, int(held.getsockname()[1])
