"""What is on its way in pieces, program by program and terminal by terminal, and the button that reminds a user. It must never
show a day that the ledger's pace does not bear out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from neurath.console import shapes, words
from neurath.console.frame import Fields, Frame
from neurath.console.sheet import Sheet, message
from neurath.console.terminal import named
from neurath.server.fleet import access, remind, underway
from neurath.server.fleet.underway import Run
from neurath.units import UnixTime

#: Lines of the page; the rest are in its twin.
MOST = 500


def trickle_routes(frame: Frame) -> list[BaseRoute]:
    """`/trickle`, its twin, and the reminder of one terminal's user."""
    store = frame.desk.store

    def read(_request: Request, now: UnixTime) -> list[Run]:
        with store.read() as db:
            return underway.runs(db, now)

    async def reminded(request: Request, _fields: Fields) -> Response:
        sheet = frame.sheet(request)

        def note() -> str:
            tenant, name = named(request)
            with store.write() as db:
                return remind.remind(db, access.find(db, name, tenant), "", sheet.now)

        said = await run_in_threadpool(note)
        words_said = sheet.t("The user of {id} will be reminded: {said}", id=request.path_params["id"], said=said)
        return message(sheet, None, 202, words_said)

    return [
        *frame.both(("/trickle", "trickle.html"), read, _shown, _told),
        frame.form("/terminals/{id}/remind", reminded, "Not reminded"),
    ]


def _told(seen: list[Run]) -> Mapping[str, object]:
    return {"programs": [asdict(one) for one in underway.programs(seen)], "terminals": [asdict(one) for one in seen]}


def _shown(seen: list[Run], sheet: Sheet) -> dict[str, object]:
    return {
        "title": sheet.t("On its way"),
        "section": "/trickle",
        "programs": underway.programs(seen),
        "runs": seen[:MOST],
        "count": len(seen),
        "day": lambda run: words.day(run.expected, sheet.now, sheet.t),
        "said": lambda run: sheet.t(shapes.PHASE_WORDS.get(run.phase, "waiting")),
    }
