"""A real control group of 256 MB with three hungry services in it, made for one test and taken away again."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from neurath.terminal.memory.cells import ROOT, Cell
from neurath.terminal.memory.services import Service
from tests.parts import absent, need

MB = 1 << 20
#: Holds its memory, and keeps what it was told in a file, which it reads again when it comes back.
HUNGRY = """
import os, pathlib, sys, time
size, data, cell = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
for one in cell:
    pathlib.Path(one).write_text(str(os.getpid()))
memory = bytearray(b"m") * size
data.with_suffix(".pid").write_text(str(os.getpid()))
count = 0
while True:
    count += 1
    data.with_suffix(".beat").write_text(str(count))
    time.sleep(0.02)
"""


class Cellar:
    """`limit` bytes for everybody in it. `join` puts a process into the group of the agent."""

    def __init__(self, place: Path, limit: int = 256 * MB) -> None:
        need("root")
        self.place = place
        self.name = f"neurath-{secrets.token_hex(4)}"
        self.folders: list[Path] = []
        self.services: list[Service] = []
        unified = (ROOT / "cgroup.controllers").exists()
        if unified and "memory" not in (ROOT / "cgroup.controllers").read_text().split():
            absent("the memory controller of cgroup v2 is not to be had here")
        self._make("")
        top = Cell(self.name)
        if unified:
            (ROOT / "cgroup.subtree_control").write_text("+memory")
            (top.unified / "memory.max").write_text(str(limit))
            (top.unified / "cgroup.subtree_control").write_text("+memory")
        else:
            (ROOT / "memory" / self.name / "memory.limit_in_bytes").write_text(str(limit))
        self.agent = self._make("agent")

    def _make(self, name: str) -> list[Path]:
        """A group in every hierarchy that counts; the files by which a process joins."""
        path = f"{self.name}/{name}".rstrip("/")
        unified = (ROOT / "cgroup.controllers").exists()
        found = [ROOT / path] if unified else [ROOT / "memory" / path, ROOT / "unified" / path]
        for folder in found:
            try:
                folder.mkdir()
            except OSError as fault:
                absent(f"control groups cannot be made here: {fault}")
            self.folders.append(folder)
        return [folder / "cgroup.procs" for folder in found]

    def hungry(self, name: str, priority: int, size: int, how: tuple[str, ...] = ("stop",)) -> Service:
        """A service that uses so many bytes, running."""
        data = self.place / f"{name}.data"
        data.write_text(f"what {name} knows")
        cells = self._make(name)
        start = [sys.executable, "-c", HUNGRY, str(size), str(data), *map(str, cells)]
        script = self.place / f"{name}.start"
        words = " ".join(f"'{word}'" for word in start)
        script.write_text(f"#!/bin/sh\nsetsid {words} >/dev/null 2>&1 &\n")
        stop = self.place / f"{name}.stop"
        stop.write_text(f"#!/bin/sh\nkill $(cat {data.with_suffix('.pid')}); rm -f {data.with_suffix('.pid')}\n")
        for one in (script, stop):
            one.chmod(0o755)
        made = Service(name, priority, f"{self.name}/{name}", how, stop=(str(stop),), start=(str(script),))
        self.services.append(made)
        subprocess.run([script], check=True)
        self.wait(lambda: self.pid(name) != 0 and Cell(made.cgroup).used >= size * 0.9)
        return made

    def pid(self, name: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.place / f"{name}.pid").read_text())
        return 0

    def beats(self, name: str, within: float = 30) -> bool:
        """Whether it runs: its counter moves within so many seconds."""

        def read() -> str:
            with contextlib.suppress(OSError):
                return (self.place / f"{name}.beat").read_text()
            return ""

        before = read()
        end = time.monotonic() + within
        while time.monotonic() < end:
            time.sleep(0.05)
            if read() not in (before, ""):
                return True
        return False

    def wait(self, true: object, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            assert time.monotonic() < end
            time.sleep(0.02)

    def end(self) -> None:
        for service in self.services:
            with contextlib.suppress(ProcessLookupError):
                if pid := self.pid(service.name):
                    os.kill(pid, signal.SIGKILL)
        for folder in reversed(self.folders):
            end = time.monotonic() + 5
            while folder.exists() and time.monotonic() < end:
                with contextlib.suppress(OSError):
                    for pid in (folder / "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    folder.rmdir()
                time.sleep(0.02)
