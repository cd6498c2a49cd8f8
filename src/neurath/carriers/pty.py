"""A wire as a pseudo-terminal: how an agent on Linux offers its restoration wire. It knows how bytes come and go; it must
never know what they mean."""

from __future__ import annotations

import contextlib
import os
import select
import tty
from pathlib import Path

from neurath.errors import LinkError

#: Most bytes taken from the line at once.
PIECE = 4096


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
        return read_some(self._near, timeout)

    def write(self, data: bytes) -> None:
        write_all(self._near, data)

    def close(self) -> None:
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        for handle in (self._near, self._far):
            with contextlib.suppress(OSError):
                os.close(handle)


def read_some(handle: int, timeout: float) -> bytes:
    try:
        ready, _, _ = select.select([handle], [], [], timeout)
        return os.read(handle, PIECE) if ready else b""
    except BlockingIOError:
        return b""
    except (OSError, ValueError) as fault:
        raise LinkError("the wire is gone", str(fault), "plug it in again") from None


def write_all(handle: int, data: bytes) -> None:
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
