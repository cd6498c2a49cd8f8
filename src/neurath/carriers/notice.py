"""What a notice says, whoever brings it: "check in now", or at a moment of your own choice within so many seconds. It knows
how to wait that long, once, however many notices come; it must never do anything else because of one."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable

#: No notice spreads check-ins over a longer time, seconds.
LONGEST = 86400.0
#: Whatever a broker or a server pours out, a check-in follows at most so often, seconds.
APART = 1.0


def within(data: bytes) -> float:
    """The seconds a notice gives; 0 where it gives none or says what is not known here. Never fails."""
    try:
        document = json.loads(data)
        given = float(document.get("within", 0)) if isinstance(document, dict) else 0.0
    except (ValueError, TypeError, RecursionError, OverflowError):
        return 0.0
    return min(max(given, 0.0), LONGEST) if given == given else 0.0


def draw() -> float:
    """A number from 0 up to 1, another one at every terminal."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


class Bell:
    """Calls `heard`, at once or at a random moment within the time a notice gives; never twice within `APART`. While one call
    is due another notice adds nothing, unless it is more urgent."""

    def __init__(self, heard: Callable[[], None], chance: Callable[[], float] | None = None) -> None:
        self._heard = heard
        self._chance = chance or draw
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = 0.0
        self._free = 0.0

    def ring(self, seconds: float = 0.0) -> None:
        """A notice came."""
        now = time.monotonic()
        with self._lock:
            due = max(now + seconds * self._chance(), self._free)
            if self._timer is not None:
                if self._due <= due or seconds > 0:
                    return
                self._timer.cancel()
                self._timer = None
            if due > now:
                self._due = due
                self._timer = threading.Timer(due - now, self._late)
                self._timer.daemon = True
                self._timer.start()
                return
            self._free = now + APART
        self._heard()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            self._free = time.monotonic() + APART
        self._heard()

    def close(self) -> None:
        """Rings no more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
