"""The management plane under /api/v1: models, images, releases, terminals, rollouts, ledger, as plain values with an OpenAPI
description. It knows requests; every rule is in the module that owns it, so that command line and API cannot differ."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

from fastapi import FastAPI, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as Stopped

from neurath.errors import NeurathError
from neurath.ids import FIRMWARE
from neurath.server import problems
from neurath.server.access import gate
from neurath.server.access_api import access_routes
from neurath.server.delivery.calls import Delivery
from neurath.server.fleet import access, matrix, progress, recall, remind, rollout, stop, underway, waves
from neurath.server.fleet.access import DEFAULT_TENANT, Enrolment
from neurath.server.fleet.progress import Wanted
from neurath.server.fleet.rollout import Person
from neurath.server.fleet_api import fleet_routes, terminal_json
from neurath.server.software import catalog
from neurath.server.software.upload import read_upload
from neurath.server.stock import stock_routes
from neurath.server.store import Store, acts
from neurath.server.watch import arrival
from neurath.units import UnixTime
from neurath.wire import keys

#: No upload is longer.
MAX_UPLOAD = 256 << 20

Json = dict[str, Any]


class NewTerminal(BaseModel):
    id: str
    model: str | None = None
    tenant: str = DEFAULT_TENANT
    link: int = 0


class NewRollout(BaseModel):
    """`terminals` null: every terminal of the model."""

    release: str
    terminals: list[str] | None = None
    time_limit: float = 60.0
    policy: str = "at-once"
    target: str = ""
    pieces: str = ""
    tenant: str = DEFAULT_TENANT


class NewPin(BaseModel):
    """`release` null: the pin goes."""

    release: str | None
    component: str = str(FIRMWARE)


class NewReminder(BaseModel):
    """`text` "": the usual words."""

    text: str = ""


class NewPriority(BaseModel):
    """-9 (last) over 0 to 9 (first)."""

    priority: int


class Said(BaseModel):
    """Who gives a command, and why."""

    by: Annotated[str, Field(max_length=64)] = ""
    why: Annotated[str, Field(max_length=512)] = ""

    def person(self, request: Request) -> Person:
        """Who was let in; a name that was merely said counts only where nobody has to sign in."""
        actor = gate.visit(request.scope).actor
        return Person(actor.name if actor.known else self.by, self.why)


class NewModel(BaseModel):
    toml: str
    release_keys: list[str] = []


def plain(value: Any) -> Json:
    """A value of ours as JSON has it."""
    found = dataclasses.asdict(value)
    return {key: item.hex() if isinstance(item, bytes) else item for key, item in found.items()}


def management(store: Store, delivery: Delivery) -> FastAPI:
    """The plane of one store."""
    api = FastAPI(title="Neurath", version="1", docs_url=None, redoc_url=None, responses=problems.DESCRIBED)
    api.add_exception_handler(NeurathError, problems.refused)
    api.add_exception_handler(Stopped, problems.stopped)
    api.add_exception_handler(RequestValidationError, problems.malformed)
    access_routes(api, store)
    _catalog_routes(api, store, delivery)
    _release_routes(api, store)
    fleet_routes(api, store, delivery)
    _terminal_routes(api, store, delivery)
    _underway_routes(api, store)
    _rollout_routes(api, store)
    _ledger_routes(api, store)
    stock_routes(api, store)
    return api


def _catalog_routes(api: FastAPI, store: Store, delivery: Delivery) -> None:
    @api.get("/ticket-key")
    def ticket_key() -> Json:
        """The public half of the server's ticket key: what provisioning writes into a terminal."""
        public = delivery.key.public
        return {"pem": keys.public_pem(public).decode(), "fingerprint": keys.fingerprint(public)}

    @api.get("/models")
    def models() -> list[str]:
        with store.read() as db:
            return catalog.list_models(db)

    @api.get("/models/{name}")
    def model(name: str) -> Json:
        with store.read() as db:
            return catalog.describe_model(db, name)

    @api.post("/models", status_code=201)
    def add_model(given: NewModel) -> Json:
        with store.write() as db:
            found = catalog.add_model(db, given.toml, given.release_keys, time.time())
            return catalog.describe_model(db, found.name)


def _release_routes(api: FastAPI, store: Store) -> None:
    @api.get("/releases")
    def releases(model: str | None = None) -> list[Json]:
        with store.read() as db:
            return [release_json(one) for one in catalog.list_releases(db, model)]

    @api.get("/releases/{name:path}")
    def release(name: str) -> Json:
        with store.read() as db:
            found = catalog.find_release(db, name)
            return release_json(found) | {"phases": progress.counts(db, found.id)}

    @api.post("/releases", status_code=201)
    def add_release(
        file: UploadFile,
        model: Annotated[str, Form()],
        version: Annotated[str, Form()] = "",
        component: Annotated[str, Form()] = str(FIRMWARE),
        envelope: UploadFile | None = None,
    ) -> Json:
        data = file.file.read(MAX_UPLOAD + 1)
        if len(data) > MAX_UPLOAD:
            raise HTTPException(413, "no image is that long")
        signed = b"" if envelope is None else envelope.file.read(4096)
        with store.read() as db:
            known = catalog.find_model(db, model)
        taken = read_upload(data, file.filename or "upload", known, component, signed=bool(signed))
        wanted = dataclasses.replace(taken, model=model, version=version or taken.says, envelope=signed)
        acts.note(model=model, version=wanted.version, file=wanted.filename)
        came = arrival.arrive(store, wanted, time.time()).news()
        return release_json(came.release) | {"rollout": came.rollout}

    @api.put("/releases/{name:path}/priority")
    def prefer(name: str, given: NewPriority) -> Json:
        """Which of several files rides to a terminal first."""
        with store.write() as db:
            return release_json(catalog.set_priority(db, name, given.priority))

    @api.post("/releases/{name:path}/revoke")
    def revoke(name: str, request: Request, given: Said | None = None) -> Json:
        """Offers it to nobody any more; its rollouts end."""
        with store.write() as db:
            found = catalog.find_release(db, name)
            ended = recall.revoke(db, found, time.time(), (given or Said()).person(request))
            return release_json(catalog.find_release(db, name)) | {"ended": ended}


def release_json(found: catalog.Release) -> Json:
    return plain(found) | {"name": found.name}


def _terminal_routes(api: FastAPI, store: Store, delivery: Delivery) -> None:
    @api.post("/terminals", status_code=201)
    def add_terminal(given: NewTerminal) -> Json:
        wanted = Enrolment(given.id, given.model, given.tenant, "", given.link)
        with store.write() as db:
            return {"id": given.id, "tenant": given.tenant, "token": access.register(db, wanted, time.time())}

    @api.get("/terminals/{name}")
    def terminal(name: str, tenant: str = DEFAULT_TENANT) -> Json:
        with store.read() as db:
            found = access.find(db, name, tenant)
            said = [dataclasses.asdict(one) for one in progress.shown(db, found.n)]
            lines = [dataclasses.asdict(one) for one in progress.entries(db, Wanted(terminal=found.n))]
        return terminal_json(delivery, found) | {"components": said, "ledger": lines}

    @api.get("/terminals/{name}/why")
    def why(name: str, tenant: str = DEFAULT_TENANT) -> dict[str, str]:
        with store.read() as db:
            found = access.find(db, name, tenant)
            names = rollout.components_of(db, found) or [str(FIRMWARE)]
        return {one: delivery.why(found, one, time.time()) for one in names}

    @api.get("/terminals/{name}/timeline")
    def timeline(name: str, tenant: str = DEFAULT_TENANT, limit: int = 200) -> list[Json]:
        with store.read() as db:
            found = access.find(db, name, tenant)
            return [dataclasses.asdict(one) for one in progress.timeline(db, found.n, max(1, min(limit, 10_000)))]

    @api.put("/terminals/{name}/pin")
    def pin(name: str, given: NewPin, tenant: str = DEFAULT_TENANT) -> Json:
        with store.write() as db:
            found = access.find(db, name, tenant)
            release = None if given.release is None else catalog.find_release(db, given.release)
            rollout.pin(db, found, release, given.component)
        return {"terminal": name, "pin": given.release}


def _underway_routes(api: FastAPI, store: Store) -> None:
    @api.get("/underway")
    def under_way() -> Json:
        """What is on its way to terminals, program by program and terminal by terminal."""
        with store.read() as db:
            found = underway.runs(db, UnixTime(time.time()))
        told = [dataclasses.asdict(one) | {"whole": one.whole} for one in found]
        return {"programs": [dataclasses.asdict(one) for one in underway.programs(found)], "terminals": told}

    @api.post("/terminals/{name}/remind", status_code=202)
    def remind_user(name: str, given: NewReminder, tenant: str = DEFAULT_TENANT) -> Json:
        """Has the user of a terminal reminded, at its next contact."""
        with store.write() as db:
            said = remind.remind(db, access.find(db, name, tenant), given.text, time.time())
        return {"terminal": name, "remind": said}


def _ledger_routes(api: FastAPI, store: Store) -> None:
    @api.get("/matrix")
    def software_by_terminals(model: str, page: int = 1) -> Json:
        """Software times terminals, 50 terminals a page."""
        with store.read() as db:
            catalog.find_model(db, model)
            found = dataclasses.asdict(matrix.matrix(db, model, max(1, min(page, 1_000_000))))
        for row in found["rows"]:
            for mesh in row["meshes"]:
                mesh["mark"] = mesh["mark"].value
        for column in found["columns"]:
            column["share"] = column["installed"] / column["terminals"] if column["terminals"] else 0.0
        return found

    @api.get("/ledger")
    def ledger(release: int | None = None, since: float = 0.0) -> list[Json]:
        with store.read() as db:
            return [dataclasses.asdict(one) for one in progress.entries(db, Wanted(release=release, since=since))]


def _rollout_routes(api: FastAPI, store: Store) -> None:
    @api.get("/rollouts")
    def rollouts() -> list[Json]:
        with store.read() as db:
            return [dataclasses.asdict(one) for one in rollout.all_rollouts(db)]

    @api.post("/rollouts", status_code=201)
    def create(given: NewRollout) -> Json:
        with store.write() as db:
            release = catalog.find_release(db, given.release)
            chosen = None if given.terminals is None else [access.find(db, one, given.tenant) for one in given.terminals]
            policy = waves.policy(given.policy)
            plan = rollout.Plan(release, chosen, given.time_limit, policy, given.target, given.pieces)
            return dataclasses.asdict(rollout.create(db, plan, time.time()))

    @api.get("/rollouts/{number}")
    def show(number: int) -> Json:
        with store.read() as db:
            found = rollout.find(db, number)
            stand = dataclasses.asdict(rollout.tally(db, found, time.time()))
            return dataclasses.asdict(found) | {"phases": progress.counts(db, found.release), "tally": stand}

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
            stop.stop(db, stop.Stop(time.time(), person.name, person.why))
        return {"stopped": True}

    @api.delete("/stop")
    def go_on() -> Json:
        with store.write() as db:
            stop.go_on(db)
        return {"stopped": False}

    for command in rollout.MOVES:
        _move_route(api, store, command)


def _move_route(api: FastAPI, store: Store, command: str) -> None:
    """A route for each command: each takes a role of its own (server/access/rights.py)."""

    @api.post(f"/rollouts/{{number}}/{command}", operation_id=f"{command}_rollout", summary=command.capitalize())
    def move(number: int, request: Request, given: Said | None = None) -> Json:
        with store.write() as db:
            person = (given or Said()).person(request)
            return dataclasses.asdict(rollout.move(db, number, command, time.time(), person))
