"""The terminal's end of the restoration wire: hands bytes of the line to the core's responder while all else goes on. It
knows a line, a lock and when a restoration began or ended; it must never decide what may be written (the core does)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from neurath.errors import LinkError
from neurath.terminal import events as ev


class Line(Protocol):
    """One end of a wire (neurath.carriers.serial has two). LinkError where it went away."""

    def read(self, timeout: float) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Responder(Protocol):
    """The core's SMP server on one power-up."""

    @property
    def busy(self) -> bool:
        """A restoration was begun over this wire and is not finished."""
        ...

    @property
    def restored(self) -> bool:
        """A restoration ended with a whole bank."""
        ...

    @property
    def reset(self) -> bool:
        """The tool asked for a restart."""
        ...

    def feed(self, data: bytes) -> None: ...


class Wire:
    """Serves one line in a thread of its own: identify is answered within moments whatever the terminal waits for. Every use
    of the core, here and elsewhere, holds `lock`."""

    def __init__(self, line: Line, lock: threading.RLock, look: float = 0.05) -> None:
        self._line = line
        self._lock = lock
        self._look = look
        self._responder: Responder | None = None
        self._ended = threading.Event()
        self.heard: queue.Queue[ev.Event] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._said = False
        self._thread.start()

    def attach(self, make: Callable[[Callable[[bytes], None]], Responder]) -> None:
        """A power-up: a new responder, given what it is to say its bytes with."""
        with self._lock:
            self._said = False
            self._responder = make(self._line.write)

    @property
    def speaks(self) -> bool:
        """Somebody restores this terminal over the wire just now."""
        return self._said

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self._line.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data = self._line.read(self._look)
            except LinkError:
                return
            if data:
                self._take(data)

    def _take(self, data: bytes) -> None:
        with self._lock:
            responder = self._responder
            if responder is None:
                return
            responder.feed(data)
            if responder.busy and not self._said:
                self._said = True
                self.heard.put(ev.WireSpeaks())
            if responder.restored or responder.reset:
                self._responder = None
                self.heard.put(ev.Restored())
