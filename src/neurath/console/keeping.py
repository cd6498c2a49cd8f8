"""Figures that take long are kept for a moment, so that many open pages, and a store that changes all the time, cost no more
than a part of one processor. It knows how long each took; it must never keep what was quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

#: A figure is as old as this many times what it took, at most: a fifth of one processor.
TIMES = 4.0
#: What was had in less, seconds, is always had anew.
QUICK = 0.05

T = TypeVar("T")


@dataclass(slots=True)
class Keeping:
    """One console's figures. Safe in threads: whoever comes while a figure is made waits for it."""

    _kept: dict[str, tuple[float, object]] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def get(self, name: str, make: Callable[[], T], least: float = 0.0) -> T:
        """The figure of this name, made now or a moment ago; `least`: it may be so many seconds old in any case."""
        with self._locks.setdefault(name, threading.Lock()):
            kept = self._kept.get(name)
            if kept is not None and time.monotonic() < kept[0]:
                return cast(T, kept[1])
            began = time.monotonic()
            made = make()
            took = time.monotonic() - began
            self._kept[name] = began + took + max(least, TIMES * took if took > QUICK else 0.0), made
            return made
