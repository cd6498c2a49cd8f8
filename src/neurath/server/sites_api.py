"""The management plane's routes about what is set up once and then works by itself: how a tenant's devices show who they are,
gateways at sites, folders that are watched. It knows requests; every rule is in the module that owns it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from neurath.clock import agreed
from neurath.errors import NotFound, UsageError
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, gateway, tenants, waves
from neurath.server.fleet.access import DEFAULT_TENANT
from neurath.server.fleet.budget import MOST as LARGEST
from neurath.server.fleet.tenants import Tenant
from neurath.server.paging import Number
from neurath.server.software.models import find_model
from neurath.server.store import Store
from neurath.server.watch import folders
from neurath.server.watch.folders import Binding, Folder

Json = dict[str, Any]
Name = Annotated[str, Field(max_length=64)]


class TenantChange(BaseModel):
    """What is left out stays. `gateway_token` true: a new one, seen this once in the answer; false: none."""

    gateway_token: bool | None = None
    authorities: Annotated[list[Annotated[str, Field(max_length=128)]] | None, Field(examples=[["9f86d081884c7d65"]])] = None
    first_contact: bool | None = None
    model: Annotated[str | None, Field(max_length=64, examples=["phone"])] = None
    anonymous: bool | None = None
    budget: Annotated[int | None, Field(ge=0, le=LARGEST, examples=[50_000_000])] = None
    links: Literal["token", "protected", "signed"] | None = None


class NewGateway(BaseModel):
    name: Annotated[str, Field(max_length=64, examples=["plant-7"])]
    tenant: Annotated[str, Field(max_length=64, examples=[DEFAULT_TENANT])] = DEFAULT_TENANT
    terminals: Annotated[list[Name], Field(max_length=10_000, examples=[["T-0001", "T-0002"]])] = []


class GatewayChange(BaseModel):
    """Terminals it answers for from now on, and no longer."""

    add: Annotated[list[Name], Field(max_length=10_000, examples=[["T-0003"]])] = []
    remove: Annotated[list[Name], Field(max_length=10_000, examples=[["T-0001"]])] = []


class NewFolder(BaseModel):
    """A directory of the server's own machine. `auto`: what arrives is rolled out by `policy`."""

    path: Annotated[str, Field(min_length=1, max_length=1024, examples=["/srv/firmware"])]
    model: Annotated[str, Field(max_length=64, examples=["phone"])]
    component: Annotated[str, Field(max_length=64, examples=["firmware"])] = str(FIRMWARE)
    auto: bool = False
    policy: Annotated[str, Field(max_length=500, examples=["waves=5%,50% go-on=90% halt=10% patience=1d"])] = "default"
    target: Annotated[str, Field(max_length=500, examples=["tag:field"])] = ""
    terminals: Annotated[list[Name], Field(max_length=10_000, examples=[[]])] = []
    tenant: Annotated[str, Field(max_length=64, examples=[DEFAULT_TENANT])] = DEFAULT_TENANT
    pieces: Annotated[str, Field(max_length=64, examples=["64"])] = ""
    priority: Annotated[int, Field(ge=-9, le=9)] = 0


def site_routes(api: FastAPI, store: Store) -> None:
    _tenant_routes(api, store)
    _gateway_routes(api, store)
    _folder_routes(api, store)


def tenant_json(name: str, found: Tenant) -> Json:
    """What was said about a tenant; of its gateways' token only whether there is one."""
    return dataclasses.asdict(found) | {"tenant": name, "gateway": bool(found.gateway)}


def _tenant_routes(api: FastAPI, store: Store) -> None:
    @api.get("/tenants/{name}")
    def tenant(name: str) -> Json:
        with store.read() as db:
            return tenant_json(name, tenants.find(db, name))

    @api.patch("/tenants/{name}")
    def change(name: str, given: TenantChange) -> Json:
        """How its devices may show who they are beside a token each, from now on."""
        token, values = "", given.model_dump(exclude_none=True, exclude={"gateway_token"})
        if given.gateway_token is not None:
            token, values["gateway"] = tenants.new_gateway_token() if given.gateway_token else ("", "")
        if given.authorities is not None:
            values["authorities"] = tuple(one.lower() for one in given.authorities)
        with store.write() as db:
            if given.model:
                find_model(db, given.model)
            found = dataclasses.replace(tenants.find(db, name), **values)
            tenants.keep(db, name, found)
        return tenant_json(name, found) | {"token": token}


def _gateway_routes(api: FastAPI, store: Store) -> None:
    @api.get("/gateways")
    def everyone() -> list[Json]:
        with store.read() as db:
            return [dataclasses.asdict(one) for one in gateway.everyone(db)]

    @api.get("/gateways/{name}")
    def one(name: str) -> Json:
        """One of them, and the ids of the terminals it answers for."""
        with store.read() as db:
            found = gateway.find(db, name)
            return dataclasses.asdict(found) | {"ids": gateway.terminals_of(db, found)}

    @api.post("/gateways", status_code=201)
    def enrol(given: NewGateway) -> Json:
        """Enrols a carrier server at a site; its token is seen this once."""
        with store.write() as db:
            token = gateway.add(db, given.name, given.tenant, agreed())
            gateway.assign(db, given.name, given.terminals)
            return dataclasses.asdict(gateway.find(db, given.name)) | {"token": token}

    @api.patch("/gateways/{name}")
    def assign(name: str, given: GatewayChange) -> Json:
        with store.write() as db:
            gateway.assign(db, name, given.add)
            gateway.assign(db, name, given.remove, take_away=True)
            return dataclasses.asdict(gateway.find(db, name))

    @api.post("/gateways/{name}/revoke")
    def revoke(name: str) -> Json:
        """It is never let in again; its name is not given a second time."""
        with store.write() as db:
            gateway.revoke(db, name, agreed())
            return dataclasses.asdict(gateway.find(db, name))


def _folder_routes(api: FastAPI, store: Store) -> None:
    @api.get("/folders")
    def watched() -> list[Json]:
        """Every folder that is watched, and how each file in it stands."""
        with store.read() as db:
            return [folder_json(one) | {"files": folders.listed(db, one)} for one in folders.all_folders(db)]

    @api.post("/folders", status_code=201)
    def watch(given: NewFolder) -> Json:
        """Watches a directory of the server's; a running server begins within two seconds."""
        path = Path(given.path)
        if not (path.is_absolute() and given.path.isprintable()):
            raise UsageError(f"{given.path[:80]!r} is no place on the server", "an absolute path", "/srv/firmware")
        if not path.is_dir():
            raise NotFound(f"no directory {path}", "a folder is watched where it is, at the server", "mkdir", id="NRT-165")
        with store.write() as db:
            named = tuple(access.find(db, one, given.tenant) for one in given.terminals)
            policy = waves.policy(given.policy)
            kind, rest = (given.model, given.component, given.auto, policy), (named, given.pieces, given.priority)
            return folder_json(folders.add(db, Binding(path, *kind, given.target, *rest), agreed()))

    @api.delete("/folders/{number}")
    def leave(number: Number) -> Json:
        """It is watched no more; its releases stay."""
        with store.write() as db:
            return folder_json(folders.remove(db, Path(folders.by_number(db, number).path)))


def folder_json(found: Folder) -> Json:
    return dataclasses.asdict(found)
