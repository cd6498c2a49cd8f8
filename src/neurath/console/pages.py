"""The console as one: every page's routes on one desk. It knows which subjects there are; it must never know what any of them
shows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from neurath.console.assets import asset_routes
from neurath.console.deltas import deltas_routes
from neurath.console.desk import Desk
from neurath.console.frame import Frame
from neurath.console.interface import interface_routes
from neurath.console.keys import keys_routes
from neurath.console.live import Live
from neurath.console.overview import overview_routes
from neurath.console.people import people_routes
from neurath.console.questions import questions_routes
from neurath.console.rollouts import rollouts_routes
from neurath.console.software import software_routes
from neurath.console.stations import stations_routes
from neurath.console.terminal import terminal_routes
from neurath.console.terminals import terminals_routes
from neurath.console.trickle import trickle_routes

__all__ = ["Desk", "routes"]

#: In the order of the navigation; a list comes before one of its own.
SUBJECTS = (
    overview_routes,
    rollouts_routes,
    terminals_routes,
    terminal_routes,
    software_routes,
    deltas_routes,
    trickle_routes,
    questions_routes,
    stations_routes,
    keys_routes,
    people_routes,
    interface_routes,
)


def routes(desk: Desk, live: Live | None = None) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root."""
    frame, stream = Frame(desk), live or Live(desk.store)

    async def watch(request: Request) -> Response:
        del request
        return stream.respond()

    return [
        *(route for subject in SUBJECTS for route in subject(frame)),
        Route("/live", watch),
        *asset_routes(),
    ]
