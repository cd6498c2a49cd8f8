"""Whoever lends memory to an update: the arena of a chip, a share of a Linux machine. It knows how memory is asked for and
given back; it must never keep any of it. Contract: the tests of `reserve` and of `services`."""

from __future__ import annotations

import mmap
from typing import Protocol

from neurath.errors import RefusedError
from neurath.terminal.memory.reserve import Area, Shortfall


class Lender(Protocol):
    """Memory for one update at a time."""

    area: Area | None

    @property
    def lendable(self) -> int:
        """Bytes that could be secured at most."""
        ...

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of those that have left, wholly or in part, in the order of asking."""
        ...

    def free(self, amount: int) -> Area | Shortfall:
        """Secures so many bytes, or says by how much they fall short and leaves all as it was."""
        ...

    def view(self) -> memoryview:
        """The secured area itself."""
        ...

    def give_back(self) -> None:
        """Everyone who left comes back. Harmless when nobody left."""
        ...


class Budget:
    """A share of a machine's memory that nobody has to leave for: `size` bytes at most, taken when they are secured."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory: mmap.mmap | None = None
        self.area: Area | None = None

    @property
    def lendable(self) -> int:
        return self._size

    @property
    def asked(self) -> tuple[str, ...]:
        return ()

    def free(self, amount: int) -> Area | Shortfall:
        if self.area is not None:
            raise RefusedError("memory is secured already", f"{self.area.length} bytes", "give it back first")
        if amount > self._size:
            return Shortfall(amount - self._size)
        self.area = Area(0, amount)
        return self.area

    def view(self) -> memoryview:
        if self.area is None:
            raise RefusedError("no memory is secured", "", "secure it first")
        if self._memory is None:
            self._memory = mmap.mmap(-1, max(1, self.area.length))
        return memoryview(self._memory)[: self.area.length]

    def give_back(self) -> None:
        self._memory = None  # whoever still has a view keeps it; then it is gone
        self.area = None
