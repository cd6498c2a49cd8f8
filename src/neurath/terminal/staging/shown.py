"""A terminal's own list of what is under way in its staging directory, read from the files alone. It knows headers and
bitmaps; it must never write, so that looking costs an agent that runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neurath.errors import DataError
from neurath.terminal.staging.durable import RealDisk, heads
from neurath.terminal.staging.place import HEADER
from neurath.wire import trickle
from neurath.wire.trickle import About


@dataclass(frozen=True, slots=True)
class Shown:
    """One program that is gathering here: `pieces` of `total` pieces, header included, and `held` of `size` bytes of its file.
    Version and component are "" until its header is whole."""

    program: str
    component: str
    version: str
    pieces: int
    total: int
    held: int
    size: int

    @property
    def whole(self) -> bool:
        return self.held == self.size


def under_way(folder: Path) -> list[Shown]:
    """What trickled, or trickles, into a directory; [] where there is none."""
    if not folder.is_dir():
        return []
    known = {name: (size, piece, have) for name, size, piece, have in heads(folder)}
    found = []
    for name, (size, piece, have) in sorted(known.items()):
        if name[4:] == HEADER and have:
            data = RealDisk().read(folder / f"{name.hex()}.nru", 0, size)
            try:
                found.append(_one(name[:4], data, piece, known, have))
            except DataError:
                continue
    return found


def _one(program: bytes, head: bytes, piece: int, known: dict[bytes, tuple[int, int, int]], have: int) -> Shown:
    where = trickle.plan(head[:8], piece)
    about: About | None = None
    if have >= where.begin:
        about = trickle.about(head)
    _, _, pieces = known.get(about.file[:16], (0, piece, 0)) if about is not None else (0, piece, 0)
    return Shown(
        program=program.hex(),
        component=str(about.component) if about else "",
        version=str(about.version) if about else "",
        pieces=have + pieces,
        total=where.count,
        held=min(pieces * piece, where.size),
        size=where.size,
    )
