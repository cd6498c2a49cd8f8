"""What a factory's station recorded becomes known here: id, model, the terminal's own public key, and the digest of its token,
so that its first check-in is a known terminal's. It knows records; it must never take one that contradicts what is known, nor
half a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from neurath.errors import NotFound, RefusedError, TrustError
from neurath.server.fleet.access import DEFAULT_TENANT, Enrolment, checked, new_row
from neurath.server.software.models import list_models
from neurath.server.store.tables import terminal as terminals
from neurath.wire import enrolment, keys
from neurath.wire.enrolment import ENROLLED, Record

#: Bytes of a file.
LONGEST = 16 << 20
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """Of so many enrolments of a file so many are new."""

    count: int
    new: int


def take(
    db: Connection, lines: Iterable[bytes], now: float, tenant: str = DEFAULT_TENANT, stations: Collection[str] = ()
) -> Taken:
    """Registers the terminals of a station's records, all or none; those that came before are passed over. With `stations`,
    fingerprints of their keys, one of those has to have signed each record. DataError, TrustError, NotFound, RefusedError."""
    records = [one for one in enrolment.read(lines) if one.what == ENROLLED]
    models = set(list_models(db))
    for one in records:
        if stations and (not one.signature or keys.fingerprint(enrolment.key_of(one.signer)) not in stations):
            why = f"record {one.n}, {one.id}, is signed by {'another' if one.signature else 'nobody'}"
            raise TrustError("these are not the records of that station", why, "name the station's key", id="NRT-247")
        if one.model not in models:
            why = f"record {one.n}, {one.id}, names it"
            raise NotFound(f"no model {one.model!r}", why, "neurath model add FILE.toml", id="NRT-132")
    ids, owners = _known(db, records, tenant)
    fresh = []
    for one in records:
        if _is_new(one, ids.get(one.id), owners.get(one.key)):
            row = new_row(checked(Enrolment(one.id, one.model, tenant)))
            fresh.append(row | {"token": one.token, "key": one.key, "registered": now})
            ids[one.id], owners[one.key] = (one.key, one.token), one.id
    for start in range(0, len(fresh), _BATCH):
        db.execute(insert(terminals), fresh[start : start + _BATCH])
    return Taken(len(records), len(fresh))


def _is_new(one: Record, named: tuple[str, str] | None, owner: str | None) -> bool:
    """Whether nobody has this id and nobody this key; False: it is known as it is. RefusedError."""
    if named is not None and named[0] == one.key:
        return False
    if named is not None:
        what = f"{one.id} is known with another key" if named[0] else f"{one.id} is known without a key"
        why = f"record {one.n} has key {one.fingerprint[:16]}"
        raise RefusedError(what, why, "two terminals have one name, or it was registered by hand: look at both", id="NRT-398")
    if owner is not None:
        why = f"{owner} has it; record {one.n}, key {one.fingerprint[:16]}"
        raise RefusedError(
            f"the key of {one.id} is not its own", why, "one of the two is a copy: neither is to be trusted", id="NRT-399"
        )
    return True


def _known(db: Connection, records: list[Record], tenant: str) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Of the ids of these records that are known here key and token's digest, and of the keys the id, in any tenant."""
    ids: dict[str, tuple[str, str]] = {}
    keys: dict[str, str] = {}
    for start in range(0, len(records), _BATCH):
        part = records[start : start + _BATCH]
        mine = terminals.c.tenant == tenant
        query = select(terminals.c.id, terminals.c.key, terminals.c.token)
        for row in db.execute(query.where(mine, terminals.c.id.in_([one.id for one in part]))):
            ids[row.id] = (row.key, row.token)
        for row in db.execute(query.where(terminals.c.key.in_([one.key for one in part]))):
            keys[row.key] = row.id
    return ids, keys
