"""What may have changed since somebody looked: a number for each terminal that changes with every write that can concern it.
It knows who wrote, in this process or another; it must never miss a write. A needless change costs a reading, nothing else."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable

#: Whom a write concerns: everybody, unless it says otherwise; nobody, where only what is shown to people changes.
EVERYBODY = -1
NOBODY = 0

#: (changes that concern everybody, changes that concern this terminal).
Mark = tuple[int, int]


class Marks:
    """The marks of one store; what is its own, whichever the database."""

    def __init__(self) -> None:
        self._all = 0
        self._own: dict[int, int] = {}
        self._lock = threading.Lock()

    def of(self, terminal: int) -> Mark:
        """The mark of a terminal (its number) now: equal to an earlier one only if nothing was written that concerns it."""
        raise NotImplementedError

    def written(self, about: int) -> None:
        """A write has ended, well or badly."""
        with self._lock:
            if about == EVERYBODY:
                self._all += 1
            elif about != NOBODY:
                self._own[about] = self._own.get(about, 0) + 1


class LookedUp(Marks):
    """Those of a SQLite file. `writing` is held by whoever writes in this process; all its writes go through `connection`, so
    that its data_version changes when, and only when, somebody else wrote (SQLite, PRAGMA data_version)."""

    def __init__(self, connection: sqlite3.Connection, writing: threading.Lock) -> None:
        super().__init__()
        self._connection = connection
        self._writing = writing
        self._version = -1

    def of(self, terminal: int) -> Mark:
        # While this process writes, nobody else can; what they wrote just before is seen when the write has ended.
        if self._writing.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._writing.release()
        return self._all, self._own.get(terminal, 0)

    def _look(self) -> None:
        try:
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            version = -1  # whoever reads next meets the trouble itself
        if version != self._version or version == -1:
            self._version = version
            self.written(EVERYBODY)


class Heard(Marks):
    """Those of a database that tells who wrote: true while it is known to tell (`certain` says until when). A mark taken
    before a reading stands for what was read: a write that the reading missed is told after it."""

    def __init__(self, begin: Callable[[], object]) -> None:
        super().__init__()
        self._begin = begin
        self._certain = 0.0
        self._writes = 0

    def of(self, terminal: int) -> Mark:
        if time.monotonic() > self._certain:
            self._begin()  # to hear, if it was not begun
            self.written(EVERYBODY)  # nobody knows what was written: nothing that is kept stands
        return self._all, self._own.get(terminal, 0)

    def written(self, about: int) -> None:
        super().written(about)
        self._writes += 1

    def writes(self) -> int:
        """How many writes were heard of, this process's own included."""
        if time.monotonic() > self._certain:
            self._begin()
        return self._writes

    def certain(self, until: float) -> None:
        """Everything that is written is heard, up to this moment (time.monotonic)."""
        self._certain = until

    def lost(self) -> None:
        """What was written meanwhile is not known."""
        self._certain = 0.0
        self.written(EVERYBODY)
