"""The management plane under /api/v1: models, images, releases, one terminal, ledger, as plain values with an OpenAPI
description. It knows requests; every rule is in the module that owns it, so that command line and API cannot differ."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import Base64Bytes, BaseModel, Field
from starlette.exceptions import HTTPException as Stopped

from neurath.clock import agreed
from neurath.errors import NeurathError, UsageError
from neurath.ids import FIRMWARE
from neurath.server import problems
from neurath.server.access_api import access_routes
from neurath.server.alert_api import alert_routes
from neurath.server.delivery.calls import Delivery
from neurath.server.examples import Described
from neurath.server.fleet import access, matrix, progress, recall, remind, rollout, selection, underway
from neurath.server.fleet.access import DEFAULT_TENANT, Enrolment
from neurath.server.fleet.progress import Wanted
from neurath.server.fleet_api import fleet_routes, terminal_json
from neurath.server.operating import store_routes
from neurath.server.paging import MOST, Limit, Paged
from neurath.server.rollout_api import Said, rollout_routes
from neurath.server.sites_api import site_routes
from neurath.server.software import catalog, handed, keylists
from neurath.server.software.models import add_model as keep_model
from neurath.server.software.models import add_plain_model, describe_model, find_model, list_models
from neurath.server.software.upload import contents, read_upload
from neurath.server.stock import stock_routes
from neurath.server.store import Store, acts
from neurath.server.watch import arrival
from neurath.units import UnixTime
from neurath.wire import keys

#: No upload is longer.
MAX_UPLOAD = 256 << 20

Json = dict[str, Any]


class NewTerminal(BaseModel):
    """`token` "": one is made. `link`: declared bytes a second, 0: not known."""

    id: Annotated[str, Field(examples=["T-0001"])]
    model: Annotated[str | None, Field(examples=["phone"])] = None
    tenant: Annotated[str, Field(examples=[DEFAULT_TENANT])] = DEFAULT_TENANT
    token: Annotated[str, Field(max_length=128, examples=[""])] = ""
    link: Annotated[int, Field(ge=0, le=1 << 40)] = 0
    place: Annotated[str, Field(max_length=access.MOST_PLACE, examples=["Osaka, hall 3"])] = ""


class NewRelease(BaseModel):
    """An image or a package; `version` "": as a package says itself. `envelope`: made by `neurath sign`."""

    file: UploadFile
    model: Annotated[str, Field(examples=["phone"])]
    version: Annotated[str, Field(examples=["1.4.1"])] = ""
    component: Annotated[str, Field(examples=[str(FIRMWARE)])] = str(FIRMWARE)
    priority: Annotated[int, Field(ge=-9, le=9)] = 0
    envelope: UploadFile | None = None


class LedgerAsked(BaseModel):
    """Lines of one release, or all; changed since then. `after`: RELEASE/NUMBER/COMPONENT of the last one, as in `Link`."""

    release: Annotated[int | None, Field(ge=1, le=1 << 53)] = None
    since: float = 0.0
    after: Annotated[str, Field(max_length=120, pattern=r"^([0-9]{1,16}/[0-9]{1,16}/[^/]*)?$")] = ""
    limit: Limit = MOST

    @property
    def last(self) -> tuple[int, int, str]:
        release, number, component = self.after.split("/") if self.after else ("0", "0", "")
        return int(release), int(number), component


class NewPin(BaseModel):
    """`release` null: the pin goes."""

    release: Annotated[str | None, Field(examples=["phone/1.4.1"])]
    component: Annotated[str, Field(examples=[str(FIRMWARE)])] = str(FIRMWARE)


class NewReminder(BaseModel):
    """`text` "": the usual words."""

    text: Annotated[str, Field(examples=["Please restart when it asks"])] = ""


class NewPriority(BaseModel):
    """-9 (last) over 0 to 9 (first)."""

    priority: int


class NewKeyList(BaseModel):
    """A list of keys that roots have signed (docs/spec/keylist.md), in base64."""

    signed: Annotated[Base64Bytes, Field(max_length=1 << 16, examples=["omZzaWduZWQ="])]


class NewDelta(BaseModel):
    """An update file that a release key signed (docs/spec/signed.md), in base64."""

    model: Annotated[str, Field(max_length=64, examples=["phone"])]
    signed: Annotated[Base64Bytes, Field(max_length=1 << 26, examples=["TlJTAQ=="])]


class NewModel(BaseModel):
    """A memory map as TOML with the public keys its releases are signed with; or the name of a `plain` model, whose clients
    take packages as they are, of those only such as name one of `compatible`."""

    toml: Annotated[str, Field(max_length=1 << 16, examples=["name = 'phone' ..."])] = ""
    release_keys: Annotated[list[str], Field(max_length=16, examples=[["-----BEGIN PUBLIC KEY-----..."]])] = []
    plain: Annotated[str, Field(max_length=64, examples=["gateway"])] = ""
    compatible: Annotated[list[str], Field(max_length=100, examples=[["Lab Board"]])] = []


def plain(value: Any) -> Json:
    """A value of ours as JSON has it."""
    found = dataclasses.asdict(value)
    return {key: item.hex() if isinstance(item, bytes) else item for key, item in found.items()}


def management(store: Store, delivery: Delivery) -> FastAPI:
    """The plane of one store."""
    api = Described(title="Neurath", version="1", docs_url=None, redoc_url=None, responses=problems.DESCRIBED)
    api.add_exception_handler(NeurathError, problems.refused)
    api.add_exception_handler(Stopped, problems.stopped)
    api.add_exception_handler(RequestValidationError, problems.malformed)
    access_routes(api, store)
    _catalog_routes(api, store, delivery)
    _release_routes(api, store)
    fleet_routes(api, store, delivery)
    _terminal_routes(api, store, delivery)
    _underway_routes(api, store)
    rollout_routes(api, store)
    site_routes(api, store)
    alert_routes(api, store)
    _ledger_routes(api, store)
    stock_routes(api, store)
    store_routes(api, store)
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
            return list_models(db)

    @api.get("/models/{name}")
    def model(name: str) -> Json:
        with store.read() as db:
            return describe_model(db, name)

    @api.post("/models", status_code=201)
    def add_model(given: NewModel) -> Json:
        if bool(given.toml) == bool(given.plain):
            raise UsageError("a memory map or the name of a plain model is needed", "exactly one of them", "toml, or plain")
        with store.write() as db:
            if given.plain:
                add_plain_model(db, given.plain, agreed(), given.compatible)
                return describe_model(db, given.plain)
            found = keep_model(db, given.toml, given.release_keys, agreed())
            return describe_model(db, found.name)

    @api.post("/key-lists", status_code=201)
    def publish_key_list(given: NewKeyList) -> Json:
        """Passed on to terminals from now on; the models it names take the release keys it names."""
        with store.write() as db:
            found = keylists.publish(db, given.signed, delivery.key.public, agreed())
        return {"version": found.version, "root": found.roots.digest.hex()}


def _release_routes(api: FastAPI, store: Store) -> None:
    @api.post("/deltas", status_code=201)
    def hand_in(given: NewDelta) -> Json:
        """For models that take only such files: kept once it was tried."""
        return dataclasses.asdict(handed.hand_in(store, given.model, given.signed, agreed()))

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
    def add_release(given: Annotated[NewRelease, File()]) -> Json:
        data, model = contents(given.file.file, MAX_UPLOAD), given.model
        if data is None:
            raise HTTPException(413, "no image is that long")
        signed = b"" if given.envelope is None else given.envelope.file.read(4096)
        with store.read() as db:
            known = find_model(db, model)
        taken = read_upload(data, given.file.filename or "upload", known, given.component, signed=bool(signed))
        version = given.version or taken.says
        wanted = dataclasses.replace(taken, model=model, version=version, envelope=signed, priority=given.priority)
        acts.note(model=model, version=wanted.version, file=wanted.filename)
        came = arrival.arrive(store, wanted, agreed()).news()
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
            ended = recall.revoke(db, found, agreed(), (given or Said()).person(request))
            return release_json(catalog.find_release(db, name)) | {"ended": ended}


def release_json(found: catalog.Release) -> Json:
    return plain(found) | {"name": found.name}


def _terminal_routes(api: FastAPI, store: Store, delivery: Delivery) -> None:
    @api.post("/terminals", status_code=201)
    def add_terminal(given: NewTerminal) -> Json:
        wanted = Enrolment(given.id, given.model, given.tenant, given.token, given.link, given.place)
        with store.write() as db:
            return {"id": given.id, "tenant": given.tenant, "token": access.register(db, wanted, agreed())}

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
            names = selection.components_of(db, found) or [str(FIRMWARE)]
        return {one: delivery.why(found, one, agreed()) for one in names}

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
            found = underway.runs(db, UnixTime(agreed()))
        told = [dataclasses.asdict(one) | {"whole": one.whole} for one in found]
        return {"programs": [dataclasses.asdict(one) for one in underway.programs(found)], "terminals": told}

    @api.post("/terminals/{name}/remind", status_code=202)
    def remind_user(name: str, given: NewReminder, tenant: str = DEFAULT_TENANT) -> Json:
        """Has the user of a terminal reminded, at its next contact."""
        with store.write() as db:
            said = remind.remind(db, access.find(db, name, tenant), given.text, agreed())
        return {"terminal": name, "remind": said}


def _ledger_routes(api: FastAPI, store: Store) -> None:
    @api.get("/matrix")
    def software_by_terminals(model: str, page: int = 1) -> Json:
        """Software times terminals, 50 terminals a page."""
        with store.read() as db:
            find_model(db, model)
            found = dataclasses.asdict(matrix.matrix(db, model, max(1, min(page, 1_000_000))))
        for row in found["rows"]:
            for mesh in row["meshes"]:
                mesh["mark"] = mesh["mark"].value
        for column in found["columns"]:
            column["share"] = column["installed"] / column["terminals"] if column["terminals"] else 0.0
        return found

    @api.get("/ledger")
    def ledger(
        pages: Paged,
        asked: Annotated[LedgerAsked, Query()],
    ) -> list[Json]:
        """What was offered to whom and what became of it, in order of release, terminal and component; the next page is in
        `Link`, rel="next"."""
        wanted = Wanted(release=asked.release, since=asked.since)
        with store.read() as db:
            found = progress.page(db, wanted, asked.last, asked.limit + 1)
        return [
            dataclasses.asdict(one) for _, one in pages.cut(found, asked.limit, after=lambda one: "/".join(map(str, one[0])))
        ]
