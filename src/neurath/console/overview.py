"""The first page: how the fleet stands, whom it needs, what is on its way. It must never be slow: what takes long is kept for
a moment."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict

from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console import board, shapes
from neurath.console.board import Overview
from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.console.terminals import wanted_in
from neurath.server.fleet.figures import PAGE, State
from neurath.units import UnixTime


def overview_routes(frame: Frame) -> list[BaseRoute]:
    """`/` and its twin."""
    desk = frame.desk

    def read(request: Request, now: UnixTime) -> Overview:
        return board.overview(desk.store, wanted_in(request), desk.why, now, desk.memory)

    return frame.both(("/", "overview.html"), read, _shown, _told)


def _told(seen: Overview) -> Mapping[str, object]:
    return {**asdict(seen), "counts": {state.value: n for state, n in seen.counts.items()}}


def _shown(seen: Overview, sheet: Sheet) -> dict[str, object]:
    wanted = wanted_in(sheet.request)
    software = [(model, list(group)) for model, group in itertools.groupby(seen.shares, key=lambda share: share.model)]
    return {
        **{name: getattr(seen, name) for name in Overview.__slots__},
        "title": sheet.t("Overview"),
        "section": "/",
        "wanted": wanted,
        "headline": _headline(seen, sheet),
        "notes": _notes(seen.counts, sheet),
        "shares_bar": shapes.shares_bar(seen.counts, sheet.t),
        "software": software,
        "most": {model: max(s.count for s in group) for model, group in software},
        "first": (max(1, wanted.page) - 1) * PAGE + 1,
    }


def _headline(seen: Overview, sheet: Sheet) -> str:
    current = seen.counts.get(State.CURRENT, 0)
    if not seen.total:
        return sheet.t("No terminals yet")
    if current == seen.total == 1:
        return sheet.t("The one terminal runs the newest release")
    if current == seen.total:
        return sheet.t("All {all} terminals run the newest release", all=seen.total)
    return sheet.t("{n} of {all} terminals run the newest release", n=current, all=seen.total)


def _notes(counts: Mapping[State, int], sheet: Sheet) -> list[tuple[State, str]]:
    said = {
        State.RESTORATION: ("{n} needs a restoration station", "{n} need a restoration station"),
        State.FAILED: ("{n} failed", "{n} failed"),
        State.PEOPLE: ("{n} waits for people", "{n} wait for people"),
        State.WORKING: ("{n} is being updated", "{n} are being updated"),
        State.SILENT: ("{n} is silent", "{n} are silent"),
    }
    return [(state, sheet.t(text[counts[state] != 1], n=counts[state])) for state, text in said.items() if state in counts]
