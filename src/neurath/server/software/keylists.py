"""Lists of keys that roots have signed, as the server passes them on: all of them, in order. It knows what follows what, as a
terminal does, and takes its own models' release keys from the newest; it must never hold a key that could sign one."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from neurath.errors import NotFound, RefusedError
from neurath.flash.trust import PublicKey
from neurath.server.software import models as catalogued
from neurath.server.store.tables import key_list as lists
from neurath.server.store.tables import model as models
from neurath.server.store.tables import release_key as keys
from neurath.wire import keylist
from neurath.wire.keylist import KeyList
from neurath.wire.keys import public_pem


def find(db: Connection, version: int) -> bytes:
    """The list of this version as it was signed; NotFound."""
    raw = db.scalar(select(lists.c.body).where(lists.c.version == version))
    if raw is None:
        raise NotFound(f"no key list {version}", "no newer one was published", "neurath key publish FILE", id="NRT-167")
    return bytes(raw)


def newest(db: Connection) -> KeyList | None:
    """What the newest list says; None where there is none."""
    raw = db.scalar(select(lists.c.body).order_by(lists.c.version.desc()).limit(1))
    return None if raw is None else keylist.unpack(bytes(raw))[1]


def publish(db: Connection, raw: bytes, ticket: PublicKey, now: float) -> KeyList:
    """Keeps the next list, and gives the models it names the release keys it names. Number 1 is believed as it is: whoever
    publishes it names its roots to the factory as well. `ticket` is this server's: where the list names another, terminals
    would take its tickets no more. TrustError, RefusedError."""
    before = newest(db)
    root = keylist.unpack(raw)[1].roots.digest if before is None else before.successors.digest
    found = keylist.accept(raw, root, 0 if before is None else before.version)
    if found.ticket not in (None, ticket):
        why = "terminals that take it would refuse every ticket of this server"
        raise RefusedError(
            "this key list names another ticket key", why, "delegate ticket.pub.pem of the data directory", id="NRT-315"
        )
    db.execute(insert(lists).values(version=found.version, body=raw, added=now))
    for name in db.scalars(select(models.c.name)).all():
        if found.release(name):
            db.execute(delete(keys).where(keys.c.model == name))
        for key in found.release(name):
            catalogued.add_key(db, name, public_pem(key).decode(), now)
    return found
