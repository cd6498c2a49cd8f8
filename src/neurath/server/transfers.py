"""A file on its way to one terminal, as a plane remembers it between blocks. It knows a place and a count; it must never
open the file, nor decide who has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neurath.server.fleet.actions import Action


@dataclass(slots=True)
class Transfer:
    """A file on its way to one terminal, block by block; `action` None: by digest alone. `start` and `count` are the bytes
    that left and are not written down yet."""

    file: str
    path: Path
    size: int
    action: Action | None
    since: float
    start: int = 0
    count: int = 0
    noted: float = 0.0

    def count_in(self, start: int, count: int) -> None:
        """So many bytes from there on leave."""
        if not self.count:
            self.start = start
        self.count += count
