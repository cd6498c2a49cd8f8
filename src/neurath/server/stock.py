"""What restoration stations ask of the server: the stock's index, its images, and where their records go. It knows the form
that a station keeps (docs/how-to/restore.md); it must never hand out a file that is no release."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select

from neurath.clock import agreed
from neurath.disk import write_whole
from neurath.errors import DataError, NotFound
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, progress
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog, repository
from neurath.server.software.models import model_keys
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.server.store.tables import event as events
from neurath.server.store.tables import model as models
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals

#: What stations show when they ask from another machine; in the data directory.
TOKEN_FILE = "station.token"
#: The folder beside it, of records of restorations.
RESTORATIONS = "restorations"
#: Version of the index (neurath.station.stock reads it).
FORM = 1
_NAME = re.compile(r"[0-9a-f]{1,32}-[0-9a-f]{1,32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Json = dict[str, Any]


class Restoration(BaseModel):
    """The record of one restoration; fields that a newer station adds are kept as they are."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(max_length=65, examples=["9f86d081-1"])
    at: float
    terminal: str = Field(max_length=64, examples=["T-0001"])
    verdict: str = Field(max_length=64, examples=["confirmed"])
    station: str = Field(default="", max_length=64, examples=["bench-2"])
    version: str = Field(default="", max_length=64, examples=["1.4.1"])
    reason: str = Field(default="", max_length=256, examples=[""])


class Documents(BaseModel):
    """Signed documents of the repository, base64."""

    documents: list[Base64Bytes] = Field(max_length=64, examples=[["eyJzaWduYXR1cmVzIjpbXSwic2lnbmVkIjp7fX0="]])


def stock_routes(api: FastAPI, store: Store) -> None:
    """`GET /stock`, `GET /stock/files/DIGEST`, `POST /restorations`, `GET /restorations`."""

    @api.get("/stock")
    def stock() -> Json:
        with store.read() as db:
            return index(db)

    @api.get("/stock/files/{digest}", response_class=FileResponse)
    def image(digest: str) -> FileResponse:
        with store.read() as db:
            if not _DIGEST.fullmatch(digest) or not _is_release(db, digest):
                raise NotFound(f"no image {digest[:16]}", "no release has it", "GET /api/v1/stock", id="NRT-131")
        return FileResponse(store.files.verified(digest), media_type="application/octet-stream")

    @api.get("/repository/{name:path}", response_class=JSONResponse)
    def repository_file(name: str) -> Response:
        """metadata/NAME or targets/PATH of the TUF repository (docs/spec/repository.md)."""
        kind, _, rest = name.partition("/")
        if kind == "targets":
            return FileResponse(repository.target(store, rest), media_type="application/octet-stream")
        if kind != "metadata":
            raise NotFound(f"no {kind[:64]} in a repository", "metadata/ and targets/", "metadata/timestamp.json")
        return Response(repository.document(store, rest, agreed()), media_type="application/json")

    @api.post("/repository", status_code=201)
    def publish(given: Documents) -> Json:
        """Documents of the TUF repository, signed, in this order; all of them or none."""
        return {"roles": repository.publish(store, given.documents, agreed())}

    @api.post("/restorations", status_code=201)
    def restored(given: Restoration) -> Json:
        return {"kept": keep(store, given)}

    @api.get("/restorations")
    def restorations() -> list[Json]:
        return [json.loads(path.read_text()) for path in sorted(_folder(store).glob("*.json"))]


def station_token(directory: Path) -> str:
    """The stations' token, made at the first start, readable by the server's user alone. A new one is had by deleting the
    file and starting the server again: every station then needs it."""
    path = directory / TOKEN_FILE
    if not path.exists():
        draft = directory / f".{TOKEN_FILE}.{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32) + "\n")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)  # whole or not at all: another process may be at the same place
        draft.unlink()
    return path.read_text().strip()


def index(db: Connection) -> Json:
    """Every signed release, the release keys of its model, and what terminals are pinned to."""
    found = [one for one in catalog.list_releases(db) if one.kind == catalog.IMAGE and one.envelope]
    keys = [
        {"model": model, "pem": pem.decode()}
        for model in sorted({one.model for one in found})
        for pem in model_keys(db, model)
    ]
    return {
        "form": FORM,
        "at": agreed(),
        "releases": [_entry(one) for one in found],
        "keys": keys,
        "assigned": _assigned(db),
        "models": _maps(db, sorted({one.model for one in found})),
    }


def _maps(db: Connection, names: list[str]) -> list[Json]:
    rows = db.execute(select(models.c.name, models.c.toml).where(models.c.name.in_(names), models.c.toml != ""))
    return sorted(({"model": row.name, "toml": row.toml} for row in rows), key=lambda one: one["model"])


def _entry(one: catalog.Release) -> Json:
    return {
        "model": one.model,
        "component": one.component,
        "version": one.version,
        "image": one.image,
        "size": one.size,
        "envelope": one.envelope.hex(),
        "envelope_digest": one.envelope_digest,
        "sequence": one.sequence,
        "epoch": one.epoch,
        "revoked": one.revoked is not None,
    }


def _assigned(db: Connection) -> list[Json]:
    query = (
        select(terminals.c.id, releases.c.version)
        .join(components, components.c.terminal == terminals.c.n)
        .join(releases, releases.c.id == components.c.pin)
        .where(components.c.name == FIRMWARE)
        .order_by(terminals.c.id)
    )
    return [{"id": row.id, "version": row.version} for row in db.execute(query)]


def _is_release(db: Connection, digest: str) -> bool:
    return db.scalar(select(releases.c.id).where(releases.c.image == digest).limit(1)) is not None


def keep(store: Store, given: Restoration) -> bool:
    """Keeps a record once, whatever terminal it names; False when it was here already. On return it is on the disk."""
    if not _NAME.fullmatch(given.name):
        raise DataError("this is no record of a station", "its name is malformed", "neurath station sync", id="NRT-267")
    path = _folder(store) / f"{given.name}.json"
    if path.exists():
        return False
    with store.write() as db:
        _note(db, given)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, given.model_dump_json().encode())
    return True


def _note(db: Connection, given: Restoration) -> None:
    """One line on the terminal's timeline; a record that comes a second time after a crash adds none."""
    try:
        terminal = access.find(db, given.terminal)
    except NotFound:
        return
    text = f"{given.verdict}: {given.version} {given.reason} (station {given.station}, record {given.name})"
    seen = select(events.c.id).where(events.c.terminal == terminal.n, events.c.kind == "wire", events.c.text == text)
    if db.scalar(seen.limit(1)) is None:
        progress.note(db, Key(terminal.n, str(FIRMWARE), 0), "wire", text, given.at)


def _folder(store: Store) -> Path:
    return store.directory / RESTORATIONS
