"""The delta matrix of a model: what the file from each release to each other costs in bytes, RAM and seconds. It shows what
was built; it must never have one built."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.flash.native import need
from neurath.server.software import catalog, cost
from neurath.server.software.cost import SPEEDS, Costs
from neurath.units import UnixTime


@dataclass(frozen=True, slots=True)
class Deltas:
    """The models that have images, and the costs of one of them; None where there is none."""

    models: list[str]
    costs: Costs | None


def deltas_routes(frame: Frame) -> list[BaseRoute]:
    """`/deltas` and its twin."""
    store = frame.desk.store

    def read(request: Request, _now: UnixTime) -> Deltas:
        with store.read() as db:
            models = sorted({str(one.model) for one in catalog.list_releases(db) if one.kind == catalog.IMAGE})
            model = request.query_params.get("model", "")[:64] or next(iter(models), "")
            return Deltas(models, cost.costs(db, model, need) if model else None)

    def told(seen: Deltas) -> dict[str, object]:
        return asdict(seen) | {"bytes_a_second": SPEEDS}

    return frame.both(("/deltas", "deltas.html"), read, _shown, told)


def _shown(seen: Deltas, sheet: Sheet) -> dict[str, object]:
    speeds = [f"{8 * speed / 1000:g} kbit/s" if speed < 125_000 else f"{8 * speed / 1e6:g} Mbit/s" for speed in SPEEDS]
    found = seen.costs
    return {
        "title": sheet.t("Deltas"),
        "section": "/deltas",
        "seen": seen,
        "speeds": speeds,
        "rows": [] if found is None else list(zip([*found.old, ""], found.cells, found.unbuilt, strict=True)),
        "heat": lambda cell, size: min(4, int(8 * cell.size / max(size, 1))),
    }
