"""Commands of an operator, each with an end: hooks before and after a switch, health checks, other programs that install. It
knows processes it started itself; it must never wait longer than it was told, nor leave one of them behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Bytes of what a command says that are kept.
MOST = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended: its code (None: it was ended at its limit, or could not be run) and the first line of what it
    said."""

    code: int | None
    text: str

    @property
    def good(self) -> bool:
        return self.code == 0


def run(words: Sequence[str], seconds: float, more: Mapping[str, str] | None = None) -> Said:
    """Runs a command in a process group of its own and waits; at its limit the whole group is ended."""
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | dict(more or {}),
        )
    except OSError as fault:
        return Said(None, f"{words[0]} cannot be run: {fault.strerror}")
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process)
        return Said(None, f"{words[0]} took longer than {seconds:g} s and was ended")
    lines = out[:MOST].decode(errors="replace").strip().splitlines()
    return Said(process.returncode, lines[0] if lines else "")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends the group of a process that leads one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)
