"""`neurath serve` as processes of their own: started, asked, killed, ended. It knows ports and processes; it must never reach
into one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(slots=True)
class Served:
    """One `neurath serve`, with what it said first."""

    process: subprocess.Popen[str]
    port: int
    data: Path

    def workers(self) -> list[int]:
        """Its processes that serve."""
        pid = self.process.pid
        try:
            return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def serve(data: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    line = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(data), "--port", "0", "--json", *words]
    own = os.environ | (env or {})
    # Into a file: a pipe that nobody reads is full after 64 KiB, and whoever writes to it stands still.
    with tempfile.TemporaryFile(mode="w+") as complaints:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=complaints, text=True, env=own)
        yield from _while_it_serves(process, data, complaints)


def _while_it_serves(process: subprocess.Popen[str], data: Path, complaints: IO[str]) -> Iterator[Served]:
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            process.wait(60)
            complaints.seek(0)
            raise RuntimeError(complaints.read())
        yield Served(process, int(json.loads(first)["port"]), data)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()
