"""Waits until the process is told to end, by SIGINT or SIGTERM. It knows nothing of what ends; it must never wait on a lock: a
signal that comes to another thread, or a moment before the wait, is heard only after it, and a handler that takes the lock of
what it interrupted waits for ever."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from types import TracebackType
from typing import Self

TOLD = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """`heard`: whether the process was told. A context, in the first thread; the handlers from before come back after it."""

    def __init__(self) -> None:
        self.heard = False

    def __enter__(self) -> Self:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        # Written to by the C half of the signal's handler, whatever thread it comes to: who waits for it wakes.
        self._woken = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._hear) for number in TOLD}
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken)
        self._near.close()
        self._far.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the process is told to end, or for so long; whether it was told."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.heard:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            select.select([self._near], [], [], left)
            with contextlib.suppress(BlockingIOError):
                self._near.recv(64)  # other signals wake as well, and say nothing
        return self.heard

    def _hear(self, *_signal: object) -> None:
        self.heard = True
