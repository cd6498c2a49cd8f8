"""Software: what is in the catalog, who runs which version, what deltas saved, and the form that adds more; and the matrix of
software and terminals. It must never hold a signing key."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from neurath.console import board, shapes, upload
from neurath.console.frame import Frame, number_in
from neurath.console.sheet import Sheet, message
from neurath.errors import NeurathError, NothingToDo
from neurath.server.fleet import figures, flow
from neurath.server.fleet.figures import NONE, PAGE, Share
from neurath.server.fleet.flow import Saved
from neurath.server.fleet.matrix import Matrix
from neurath.server.software.models import find_model, list_models
from neurath.server.watch import folders
from neurath.server.watch.folders import Waiting
from neurath.units import UnixTime


@dataclass(frozen=True, slots=True)
class Software:
    """Shares of every version, what deltas saved, files in watched folders that are no release yet, and each model's rescue
    class ("": a model whose memory map is not known here)."""

    shares: list[Share]
    saved: Saved
    waiting: list[Waiting]
    models: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The matrix of one model, the first page of it or a later one; None where there is no software."""

    models: list[str]
    matrix: Matrix | None
    page: int


def software_routes(frame: Frame) -> list[BaseRoute]:
    """`/software`, `/matrix`, and their twins; `POST /software`."""
    desk = frame.desk

    def read(_request: Request, _now: UnixTime) -> Software:
        with desk.store.read() as db:
            shares = desk.memory.figures.get("shares", lambda: figures.shares(db))
            saved = desk.memory.figures.get("saved", lambda: flow.saved(db))
            found = {name: find_model(db, name) for name in list_models(db)}
            waiting = folders.waiting(db)
        return Software(shares, saved, waiting, {name: one.rescue if one else "" for name, one in found.items()})

    def table(request: Request, _now: UnixTime) -> Table:
        page = number_in(request.query_params.get("page", ""), 1, 1)
        models, seen = board.matrix(desk.store, request.query_params.get("model", "")[:64], page, desk.memory)
        return Table(models, seen, page)

    async def add(request: Request) -> Response:
        sheet = frame.sheet(request)
        try:
            release = await upload.take(request, desk.store, sheet.now)
        except NothingToDo as same:
            return message(sheet, None, 200, sheet.t("Nothing changed: {what}", what=same.what))
        except NeurathError as refused:
            return message(sheet, refused, 403 if refused.id == "NRT-331" else 422)
        said = sheet.t("{name} is in the catalog", name=release.name)
        return message(sheet, None, 201, said, (f"rollouts?release={quote(release.name)}#new", "Roll it out"))

    return [
        *frame.both(("/software", "software.html"), read, _shown, _told),
        Route("/software", add, methods=["POST"]),
        *frame.both(("/matrix", "matrix.html"), table, _matrix, _matrix_told),
    ]


def _told(seen: Software) -> Mapping[str, object]:
    shares = [
        {
            "model": one.model,
            "version": one.version,
            "release": one.release.name if one.release else None,
            "size": one.release.size if one.release else None,
            "image": one.release.image if one.release else None,
            "revoked": bool(one.release and one.release.revoked),
            "count": one.count,
            "newest": one.newest,
        }
        for one in seen.shares
    ]
    saved = asdict(seen.saved) | {"bytes": seen.saved.bytes}
    return {"shares": shares, "saved": saved, "waiting": [asdict(one) for one in seen.waiting], "models": seen.models}


def _shown(seen: Software, sheet: Sheet) -> dict[str, object]:
    software = [(model, list(group)) for model, group in itertools.groupby(seen.shares, key=lambda share: share.model)]
    return {
        "title": sheet.t("Software"),
        "section": "/software",
        "seen": seen,
        "software": software,
        "most": {model: max(s.count for s in group) for model, group in software},
        "rescue": shapes.RESCUE_WORDS,
        "none": NONE,
    }


def _matrix(seen: Table, sheet: Sheet) -> dict[str, object]:
    return {
        "title": sheet.t("Software and terminals"),
        "section": "/software",
        "models": seen.models,
        "seen": seen.matrix,
        "page": seen.page,
        "first": (seen.page - 1) * PAGE + 1,
    }


def _matrix_told(seen: Table) -> Mapping[str, object]:
    return {"models": seen.models, "matrix": None if seen.matrix is None else asdict(seen.matrix)}
