"""The wire as bytes: a pseudo-terminal or a serial port, and whoever answers on it. It knows how bytes come and go; it must
never know what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from neurath.carriers.pty import Pty, read_some, write_all
from neurath.errors import LinkError


class Answers(Protocol):
    """Takes bytes of the line; what it has to say comes out of its own `put`."""

    def feed(self, data: bytes) -> None: ...


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
        return read_some(self._serial.fileno(), timeout)

    def write(self, data: bytes) -> None:
        write_all(self._serial.fileno(), data)

    def close(self) -> None:
        self._serial.close()


Line = Pty | Port


def serve(line: Line, answers: Answers, until: Callable[[], bool], look: float = 0.05) -> None:
    """Feeds what comes on the line to whoever answers, until `until()` says so. Its `put` should be `line.write`."""
    while not until():
        data = line.read(look)
        if data:
            answers.feed(data)
