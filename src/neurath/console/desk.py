"""What every page of one console works with: the store, a clock, figures that are kept for a moment, and who can say why a
terminal stands where it stands. It must never hold a figure that cannot be read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Thread

from neurath.console import board
from neurath.console.board import Memory, Why
from neurath.console.sheet import templates
from neurath.errors import NeurathError
from neurath.server.store import Store
from neurath.units import UnixTime

#: What was summed up before the first visitor came may be so old for him, seconds: he waits for the census no longer.
AT_START = 5.0


@dataclass(frozen=True, slots=True)
class Desk:
    """One console's desk."""

    store: Store
    why: Why
    clock: Callable[[], float] = time.time
    memory: Memory = field(default_factory=Memory)

    def warm(self) -> None:
        """Reads what the first page needs, so that the first visitor does not wait for it; what fails shows there. Terminals
        are counted while the database works out the figures beside them."""
        now = UnixTime(self.clock())
        beside = Thread(target=self._figures, args=(now,), daemon=True)
        beside.start()
        with suppress(NeurathError), self.store.read() as db:
            self.memory.census.count(db, now)
        templates().get_template("overview.html")
        beside.join()

    def _figures(self, now: UnixTime) -> None:
        with suppress(NeurathError), self.store.read() as db:
            board.sums(db, now, partial(self.memory.figures.get, least=AT_START))
