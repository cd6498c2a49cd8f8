"""All processes that one command has started, whatever sessions they lead and whoever is their parent by now: those that
carry its mark in their environment, and their descendants. It must never end a process that the command did not start."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: The variable that carries the mark.
NAME = "NEURATH_RUN"
PROC = Path("/proc")


def living(mark: str) -> dict[int, str]:
    """Their numbers and how they were called."""
    parents, found = {}, set()
    for pid in _all():
        with suppress(OSError):
            # The name may hold brackets and spaces: what follows its last bracket are state and parent.
            state, parent = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[pid] = int(parent)
                if f"{NAME}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                    found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: _called(pid) for pid in found - {os.getpid()}}


def end(mark: str) -> dict[int, str]:
    """Ends them all; those that there were."""
    ended: dict[int, str] = {}
    until = time.monotonic() + 10
    while (left := living(mark)) and time.monotonic() < until:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended |= left
        time.sleep(0.05)  # what is killed takes a moment to go, and may have started one more
    return ended


def _all() -> Iterator[int]:
    return (int(one.name) for one in PROC.iterdir() if one.name.isdigit())


def _called(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
