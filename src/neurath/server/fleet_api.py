"""The management plane's routes about many terminals and about their lives: pages, imports, filters, who is out of service. It
knows requests; every rule is in the module that owns it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import anyio
import msgspec
from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from neurath.clock import agreed
from neurath.errors import DataError
from neurath.server.delivery import veils
from neurath.server.delivery.calls import Delivery
from neurath.server.fleet import access, budget, confirm, enrol, enrolled, filters, life, signing
from neurath.server.fleet import work as jobs
from neurath.server.fleet.access import DEFAULT_TENANT, Terminal, Wanted
from neurath.server.paging import After, Paged
from neurath.server.problems import Lines
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.wire import enrolment
from neurath.wire.veil import recipient

Json = dict[str, Any]
#: Bytes of a list.
LONGEST = 1 << 30
Name = Annotated[str, Field(max_length=64)]


class PageAsked(After):
    """Of one tenant, or of all; only such as `target` asks for; those out of service too where they are wanted."""

    tenant: str | None = None
    target: Annotated[str, Field(max_length=500, examples=["tag:field", "saved:field"])] = ""
    retired: bool = False


class WorkAsked(After):
    kind: Literal["restoration", "twin", "failed"] = "restoration"


class TagChange(BaseModel):
    """Words to put on, and to take off."""

    add: Annotated[list[Name], Field(max_length=100, examples=[["field"]])] = []
    remove: Annotated[list[Name], Field(max_length=100, examples=[["lab"]])] = []


class NewPlace(BaseModel):
    """ "": not known."""

    place: Annotated[str, Field(max_length=access.MOST_PLACE, examples=["Osaka, hall 3, row 12"])]


class NewBudget(BaseModel):
    """`bytes` a month; 0: no limit; null: its tenant's again."""

    bytes: Annotated[int | None, Field(ge=0, le=budget.MOST, examples=[20_000_000])]


class NewVeil(BaseModel):
    """`derived:HEX` or `device:HEX` (docs/spec/veil.md 3); null: nobody, and files of a veiled model are not given."""

    veil: Annotated[str | None, Field(max_length=80, examples=["device:" + 32 * "5a"])]


class NewKey(BaseModel):
    """A terminal's public key: an algorithm's byte (1 ES256, 2 Ed25519) and the key in hex, or PEM; null: it has none."""

    key: Annotated[str | None, Field(max_length=512, examples=["02" + 32 * "5a"])]


class NewChannel(BaseModel):
    channel: Annotated[str, Field(max_length=64, examples=["beta"])]


class NewChannels(BaseModel):
    """None: every channel."""

    channels: Annotated[list[Name], Field(examples=[["beta", "stable"]])] = []


class NewDevice(BaseModel):
    id: Annotated[str, Field(max_length=64, examples=["T-9001"])]


class Why(BaseModel):
    why: Annotated[str, Field(max_length=512, examples=["lost"])] = ""


class NewEnrolments(BaseModel):
    """A station's file of records. `stations`: fingerprints of keys, one of which signed each record; none: whoever brings it
    vouches for it."""

    records: Annotated[str, Field(max_length=enrolled.LONGEST, examples=["{...}\n"])]
    stations: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(max_length=100, examples=[["0123456789abcdef" * 4]])
    ] = []


class NewFilter(BaseModel):
    text: Annotated[str, Field(max_length=500, examples=["tag:field and site=osaka and not id:lab-*"])]


class Word(BaseModel):
    """An operator's word in place of the device's."""

    confirmed: bool
    why: Annotated[str, Field(max_length=512, examples=["the line stands still today"])] = ""


def fleet_routes(api: FastAPI, store: Store, delivery: Delivery) -> None:
    _page_routes(api, store, delivery)
    _life_routes(api, store)
    _care_routes(api, store)
    _key_routes(api, store)
    _filter_routes(api, store)


def terminal_json(delivery: Delivery, found: Terminal) -> Json:
    return dataclasses.asdict(found) | {"heard": delivery.last_heard(found)}


def _page_routes(api: FastAPI, store: Store, delivery: Delivery) -> None:
    @api.get("/terminals")
    def terminals(pages: Paged, asked: Annotated[PageAsked, Query()]) -> list[Json]:
        """A page of terminals, in order of tenant and id; the next one is in `Link`, rel="next"."""
        with store.read() as db:
            target = filters.expanded(db, asked.target)
            wanted = Wanted(asked.tenant, target, asked.last, asked.limit + 1, asked.retired)
            found = access.page(db, wanted)
        found = pages.cut(found, asked.limit, after=lambda one: f"{one.tenant}/{one.id}")
        return [terminal_json(delivery, one) for one in found]

    @api.get("/work")
    def work(pages: Paged, asked: Annotated[WorkAsked, Query()]) -> list[Json]:
        """Terminals that want a person, with the place where they stand; the next page is in `Link`, rel="next"."""
        with store.read() as db:
            found = jobs.jobs(db, asked.kind, asked.last, asked.limit + 1)
        return [dataclasses.asdict(one) for one in pages.cut(found, asked.limit, after=lambda one: f"{one.tenant}/{one.id}")]

    @api.post("/terminals/import", status_code=201, response_class=Lines)
    async def import_terminals(request: Request, tenant: str = DEFAULT_TENANT, skip_known: bool = False) -> Lines:
        """Registers the terminals of a CSV in the body (id,model[,token,link,tenant,place]): all is read first, and refused
        whole where it is not sound. The answer has one JSON object a line, as they are written, with the tokens that were
        made; the header Neurath-Count says how many it will have."""
        kept = tempfile.TemporaryFile(mode="w+b", dir=store.directory)  # noqa: SIM115 (closed by who reads it)
        try:
            length = 0
            async for block in request.stream():
                length += len(block)
                if length > LONGEST:
                    raise DataError("this list is too long", f"more than {LONGEST:,} bytes", "in several parts", id="NRT-264")
                await anyio.to_thread.run_sync(kept.write, block)
            kept.seek(0)
            lines = (line.decode("utf-8", "replace") for line in kept)
            found = await anyio.to_thread.run_sync(enrol.Import, store, enrol.rows(lines, tenant))
            found.check(skip_known=skip_known)
        finally:
            kept.close()
        return Lines(_written(found, skip_known), 201, {"Neurath-Count": str(found.count)})

    @api.post("/terminals/enrolments", status_code=201)
    def take_enrolments(given: NewEnrolments, tenant: str = DEFAULT_TENANT) -> Json:
        """Registers the terminals that a factory's station recorded, each with the key it made itself: all or none, and those
        that came before are passed over."""
        with store.write() as db:
            done = enrolled.take(db, given.records.encode().splitlines(keepends=True), agreed(), tenant, given.stations)
        return dataclasses.asdict(done)


def _written(found: enrol.Import, skip_known: bool) -> Iterator[bytes]:
    with found:
        for batch in found.write(agreed(), skip_known=skip_known):
            yield b"".join(msgspec.json.encode(one) + b"\n" for one in batch)


def _life_routes(api: FastAPI, store: Store) -> None:
    @api.post("/terminals/{name}/decommission")
    def decommission(name: str, given: Why | None = None, tenant: str = DEFAULT_TENANT) -> Json:
        """Out of service: it may not speak, and is counted nowhere; its history stays."""
        with store.write() as db:
            life.decommission(db, access.find(db, name, tenant), agreed(), "" if given is None else given.why)
            return dataclasses.asdict(access.find(db, name, tenant))

    @api.post("/terminals/{name}/recommission")
    def recommission(name: str, tenant: str = DEFAULT_TENANT) -> Json:
        with store.write() as db:
            token = life.recommission(db, access.find(db, name, tenant), agreed())
        return {"id": name, "tenant": tenant, "token": token}

    @api.post("/terminals/{name}/replace", status_code=201)
    def replace(name: str, given: NewDevice, tenant: str = DEFAULT_TENANT) -> Json:
        """Another device takes its place; its token is seen this once."""
        with store.write() as db:
            token = life.replace(db, access.find(db, name, tenant), given.id, agreed())
        return {"id": given.id, "tenant": tenant, "token": token}

    @api.post("/terminals/{name}/one")
    def one(name: str, tenant: str = DEFAULT_TENANT) -> Json:
        """A person has looked: one device uses this id."""
        with store.write() as db:
            life.one_again(db, access.find(db, name, tenant))
            return dataclasses.asdict(access.find(db, name, tenant))

    @api.put("/terminals/{name}/channel")
    def channel(name: str, given: NewChannel, tenant: str = DEFAULT_TENANT) -> Json:
        with store.write() as db:
            life.put_on(db, access.find(db, name, tenant), given.channel)
            return dataclasses.asdict(access.find(db, name, tenant))

    @api.post("/terminals/{name}/confirmation")
    def confirmation(name: str, given: Word, tenant: str = DEFAULT_TENANT) -> Json:
        """Confirms, or denies, what waits for the device's word."""
        with store.write() as db:
            number = confirm.say_for(db, access.find(db, name, tenant), given.confirmed, given.why, agreed())
        return {"terminal": name, "action": number, "confirmed": given.confirmed}

    @api.put("/releases/{name:path}/channels")
    def publish(name: str, given: NewChannels) -> Json:
        """Which channels it is given to."""
        with store.write() as db:
            life.publish(db, catalog.find_release(db, name), given.channels)
            return {"release": name, "channels": list(catalog.find_release(db, name).channels)}


def _care_routes(api: FastAPI, store: Store) -> None:
    @api.patch("/terminals/{name}/tags")
    def tag(name: str, given: TagChange, tenant: str = DEFAULT_TENANT) -> Json:
        """Puts words of an operator's on it, for filters, and takes others off."""
        with store.write() as db:
            tags = access.tag(db, access.find(db, name, tenant), set(given.add), set(given.remove))
        return {"terminal": name, "tags": tags}

    @api.put("/terminals/{name}/place")
    def place(name: str, given: NewPlace, tenant: str = DEFAULT_TENANT) -> Json:
        """Where it stands, for who goes there."""
        with store.write() as db:
            access.put_at(db, access.find(db, name, tenant), given.place)
            return dataclasses.asdict(access.find(db, name, tenant))

    @api.get("/terminals/{name}/budget")
    def account(name: str, tenant: str = DEFAULT_TENANT) -> Json:
        """What it was sent this month, and may be."""
        with store.read() as db:
            return dataclasses.asdict(budget.account(db, access.find(db, name, tenant), agreed()))

    @api.put("/terminals/{name}/budget")
    def give(name: str, given: NewBudget, tenant: str = DEFAULT_TENANT) -> Json:
        with store.write() as db:
            found = access.find(db, name, tenant)
            budget.give(db, found, given.bytes)
            return dataclasses.asdict(budget.account(db, found, agreed()))

    @api.put("/terminals/{name}/veil")
    def hide(name: str, given: NewVeil, tenant: str = DEFAULT_TENANT) -> Json:
        """Whom its files are hidden for, where its model's are."""
        to = None if given.veil is None else recipient(given.veil)
        with store.write() as db:
            veils.give(db, access.find(db, name, tenant), to, agreed())
        return {"terminal": name, "veil": None if to is None else to.kind}


def _key_routes(api: FastAPI, store: Store) -> None:
    @api.put("/terminals/{name}/key")
    def give_key(name: str, given: NewKey, tenant: str = DEFAULT_TENANT) -> Json:
        """Its device key, which signs what it says (docs/spec/links.md); one that was revoked before counts again."""
        key = None if given.key is None else enrolment.any_key(given.key)
        with store.write() as db:
            signing.give(db, access.find(db, name, tenant), key, agreed())
            return dataclasses.asdict(access.find(db, name, tenant))

    @api.post("/terminals/{name}/revoke")
    def revoke(name: str, given: Why | None = None, tenant: str = DEFAULT_TENANT) -> Json:
        """Its device key counts no more, and nobody speaks for it, until it is given another."""
        with store.write() as db:
            signing.revoke(db, access.find(db, name, tenant), agreed(), "" if given is None else given.why)
            return dataclasses.asdict(access.find(db, name, tenant))


def _filter_routes(api: FastAPI, store: Store) -> None:
    @api.get("/filters")
    def kept() -> list[Json]:
        with store.read() as db:
            return [dataclasses.asdict(one) | {"terminals": filters.count(db, one)} for one in filters.all_kept(db)]

    @api.put("/filters/{name}")
    def keep(name: str, given: NewFilter) -> Json:
        with store.write() as db:
            return dataclasses.asdict(filters.keep(db, name, given.text, agreed()))

    @api.delete("/filters/{name}", status_code=204, response_class=Response)
    def forget(name: str) -> None:
        with store.write() as db:
            filters.forget(db, name)
