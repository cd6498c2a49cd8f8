"""Update files that a release key signed offline (docs/spec/signed.md), for models that take no others: taken in, tried, found
again. It knows signatures and releases; it must never build one, nor keep one that does not make its release."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurath.errors import DataError, NotFound
from neurath.flash.geometry import Layout, Model
from neurath.flash.profiles import LARGE, QUICK, RAW, SIMPLE, SMALL, TINY
from neurath.ids import FIRMWARE, digest
from neurath.server.delivery.pace import Built, File, Unbuilt
from neurath.server.software import catalog
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.software.deltas import PROFILE, Files, layout_digest
from neurath.server.software.models import find_model, model_keys
from neurath.server.store import Store
from neurath.server.store.sql import upsert
from neurath.server.store.tables import delta as deltas
from neurath.wire import keys, signed

#: Why there is none.
NONE = "its model takes only update files that a release key signed, and none is here: neurath delta sign, neurath delta add"


def name_of(layout: Layout) -> str:
    """What such files are kept under in place of their memory map: what is built by the server is never found there."""
    return f"signed-{layout_digest(layout)}"


def only(store: Store) -> Files:
    """What was handed in; nothing is ever built."""

    def ask(old: str, new: str, layout: Layout, profile: int = PROFILE) -> File:
        named = (deltas.c.old == old, deltas.c.new == new, deltas.c.layout == name_of(layout))
        query = select(deltas).where(*named, deltas.c.profile.in_(_as_good(profile))).order_by(deltas.c.size).limit(1)
        with store.read() as db:
            row = db.execute(query).one_or_none()
        if row is None or not store.files.sound(row.file):
            return Unbuilt(NONE)
        return Built(row.file, row.size, row.workspace, row.sectors)

    return ask


def _as_good(profile: int) -> set[int]:
    """Whoever decodes this profile decodes these (docs/spec/delta.md)."""
    return {profile} if profile == TINY else {RAW, SIMPLE, profile} | ({SMALL} if profile in (LARGE, QUICK) else set())


def is_one(db: Connection, file: str) -> bool:
    """Whether this file was handed in."""
    return (
        db.scalar(select(deltas.c.size).where(deltas.c.file == file, deltas.c.layout.startswith("signed-")).limit(1))
        is not None
    )


@dataclass(frozen=True, slots=True)
class Handed:
    """A file that was taken in: from which version (""; a full image) to which."""

    model: str
    old: str
    new: str
    file: str
    size: int
    profile: int


def hand_in(store: Store, name: str, data: bytes, now: float, *, dry: bool = False) -> Handed:
    """Keeps a signed file once the core turned the old image into the new one with it. TrustError, DataError, NotFound."""
    from neurath.delta import native

    with store.read() as db:
        model = find_model(db, name)
        if model is None:
            raise NotFound(
                f"model {name} has no memory map", "its packages are taken as they are", "neurath model show", id="NRT-132"
            )
        known = [keys.public_from_pem(pem) for pem in model_keys(db, name)]
        every = [one for one in catalog.list_releases(db, name) if one.component == FIRMWARE and one.kind == IMAGE]
    envelope, file = signed.verify(data, known)
    new = next((one for one in every if one.envelope_digest[:32] == envelope.hex()), None)
    if new is None:
        raise NotFound("this file is for a release that is not here", envelope.hex(), "neurath image add", id="NRT-131")
    head = native.header(file, model.layout)
    if head.apart or head.hybrid:
        raise DataError(
            "this file is not for a terminal's bank", "it is for another place", "neurath delta create", id="NRT-249"
        )
    old = None if head.old_size == 0 else _base(store, every, head.old_size, head.crc, new)
    sectors = _tried(store, model, old, new, file)
    found = Handed(name, "" if old is None else old.version, new.version, digest(data).hex(), len(data), head.profile)
    if dry:
        return found
    kept = store.files.put(data).hex()
    row = {"old": "" if old is None else old.image, "new": new.image, "layout": name_of(model.layout), "profile": head.profile}
    values = {"file": kept, "size": len(data), "workspace": head.workspace, "sectors": sectors, "built": now, "seconds": 0.0}
    with store.write() as db:
        _keep(db, row, values, data, now)
    return found


def _keep(db: Connection, row: dict[str, object], values: dict[str, object], data: bytes, now: float) -> None:
    catalog.keep_file(db, str(values["file"]), data, now)
    query = upsert(deltas).values(**row, **values)
    db.execute(query.on_conflict_do_update(index_elements=list(row), set_=values))


def _base(store: Store, every: list[Release], size: int, crc: int, new: Release) -> Release:
    """The release that a file was made from: its CRC is over old and new."""
    made = store.files.verified(new.image).read_bytes()
    for one in every:
        if one.size == size and zlib.crc32(made, zlib.crc32(store.files.verified(one.image).read_bytes())) == crc:
            return one
    raise NotFound(
        "this file is made from an image that is not here", f"{size} bytes", "neurath image add  first", id="NRT-131"
    )


def _tried(store: Store, model: Model, old: Release | None, new: Release, file: bytes) -> int:
    """The sectors that get new content; an error of the core where the file makes anything but the release."""
    from neurath.delta import simulate
    from neurath.delta.build import changed_sectors

    goal = store.files.verified(new.image).read_bytes()
    base = b"" if old is None else store.files.verified(old.image).read_bytes()
    simulate.rewrite(base, goal, model.layout, file)  # the core refuses what makes anything else
    return changed_sectors(base, goal, model.layout)
