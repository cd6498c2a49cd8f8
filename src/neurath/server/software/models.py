"""Models of the software store: memory maps, and the public keys their releases are signed with. It must never hold a key that
can sign, nor change a map that update files were built for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, insert, select

from neurath.errors import NotFound, NothingToDo, RefusedError, UsageError
from neurath.flash.geometry import Model, model_from_toml
from neurath.ids import checked_name
from neurath.server.store.sql import upsert
from neurath.server.store.tables import model as models
from neurath.server.store.tables import release_key as keys
from neurath.server.store.tables import terminal as terminals
from neurath.wire import keys as keyfiles


def add_model(db: Connection, toml: str, pems: list[str], now: float) -> Model:
    """Keeps a memory map and the public keys its releases are signed with. A map that terminals already run is not changed:
    update files were built for it."""
    found = model_from_toml(toml)
    kept = db.scalar(select(models.c.toml).where(models.c.name == found.name))
    if kept and _map(model_from_toml(kept)) != _map(found) and _has_terminals(db, found.name):
        raise RefusedError(
            f"model {found.name} has terminals and another memory map",
            "update files were built for the map as it is",
            "give the new map another model name",
        )
    query = upsert(models).values(name=found.name, toml=toml, added=now)
    db.execute(query.on_conflict_do_update(index_elements=["name"], set_={"toml": toml}))
    for pem in pems:
        add_key(db, found.name, pem, now)
    return found


def _map(model: Model) -> Model:
    """The model without what may be laid down later: the instruction sets its core has (files for others are only not built),
    and how its files are given out."""
    return replace(model, layout=replace(model.layout, code=()), veiled=False, signed=False)


def add_plain_model(db: Connection, name: str, now: float, compatible: Sequence[str] = ()) -> None:
    """A model without a memory map: for third-party clients that take packages as they are; of those only such as name one of
    these devices, where any is given."""
    checked_name(name, "model")
    if db.scalar(select(models.c.name).where(models.c.name == name)) is not None:
        raise NothingToDo(f"model {name} is there already")
    if any(not one.isprintable() or not 0 < len(one) <= 128 for one in compatible):
        raise UsageError("this is no name of a device", "1 to 128 printable characters", "--compatible 'Lab Board'")
    db.execute(insert(models).values(name=name, toml="", added=now, compatible="\n".join(compatible)))


def add_key(db: Connection, model: str, pem: str, now: float) -> None:
    """A release public key; a private one is refused, this machine must not hold it."""
    if "PRIVATE" in pem:
        raise RefusedError(
            "this is a private key",
            "the server never holds a key that can sign releases",
            "give the file that ends in .pub.pem",
            id="NRT-321",
        )
    keyfiles.public_from_pem(pem.encode())
    db.execute(upsert(keys).values(model=model, pem=pem, added=now).on_conflict_do_nothing())


def _has_terminals(db: Connection, model: str) -> bool:
    return db.scalar(select(terminals.c.n).where(terminals.c.model == model).limit(1)) is not None


def list_models(db: Connection) -> list[str]:
    return list(db.scalars(select(models.c.name).order_by(models.c.name)))


def find_model(db: Connection, name: str) -> Model | None:
    """The memory map of a model, None for a plain one; NotFound."""
    toml = db.scalar(select(models.c.toml).where(models.c.name == name))
    if toml is None:
        raise NotFound(f"no model {name!r}", "the catalog has none of that name", "neurath model list", id="NRT-132")
    return read(toml)


def said(name: str | ColumnElement[str]) -> ScalarSelect[str]:
    """What is kept of a model, for a query that asks more."""
    return select(models.c.toml).where(models.c.name == name).scalar_subquery()


@lru_cache(maxsize=64)
def read(toml: str | None) -> Model | None:
    """The memory map in what is kept; None for a plain model."""
    return model_from_toml(toml) if toml else None


def describe_model(db: Connection, name: str) -> dict[str, object]:
    """What there is to show about a model, as plain values."""
    found = find_model(db, name)
    prints = [keyfiles.fingerprint(keyfiles.public_from_pem(pem)) for pem in model_keys(db, name)]
    count = db.scalar(select(func.count()).select_from(terminals).where(terminals.c.model == name))
    shown: dict[str, object] = {"name": name, "plain": found is None, "release_keys": prints, "terminals": count}
    if found is None:
        devices = db.scalar(select(models.c.compatible).where(models.c.name == name)) or ""
        shown["compatible"] = [one for one in devices.split("\n") if one]
    if found is not None:
        layout = found.layout
        shown |= {
            "bank_size": layout.bank_size,
            "scratch_size": layout.scratch.length,
            "sectors": [[region.base, region.size, region.count] for region in layout.regions],
            "ram": found.ram,
            "rescue": found.rescue,
            "mode": found.mode,
            "veiled": found.veiled,
            "signed": found.signed,
            "vendor": found.vendor.hex(),
            "class": found.klass.hex(),
        }
    return shown


def model_keys(db: Connection, name: str) -> list[bytes]:
    """Release public keys of a model, PEM."""
    return [pem.encode() for pem in db.scalars(select(keys.c.pem).where(keys.c.model == name).order_by(keys.c.added))]
