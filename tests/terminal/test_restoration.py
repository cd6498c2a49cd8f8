"""The terminal's end of the wire: bytes reach the responder while everything else goes on, and the machine hears of it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from neurath.flash.bank import Fate
from neurath.terminal.machine import events as ev
from neurath.terminal.restoration import Wire


class Cable:
    """A line of which the test holds the other end."""

    def __init__(self) -> None:
        self.inward: queue.Queue[bytes] = queue.Queue()
        self.outward: queue.Queue[bytes] = queue.Queue()
        self.closed = False

    def read(self, timeout: float) -> bytes:
        try:
            return self.inward.get(timeout=timeout)
        except queue.Empty:
            return b""

    def write(self, data: bytes) -> None:
        self.outward.put(data)

    def close(self) -> None:
        self.closed = True


class Echo:
    """A responder that answers everything; b"begin" begins a restoration, b"end" ends it."""

    def __init__(self, put: Callable[[bytes], None], fate: Fate) -> None:
        self._put = put
        self.fate = fate
        self.reset = False
        self.progress = (0, 0)

    def feed(self, data: bytes) -> None:
        if data == b"begin":
            self.progress = (0, 10)
        if data == b"end":
            self.fate = Fate.BOOT
        self._put(data)


def opened(fate: Fate) -> tuple[Cable, threading.RLock, Wire]:
    cable, lock = Cable(), threading.RLock()
    wire = Wire(cable, lock, look=0.01)
    wire.attach(lambda put: Echo(put, fate))
    return cable, lock, wire


def test_identify_is_answered_while_the_terminal_waits_for_something_else() -> None:
    cable, _, wire = opened(Fate.BOOT)
    began = time.monotonic()
    cable.inward.put(b"who")
    assert cable.outward.get(timeout=5) == b"who"
    assert time.monotonic() - began < 1
    assert wire.heard.empty()
    wire.close()
    assert cable.closed


def test_the_machine_hears_when_a_restoration_begins_and_ends() -> None:
    cable, _, wire = opened(Fate.FETCH)
    for word in (b"begin", b"more", b"end"):
        cable.inward.put(word)
    assert isinstance(wire.heard.get(timeout=5), ev.WireSpeaks)
    assert wire.speaks
    assert isinstance(wire.heard.get(timeout=5), ev.Restored)
    wire.attach(lambda put: Echo(put, Fate.BOOT))
    assert not wire.speaks
    wire.close()


def test_a_terminal_that_runs_its_image_is_not_said_to_be_restored() -> None:
    cable, _, wire = opened(Fate.BOOT)
    cable.inward.put(b"begin")
    assert cable.outward.get(timeout=5) == b"begin"
    assert not wire.speaks
    assert wire.heard.empty()
    wire.close()


def test_the_wire_waits_while_the_core_is_in_use() -> None:
    cable, lock, wire = opened(Fate.BOOT)
    with lock:
        cable.inward.put(b"who")
        time.sleep(0.1)
        assert cable.outward.empty()
    assert cable.outward.get(timeout=5) == b"who"
    wire.close()
