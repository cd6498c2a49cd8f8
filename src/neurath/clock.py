"""What time it is to all who work on one database: where servers are many, the database's clock, carried on between its
answers by one that nobody sets; where there is one machine, that machine's. It knows what it was told and when; it must never
ask anybody, and never judge a certificate: that is for the machine's own clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: A better answer is not waited for longer, seconds.
FRESH = 60.0
#: Beyond the doubt of both answers, seconds: then the other clock was set, or this machine slept.
STEP = 0.1


@dataclass(slots=True)
class Clock:
    """One process's. `local` is the machine's time of day, `runs` what counts seconds and is never set."""

    local: Callable[[], float] = time.time
    runs: Callable[[], float] = time.monotonic
    _ahead: float | None = None  # of `runs`
    _doubt: float = 0.0
    _since: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.local() if self._ahead is None else self.runs() + self._ahead

    def told(self, said: float, asked: float, answered: float) -> None:
        """Another clock said this between these two moments of `runs`. The answer that came fastest counts, until it is old
        or shown to be wrong."""
        ahead, doubt = said - (asked + answered) / 2, (answered - asked) / 2
        with self._lock:
            before = self._ahead
            if (
                before is None
                or doubt <= self._doubt
                or answered - self._since > FRESH
                or abs(ahead - before) > doubt + self._doubt + STEP
            ):
                self._ahead, self._doubt, self._since = ahead, doubt, answered


#: A process works on one database.
CLOCK = Clock()


def agreed() -> float:
    """The time of day that everybody on the same database goes by."""
    return CLOCK.now()
