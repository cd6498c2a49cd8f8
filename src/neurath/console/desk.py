"""What every page of one console works with: the store, a clock, figures that are kept for a moment, and who can say why a
terminal stands where it stands. It must never hold a figure that cannot be read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from neurath.console import board
from neurath.console.board import Memory, Why
from neurath.console.sheet import templates
from neurath.errors import NeurathError
from neurath.server.fleet.figures import Wanted
from neurath.server.store import Store
from neurath.units import UnixTime


@dataclass(frozen=True, slots=True)
class Desk:
    """One console's desk."""

    store: Store
    why: Why
    clock: Callable[[], float] = time.time
    memory: Memory = field(default_factory=Memory)

    def warm(self) -> None:
        """Reads what the first page needs, so that the first visitor does not wait for it; what fails shows there."""
        with suppress(NeurathError):
            board.overview(self.store, Wanted(), self.why, UnixTime(self.clock()), self.memory)
        templates().get_template("overview.html")
