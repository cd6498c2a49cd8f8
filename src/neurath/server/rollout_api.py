"""The management plane's routes that let software go out and stop it: rollouts, the one switch that stops everything. It knows
requests; every rule is in the module that owns it."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field

from neurath.clock import agreed
from neurath.server.access import gate
from neurath.server.fleet import access, back, progress, rollout, stop, waves
from neurath.server.fleet.access import DEFAULT_TENANT
from neurath.server.fleet.rollout import Person
from neurath.server.paging import Before, Number, Paged
from neurath.server.software import catalog
from neurath.server.store import Store

Json = dict[str, Any]


class Said(BaseModel):
    """Who gives a command, and why."""

    by: Annotated[str, Field(max_length=64, examples=["mila"])] = ""
    why: Annotated[str, Field(max_length=512, examples=["the screen stays dark"])] = ""

    def person(self, request: Request) -> Person:
        """Who was let in; a name that was merely said counts only where nobody has to sign in."""
        actor = gate.visit(request.scope).actor
        return Person(actor.name if actor.known else self.by, self.why)


class NewRollout(BaseModel):
    """`terminals` null: every terminal of the model, later ones too; `target` keeps it to some of them."""

    release: Annotated[str, Field(max_length=200, examples=["phone/1.4.1"])]
    terminals: Annotated[list[str] | None, Field(examples=[None])] = None
    time_limit: Annotated[float, Field(examples=[60.0])] = 60.0
    policy: Annotated[str, Field(examples=["waves=5%,50% go-on=90% halt=10% patience=1d window=22:00-04:00"])] = "at-once"
    target: Annotated[str, Field(examples=["saved:field"])] = ""
    pieces: Annotated[str, Field(examples=["64"])] = ""
    tenant: Annotated[str, Field(examples=[DEFAULT_TENANT])] = DEFAULT_TENANT


class WayBack(Said):
    """`release`: this one and no other, else of each terminal's earlier image the highest that it takes."""

    release: Annotated[str, Field(max_length=200, examples=["phone/1.4.0-again-7"])] = ""
    policy: Annotated[str, Field(examples=["at-once"])] = "at-once"


def rollout_routes(api: FastAPI, store: Store) -> None:
    _reading(api, store)
    _stop_routes(api, store)

    @api.post("/rollouts", status_code=201)
    def create(given: NewRollout) -> Json:
        """A draft; nothing is offered before it is started."""
        with store.write() as db:
            release = catalog.find_release(db, given.release)
            chosen = None if given.terminals is None else [access.find(db, one, given.tenant) for one in given.terminals]
            policy = waves.policy(given.policy)
            plan = rollout.Plan(release, chosen, given.time_limit, policy, given.target, given.pieces)
            return dataclasses.asdict(rollout.create(db, plan, agreed()))

    @api.post("/rollouts/{number}/back", status_code=201)
    def take_back(number: Number, request: Request, given: WayBack | None = None) -> Json:
        """Ends it, and starts a rollout for each release that leads back whom it holds; or says what has to be signed."""
        said = given or WayBack()
        with store.write() as db:
            order = back.Order(said.person(request), said.release, waves.policy(said.policy))
            made = back.take_back(db, number, order, agreed())
        ways = [
            {"release": one.release.name if one.release else "", "terminals": len(one.terminals), "confirmed": one.raised}
            for one in made.ways
        ]
        return {"ways": ways, "rollouts": [dataclasses.asdict(one) for one in made.rollouts]}

    for command in rollout.MOVES:
        _move_route(api, store, command)


def _reading(api: FastAPI, store: Store) -> None:
    @api.get("/rollouts")
    def rollouts(
        pages: Paged,
        asked: Annotated[Before, Query()],
    ) -> list[Json]:
        """Rollouts, newest first; the next page is in `Link`, rel="next"."""
        with store.read() as db:
            found = rollout.page(db, asked.before, asked.limit + 1)
        return [dataclasses.asdict(one) for one in pages.cut(found, asked.limit, before=lambda one: one.id)]

    @api.get("/rollouts/{number}")
    def show(number: Number) -> Json:
        """One, with how many terminals stand in which phase, and how far its wave is."""
        with store.read() as db:
            found = rollout.find(db, number)
            stand = dataclasses.asdict(rollout.tally(db, found, agreed()))
            return dataclasses.asdict(found) | {"phases": progress.counts(db, found.release), "tally": stand}


def _stop_routes(api: FastAPI, store: Store) -> None:
    @api.get("/stop")
    def stopped() -> Json:
        """Whether everything is stopped, since when, by whom and why."""
        with store.read() as db:
            found = stop.stopped(db)
        return {"stopped": found is not None} | ({} if found is None else dataclasses.asdict(found))

    @api.put("/stop")
    def stop_all(request: Request, given: Said | None = None) -> Json:
        """Nobody is given anything any more, at once."""
        person = (given or Said()).person(request)
        with store.write() as db:
            stop.stop(db, stop.Stop(agreed(), person.name, person.why))
        return {"stopped": True}

    @api.delete("/stop")
    def go_on() -> Json:
        with store.write() as db:
            stop.go_on(db)
        return {"stopped": False}


def _move_route(api: FastAPI, store: Store, command: str) -> None:
    """A route for each command: each takes a role of its own (server/access/rights.py)."""

    @api.post(f"/rollouts/{{number}}/{command}", operation_id=f"{command}_rollout", summary=command.capitalize())
    def move(number: Number, request: Request, given: Said | None = None) -> Json:
        person = (given or Said()).person(request)
        with store.read() as db:
            counted = rollout.counted(db, number, command, agreed())
        with store.write() as db:
            return dataclasses.asdict(rollout.moved(db, counted, command, agreed(), person))
