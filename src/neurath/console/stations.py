"""Stations and restorations: which terminals need a wire, what stations did, and what rescues each model. It must never show
the stations' token."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console import board, shapes
from neurath.console.board import Record
from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.server.fleet import gateway
from neurath.server.fleet.figures import PAGE, Line, State
from neurath.server.fleet.gateway import Gateway
from neurath.server.software.models import find_model, list_models
from neurath.server.stock import TOKEN_FILE
from neurath.units import UnixTime

#: Records that are shown; all of them are in GET /api/v1/restorations.
MOST = 100


@dataclass(frozen=True, slots=True)
class Stations:
    """Who needs a wire, what stations sent, each model's rescue class ("": not known here), and the gateways at sites."""

    restorations: list[Line]
    records: list[Record]
    models: dict[str, str]
    gateways: list[Gateway]


def stations_routes(frame: Frame) -> list[BaseRoute]:
    """`/stations` and its twin."""
    desk = frame.desk

    def read(_request: Request, now: UnixTime) -> Stations:
        with desk.store.read() as db:
            counted = desk.memory.census.count(db, now)
            found = {name: find_model(db, name) for name in list_models(db)}
            return Stations(
                restorations=board.chosen(db, counted, counted.page(State.RESTORATION, 0, PAGE), now),
                records=board.records(db, MOST),
                models={name: one.rescue if one else "" for name, one in found.items()},
                gateways=gateway.everyone(db),
            )

    return frame.both(("/stations", "stations.html"), read, _shown)


def _shown(seen: Stations, sheet: Sheet) -> dict[str, object]:
    return {
        "title": sheet.t("Stations"),
        "section": "/stations",
        "seen": seen,
        "rescue": shapes.RESCUE_WORDS,
        "token_file": TOKEN_FILE,
    }
