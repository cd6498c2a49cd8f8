"""The management plane's routes about alerts: what stands, what was told, and the ways it is told. It knows requests; every
rule is in server/alerts."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

from neurath.clock import agreed
from neurath.server.alerts import channels, journal, sending, teller
from neurath.server.alerts.channels import Channel, Wanted
from neurath.server.paging import Before, Paged
from neurath.server.store import Store
from neurath.server.store.marks import NOBODY

Json = dict[str, Any]


class NewWay(BaseModel):
    """`secret`: what a webhook's messages are signed with (one is made where none is given, and seen this once), or the
    password of the user that a mail server's address names. `about` []: everything."""

    name: Annotated[str, Field(max_length=64, examples=["on-call"])]
    kind: Literal["webhook", "mail", "alertmanager"]
    url: Annotated[str, Field(max_length=1000, examples=["https://hooks.example/neurath", "smtp://mailer@mail.example:587"])]
    secret: Annotated[str, Field(max_length=500, examples=[""])] = ""
    sender: Annotated[str, Field(max_length=254, examples=["neurath@example.org"])] = ""
    to: Annotated[list[Annotated[str, Field(max_length=254)]], Field(max_length=50, examples=[["ops@example.org"]])] = []
    about: Annotated[list[Literal["halt", "restoration", "silence"]], Field(examples=[["halt"]])] = []


def alert_routes(api: FastAPI, store: Store) -> None:
    @api.get("/alerts")
    def alerts(pages: Paged, asked: Annotated[Before, Query()]) -> list[Json]:
        """What people were told, newest first; the next page is in `Link`, rel="next"."""
        with store.read() as db:
            found = journal.page(db, asked.before, asked.limit + 1)
        return [dataclasses.asdict(one) for one in pages.cut(found, asked.limit, before=lambda one: one.id)]

    @api.get("/alerts/standing")
    def standing() -> list[Json]:
        """What came and is not over."""
        with store.read() as db:
            return [dataclasses.asdict(one) for one in journal.standing(db)]

    @api.get("/alert-channels")
    def everyone() -> list[Json]:
        """The ways people are told, how far each has come, and what is wrong with it."""
        with store.read() as db:
            return [channel_json(one) for one in channels.everyone(db)]

    @api.post("/alert-channels", status_code=201)
    def add(given: NewWay) -> Json:
        wanted = Wanted(**given.model_dump() | {"to": tuple(given.to), "about": tuple(given.about)})
        with store.write(NOBODY) as db:
            made = channels.add(db, wanted, agreed())
        return channel_json(made) | {"secret": made.secret if made.kind == "webhook" else ""}

    @api.delete("/alert-channels/{name}", status_code=204, response_class=Response)
    def remove(name: str) -> None:
        with store.write(NOBODY) as db:
            channels.remove(db, name)

    @api.post("/alert-channels/{name}/test")
    def test(name: str) -> Json:
        """Sends a test now; 502 where it does not arrive, and why."""
        with store.read() as db:
            found = channels.find(db, name)
        sending.send(found, [teller.trial(agreed())], agreed())
        return {"name": name, "arrived": True}


def channel_json(found: Channel) -> Json:
    return dataclasses.asdict(found) | {"url": found.shown, "secret": bool(found.secret)}
