"""The wire as bytes: a pseudo-terminal or a serial port, and whoever answers on it. It knows how bytes come and go; it must
never know what they mean."""

from __future__ import annotations

import contextlib
import os
import select
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from neurath.errors import LinkError

#: Most bytes taken from the line at once.
PIECE = 4096


class Answers(Protocol):
    """Takes bytes of the line; what it has to say comes out of its own `put`."""

    def feed(self, data: bytes) -> None: ...


class Pty:
    """A pseudo-terminal: this side is the terminal's end of the wire, `name` is what a station opens.

    `link` is a symbolic link to it with a name that stays the same; closing takes it away again, which is what a pulled
    cable looks like from the other end.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._near, far = os.openpty()
        tty.setraw(far)
        tty.setraw(self._near)
        os.set_blocking(self._near, False)
        # Kept open, so that the line stays up while no tool has it open.
        self._far = far
        self.name = os.ttyname(far)
        self.link = link
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(self.name)

    def read(self, timeout: float) -> bytes:
        """What has come, at most after `timeout` seconds; empty when nothing did."""
        return _read(self._near, timeout)

    def write(self, data: bytes) -> None:
        _write(self._near, data)

    def close(self) -> None:
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        for handle in (self._near, self._far):
            with contextlib.suppress(OSError):
                os.close(handle)


class Port:
    """A serial port of this machine. LinkError where it cannot be opened or went away."""

    def __init__(self, name: str, baud: int = 115200) -> None:
        import serial  # the station extra brings it; a terminal without a wire does without

        self.name = name
        try:
            self._serial = serial.Serial(name, baudrate=baud, timeout=0)
        except (OSError, ValueError) as fault:
            raise LinkError(f"cannot open {name}", str(fault), "check the name and who may open it") from None

    def read(self, timeout: float) -> bytes:
        return _read(self._serial.fileno(), timeout)

    def write(self, data: bytes) -> None:
        _write(self._serial.fileno(), data)

    def close(self) -> None:
        self._serial.close()


Line = Pty | Port


def _read(handle: int, timeout: float) -> bytes:
    try:
        ready, _, _ = select.select([handle], [], [], timeout)
        return os.read(handle, PIECE) if ready else b""
    except BlockingIOError:
        return b""
    except (OSError, ValueError) as fault:
        raise LinkError("the wire is gone", str(fault), "plug it in again") from None


def _write(handle: int, data: bytes) -> None:
    """All of it; a peer that never reads loses what does not fit any more, as on a real line."""
    while data:
        try:
            _, ready, _ = select.select([], [handle], [], 1.0)
            if not ready:
                return
            data = data[os.write(handle, data) :]
        except BlockingIOError:
            continue
        except (OSError, ValueError) as fault:
            raise LinkError("the wire is gone", str(fault), "plug it in again") from None


def serve(line: Line, answers: Answers, until: Callable[[], bool], look: float = 0.05) -> None:
    """Feeds what comes on the line to whoever answers, until `until()` says so. Its `put` should be `line.write`."""
    while not until():
        data = line.read(look)
        if data:
            answers.feed(data)
