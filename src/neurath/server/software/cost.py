"""What each update file that was built costs a terminal: bytes, RAM, and seconds at each speed of a link. It reads what was
built; it must never build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurath.flash.geometry import Layout, Model
from neurath.server.delivery.pace import IMPOSSIBLE
from neurath.server.software import catalog, hopeless
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.software.models import find_model
from neurath.server.store.tables import delta

#: Links that times are told for, bytes a second: 9.6 and 250 kbit/s, 10 Mbit/s.
SPEEDS = (1_200, 31_250, 1_250_000)
#: Releases of a model that are set against each other.
MOST = 12

Need = Callable[[Layout, int, int, int, bool], int]


@dataclass(frozen=True, slots=True)
class Cell:
    """The smallest file from one release to another: bytes, how many profiles it was built in, the RAM it takes (None: the
    memory map cannot take it), sectors it rewrites, and seconds at each of SPEEDS."""

    size: int
    profiles: int
    ram: int | None
    sectors: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """One model's releases, newest first, and the file that leads from each to each: `cells[i][j]` from `old[i]` to `new[j]`,
    None where none was built; the last row is the full image. `unbuilt`: in the same places why a build failed, or ""."""

    model: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    sizes: tuple[int, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    unbuilt: tuple[tuple[str, ...], ...]


def costs(db: Connection, name: str, need: Need) -> Costs:
    """The costs of a model; NotFound."""
    model = find_model(db, name)
    known = [one for one in catalog.list_releases(db, name) if one.kind == IMAGE][:MOST]
    built, failed = _built(db, known), hopeless.known(db, [one.image for one in known])
    cells, unbuilt = [], []
    for old in [*known[1:], None]:
        image = "" if old is None else old.image
        row = (None if old is one else _cell(built.get((image, one.image), []), one, model, need) for one in known)
        cells.append(tuple(row))
        unbuilt.append(tuple(failed.get((image, one.image), "") for one in known))
    versions = tuple(one.version for one in known)
    return Costs(name, versions[1:], versions, tuple(one.size for one in known), tuple(cells), tuple(unbuilt))


def _built(db: Connection, known: list[Release]) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    """(old, new) -> (bytes, workspace, sectors) of each file that was built."""
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    wanted = [one.image for one in known]
    for row in db.execute(select(delta).where(delta.c.new.in_(wanted), delta.c.size > 0)):
        found.setdefault((row.old, row.new), []).append((row.size, row.workspace, row.sectors))
    return found


def _cell(files: list[tuple[int, int, int]], new: Release, model: Model | None, need: Need) -> Cell | None:
    if not files:
        return None
    size, workspace, sectors = min(files)
    ram = IMPOSSIBLE if model is None else need(model.layout, new.size, size, workspace, True)
    return Cell(size, len(files), None if ram == IMPOSSIBLE else ram, sectors, tuple(size / speed for speed in SPEEDS))
