"""All terminals: filters that narrow the list, and acts on those that are ticked. It knows which lines were asked for; what an
act does is in the module that owns the rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console import board
from neurath.console.frame import Fields, Frame, number_in
from neurath.console.sheet import Sheet
from neurath.errors import NothingToDo, UsageError
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, filters, remind, rollout
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.figures import NONE, PAGE, Line, State, Wanted
from neurath.server.fleet.filters import Saved
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.software.models import list_models
from neurath.units import UnixTime

#: What names a line that is ticked, before TENANT/ID.
TICK = "t:"
_STATES = {state.value: state for state in State}


@dataclass(frozen=True, slots=True)
class Terminals:
    """One page of the terminals that match, how many do, how many there are in each state, and what can be asked for."""

    wanted: Wanted
    lines: list[Line]
    found: int
    counts: dict[State, int]
    models: list[str]
    releases: list[Release]
    kept: list[Saved]


def terminals_routes(frame: Frame) -> list[BaseRoute]:
    """`/terminals`, its twin, and the acts on many at once."""
    desk = frame.desk

    def read(request: Request, now: UnixTime) -> Terminals:
        wanted = wanted_in(request)
        with desk.store.read() as db:
            wanted = board.expanded(db, wanted)
            counted = desk.memory.census.count(db, now)
            lines, found = board.lines(db, wanted, counted, now)
            models, releases = list_models(db), catalog.list_releases(db)
            kept = filters.all_kept(db)
        lines = board.explained(desk.store, lines, desk.why, now)
        return Terminals(wanted, lines, found, counted.counts, models, releases, kept)

    def each(work: Callable[[Connection, Terminal], object]) -> Callable[[Fields], str]:
        def act(fields: Fields) -> str:
            with desk.store.write() as db:
                for one in ticked(db, fields):
                    with suppress(NothingToDo):
                        work(db, one)
            return back(fields)

        return act

    def tag(_request: Request, fields: Fields) -> str:
        on, off = (set(fields.get(name, "").split()) for name in ("on", "off"))
        return each(lambda db, one: access.tag(db, one, on, off))(fields)

    def reminded(_request: Request, fields: Fields) -> str:
        now = desk.clock()
        return each(lambda db, one: remind.remind(db, one, "", now))(fields)

    def pin(_request: Request, fields: Fields) -> str:
        wanted = fields.get("release", "")

        def give(db: Connection, one: Terminal) -> None:
            release = catalog.find_release(db, wanted) if wanted else None
            rollout.pin(db, one, release, release.component if release else str(FIRMWARE))

        return each(give)(fields)

    return [
        *frame.both(("/terminals", "terminals.html"), read, _shown, _told),
        frame.act("/terminals/acts/tag", tag, "Not changed"),
        frame.act("/terminals/acts/remind", reminded, "Not reminded"),
        frame.act("/terminals/acts/pin", pin, "Not changed"),
    ]


def ticked(db: Connection, fields: Fields) -> list[Terminal]:
    """The terminals whose lines were ticked; UsageError where none was."""
    names = [name.removeprefix(TICK).partition("/") for name in fields if name.startswith(TICK)]
    if not names:
        raise UsageError("no terminal was chosen", "no line was ticked", "tick the terminals it is about")
    return [access.find(db, name, tenant) for tenant, _, name in names]


def back(fields: Fields) -> str:
    """Where a form came from, as far as it is a page of terminals."""
    asked = fields.get("back", "")
    plain = asked.isprintable() and "\\" not in asked and "//" not in asked and len(asked) <= 500
    return asked if plain and asked.startswith("/terminals") else "/terminals"


def wanted_in(request: Request) -> Wanted:
    """Which terminals an address asks for."""
    asked = request.query_params
    return Wanted(
        words=asked.get("q", "").strip()[:64],
        model=asked.get("model", "")[:64],
        image=asked.get("image", "")[:64],
        target=asked.get("target", "").strip()[:500],
        state=_STATES.get(asked.get("state", "")),
        page=number_in(asked.get("page", ""), 1, 1),
    )


def _told(seen: Terminals) -> Mapping[str, object]:
    return {
        "found": seen.found,
        "counts": {state.value: n for state, n in seen.counts.items()},
        "lines": [asdict(one) for one in seen.lines],
    }


def _shown(seen: Terminals, sheet: Sheet) -> dict[str, object]:
    wanted = seen.wanted
    return {
        "title": sheet.t("Terminals"),
        "section": "/terminals",
        "seen": seen,
        "wanted": wanted,
        "lines": seen.lines,
        "found": seen.found,
        "total": sum(seen.counts.values()),
        "first": (max(1, wanted.page) - 1) * PAGE + 1,
        "versions": [one for one in seen.releases if wanted.model in ("", one.model)],
        "none": NONE,
        "asked": sheet.request.query_params.get("target", "")[:500],
        "here": "/terminals" + (f"?{sheet.request.url.query}" if sheet.request.url.query else ""),
    }
