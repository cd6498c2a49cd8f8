"""The gate's page: who is asked whether an update may begin, since when, and what was answered. It must never answer in
anybody's place."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console import shapes
from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.server.fleet import asked
from neurath.server.fleet.asked import Answer, Question
from neurath.units import UnixTime


@dataclass(frozen=True, slots=True)
class Questions:
    """Open questions, the longest first, and the last answers."""

    open: list[Question]
    answers: list[Answer]


def questions_routes(frame: Frame) -> list[BaseRoute]:
    """`/gate` and its twin."""
    store = frame.desk.store

    def read(_request: Request, _now: UnixTime) -> Questions:
        with store.read() as db:
            return Questions(asked.open_questions(db), asked.answers(db))

    return frame.both(("/gate", "gate.html"), read, _shown)


def _shown(seen: Questions, sheet: Sheet) -> dict[str, object]:
    said = {asked.CONFIRMING: "waiting for its owner's word"} | shapes.PHASE_WORDS
    return {
        "title": sheet.t("Questions"),
        "section": "/gate",
        "seen": seen,
        "what": lambda one: sheet.t(said[one.what]),
    }
