"""A person before a text screen: a program on a pseudo-terminal, what it draws kept as a terminal would show it. It knows keys
and cells; it must never know what is drawn."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyte

#: Seconds to wait for what has to come, on a machine that has much else to do.
PATIENCE = 120.0


class Screen:
    """A program of ours on a terminal of this size."""

    def __init__(self, words: list[str], log: Path, size: tuple[int, int] = (120, 30)) -> None:
        self._shown = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._shown)
        self._drawing = threading.Lock()
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        env = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        for name in ("NO_COLOR", "COLUMNS", "LINES"):  # a program believes them more than its terminal
            env.pop(name, None)
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=log.parent, start_new_session=True
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._drawing:
                self._stream.feed(data)

    def text(self) -> str:
        with self._drawing:
            return "\n".join(line.rstrip() for line in self._shown.display).rstrip() + "\n"

    def colour(self, column: int, row: int) -> str:
        """Background of one cell, six hex digits."""
        with self._drawing:
            return str(self._shown.buffer[row][column].bg)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, holds: Callable[[str], object]) -> str:
        """Waits until the screen shows it; gives the screen."""
        end = time.monotonic() + PATIENCE
        while not holds(found := self.text()):
            assert time.monotonic() < end, f"it never came; the screen shows:\n{found}"
            assert self.process.poll() is None, f"the program ended; the screen shows:\n{found}"
            time.sleep(0.02)
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        self._reader.join(5)
