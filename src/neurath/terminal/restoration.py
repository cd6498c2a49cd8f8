"""The terminal's end of the restoration wire: hands bytes of the line to the core's responder while all else goes on. It
knows a line, a lock and when a restoration began or ended; it must never decide what may be written (the core does)."""

from __future__ import annotations

import importlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from neurath.carriers.pty import Pty
from neurath.errors import LinkError, NeurathError
from neurath.flash.bank import Fate
from neurath.flash.trust import PublicKey
from neurath.flash.wire import Maker, SmpServer
from neurath.terminal.install import SingleBank
from neurath.terminal.machine import events as ev


def _public(seed: bytes) -> PublicKey:
    """Ed25519. What knows it is loaded when a station asks."""
    made: PublicKey = importlib.import_module("neurath.wire.keys").from_seed(seed).public
    return made


#: A terminal that is a Linux machine makes its key of the kernel's noise.
MAKER = Maker(lambda: os.urandom(32), _public)


class Line(Protocol):
    """One end of a wire (neurath.carriers.serial has two). LinkError where it went away."""

    def read(self, timeout: float) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Responder(Protocol):
    """The core's SMP server on one power-up (neurath.flash.wire)."""

    @property
    def fate(self) -> Fate: ...

    @property
    def reset(self) -> bool:
        """The tool asked for a restart."""
        ...

    @property
    def progress(self) -> tuple[int, int]:
        """(bytes of the package taken, bytes of the package); (0, 0) where none is under way."""
        ...

    def feed(self, data: bytes) -> None: ...


class Wire:
    """Serves one line in a thread of its own: identify is answered within moments whatever the terminal waits for. Every use
    of the core, here and elsewhere, holds `lock`."""

    def __init__(self, line: Line, lock: threading.RLock, look: float = 0.05) -> None:
        self.heard: queue.Queue[ev.Event] = queue.Queue()
        self.speaks = False
        self._line = line
        self._lock = lock
        self._look = look
        self._responder: Responder | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def attach(self, make: Callable[[Callable[[bytes], None]], Responder]) -> None:
        """A power-up: a new responder, given what it says its bytes with. What was heard before is of no meaning now."""
        with self._lock:
            self.speaks = False
            self._responder = make(self._line.write)
            while not self.heard.empty():
                self.heard.get_nowait()

    @property
    def progress(self) -> tuple[int, int]:
        """(bytes taken, bytes) of the restoration under way."""
        return (0, 0) if self._responder is None else self._responder.progress

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self._line.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data = self._line.read(self._look)
                if data:
                    self._take(data)
            except NeurathError as fault:
                self.heard.put(ev.LinkRefused(f"the wire: {fault.what}"))
                if isinstance(fault, LinkError):
                    return  # the line is gone

    def _take(self, data: bytes) -> None:
        with self._lock:
            responder = self._responder
            if responder is None:
                return
            before = responder.fate
            responder.feed(data)
            if not self.speaks and responder.progress[1] and before is not Fate.BOOT:
                self.speaks = True
                self.heard.put(ev.WireSpeaks())
            if responder.reset or (before is not Fate.BOOT and responder.fate is Fate.BOOT):
                self.heard.put(ev.Restored())


def serve(place: Path, bank: SingleBank, lock: threading.RLock) -> tuple[Wire, Callable[[ev.Fate], None]]:
    """The restoration wire as a pseudo-terminal of this name, and what gives it a new responder at each power-up."""
    wire = Wire(Pty(place), lock)

    def attach(fate: ev.Fate) -> None:
        wire.attach(lambda put: SmpServer(bank.core, bank.on_the_wire(), put, Fate(bank.fate.value), maker=MAKER))

    return wire, attach
