"""What whoever runs the server asks of it: is it alive, is it ready, its figures, its disk. It knows sums; however often it is
asked, the database must never be asked for them more than once in a while."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

from anyio import to_thread
from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import Column, Connection, func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from neurath.clock import agreed
from neurath.errors import NeurathError
from neurath.server.fleet import silence, stop, waves
from neurath.server.metrics import Board, gauge, lines
from neurath.server.problems import problem
from neurath.server.software import retention
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.server.store.tables import ledger
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Phase, Verdict

#: The database is asked for figures this often at the most, seconds.
FRESH = 10.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """The figures of one server: what its processes counted, and what its store says."""

    def __init__(self, store: Store, board: Board, silent_after: float = silence.AFTER) -> None:
        self._store = store
        self._silent_after = silent_after
        self._board = board
        self._lock = threading.Lock()
        self._kept, self._at = "", -FRESH

    def page(self) -> str:
        """Everything as Prometheus reads it; `neurath_database_up` is 0 where the store cannot be asked."""
        with self._lock:
            if time.monotonic() - self._at >= FRESH:
                self._kept, self._at = "".join(self._asked()), time.monotonic()
            return "".join(lines(self._board)) + self._kept

    def _asked(self) -> Iterator[str]:
        now = agreed()
        try:
            with self._store.read() as db:
                found = "".join(self._of_fleet(db, now))
            yield from gauge("database_up", "Whether the database answers.", {"": 1})
            yield found
            yield from self._of_disk(now)
        except NeurathError:
            yield from gauge("database_up", "Whether the database answers.", {"": 0})

    def _of_fleet(self, db: Connection, now: float) -> Iterator[str]:
        here = terminals.c.decommissioned.is_(None)
        still = select(func.count()).select_from(terminals).where(silence.silent(now, self._silent_after))
        total = db.scalar(select(func.count()).select_from(terminals).where(here)) or 0
        yield from gauge("terminals", "Terminals that are registered.", {"": total})
        words = f"Heard once, and not for {silence.span(self._silent_after)}."
        yield from gauge("terminals_silent", words, {"": db.scalar(still) or 0})
        yield from gauge("silent_after_seconds", "Who was not heard for so long is silent.", {"": self._silent_after})
        restoring = select(func.count()).select_from(components).where(components.c.state == Phase.RESTORING.value)
        yield from gauge("terminals_restoring", "They want a station on their wire.", {"": db.scalar(restoring) or 0})
        verdicts = _counted(db, ledger.c.verdict, [one.value for one in Verdict])
        yield from gauge("updates", "Lines of the ledger by their verdict.", verdicts, "verdict")
        states = _counted(db, rollouts.c.state, [one.value for one in waves.State])
        yield from gauge("rollouts", "By their state.", states, "state")
        yield from gauge("stopped", "Whether everything is stopped.", {"": float(stop.stopped(db) is not None)})

    def _of_disk(self, now: float) -> Iterator[str]:
        found = retention.usage(self._store, now)
        yield from gauge("disk_bytes", "The data directory's disk.", {"": found.size})
        yield from gauge("disk_free_bytes", "Of it free.", {"": found.free})
        yield from gauge("files_bytes", "Images and update files.", {"": found.files})
        yield from gauge("disk_growth_bytes_per_day", "Files that came of late and stayed.", {"": found.daily})
        days = float("inf") if found.days is None else found.days
        yield from gauge("disk_full_in_seconds", "At that pace.", {"": days * retention.DAY})


def _counted(db: Connection, column: Column[str], words: list[str]) -> dict[str, float]:
    """How many rows have each of these words; none is left out, or its line would end when the last one goes."""
    found = dict.fromkeys(words, 0.0)
    for word, count in db.execute(select(column, func.count()).group_by(column)):
        found[word] = count
    return found


def health_routes(store: Store) -> list[BaseRoute]:
    """For whoever decides where requests go. They are asked without sign-in, so they say nothing but yes or no."""

    async def live(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(_request: Request) -> Response:
        try:
            await to_thread.run_sync(store.look)
        except NeurathError as fault:
            return problem(503, fault, {"Retry-After": "5"})
        return PlainTextResponse("ready\n")

    return [Route("/health/live", live), Route("/health/ready", ready)]


def figures_route(figures: Figures) -> BaseRoute:
    async def page(_request: Request) -> Response:
        return Response(await to_thread.run_sync(figures.page), media_type=_TEXT)

    return Route("/metrics", page)


class Older(BaseModel):
    """Update files that nobody was given for so many days."""

    older: Annotated[float, Field(ge=0, le=36500)] = retention.KEEP_DAYS
    dry_run: bool = False


def store_routes(api: FastAPI, store: Store) -> None:
    """`GET /store`, `POST /store/prune`."""

    @api.get("/store")
    def disk() -> dict[str, Any]:
        """How full the disk is, and how long it lasts."""
        return dataclasses.asdict(retention.usage(store, agreed()))

    @api.post("/store/prune")
    def prune(given: Older) -> dict[str, Any]:
        """Takes away what nobody needs any more; images and files in use stay."""
        return dataclasses.asdict(retention.prune(store, given.older, agreed(), dry=given.dry_run))
