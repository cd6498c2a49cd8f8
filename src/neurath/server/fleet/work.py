"""What wants a person at a terminal: those in restoration with their place, first of all; then ids that two devices use, and
terminals that gave up on a release. It reads; it must never settle anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, literal_column, select, tuple_, union

from neurath.ids import FIRMWARE
from neurath.server.fleet.standing import MAX_FAILURES
from neurath.server.store.sql import named
from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import gateway as gateways
from neurath.server.store.tables import gateway_terminal as members
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Verdict

#: Attributes in which devices say where they are, in order of trust; an operator's word (`place`) comes before all of them.
SAID = ("place", "location", "site")


@dataclass(frozen=True, slots=True)
class Job:
    """One terminal that wants a person. `kind`: restoration (a station on its wire), twin (two devices under its id) or failed
    (a release it will not be offered again). `place`: as an operator wrote it, else as the device says, else the sites whose
    gateways answer for it, else "". `release`: what it was being brought; `since`: when it came to this, None: not known."""

    kind: str
    tenant: str
    id: str
    model: str
    place: str
    address: str
    release: str
    reason: str
    since: float | None
    heard: float | None


#: The order in which people want to see them.
KINDS = ("restoration", "twin", "failed")


def jobs(db: Connection, kind: str, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Job]:
    """Those of one kind, in order of tenant and id, after this one."""
    query = _asked(kind).order_by(terminals.c.tenant, terminals.c.id).limit(limit)
    if after != ("", ""):
        query = query.where(tuple_(terminals.c.tenant, terminals.c.id) > tuple_(*after))
    rows = db.execute(query).all()
    sites = _sites(db, [int(row.n) for row in rows if not row.place])
    return [_job(kind, row, sites) for row in rows]


def _asked(kind: str) -> Select[Any]:
    own = [terminals.c[name] for name in ("n", "tenant", "id", "model", "address", "heard", "twin")]
    said = [func.nullif(named(terminals.c.attributes, word), "") for word in SAID]
    place = func.coalesce(func.nullif(terminals.c.place, ""), *said, "").label("place")
    query = select(*own, place, ledger.c.reason, ledger.c.updated, ledger.c.tries, releases.c.version).select_from(terminals)
    query = query.where(terminals.c.decommissioned.is_(None))
    line, bad = ledger.c.terminal == terminals.c.n, ledger.c.component == FIRMWARE
    if kind == "restoration":
        torn = and_(line, ledger.c.verdict == Verdict.RESTORATION.value)
        shows = select(component.c.terminal).where(component.c.state == literal_column("'restoring'"))
        there = union(shows, select(ledger.c.terminal).where(ledger.c.verdict == literal_column("'restoration'")))
        query = query.outerjoin(ledger, torn).outerjoin(releases, releases.c.id == ledger.c.release)
        return query.where(terminals.c.n.in_(there))
    if kind == "twin":
        return query.outerjoin(ledger, ledger.c.terminal == -1).outerjoin(releases, releases.c.id == -1).where(
            terminals.c.twin.is_not(None)
        )  # fmt: skip
    over = and_(line, bad, ledger.c.verdict == Verdict.FAILED.value, ledger.c.tries >= MAX_FAILURES)
    return query.join(ledger, over).join(releases, releases.c.id == ledger.c.release)


def _sites(db: Connection, numbers: list[int]) -> dict[int, str]:
    """The names of the gateways that answer for each of these."""
    query = select(members.c.terminal, gateways.c.name).join(gateways, gateways.c.id == members.c.gateway)
    found: dict[int, list[str]] = {}
    for row in db.execute(query.where(members.c.terminal.in_(numbers)).order_by(gateways.c.name)):
        found.setdefault(row.terminal, []).append(str(row.name))
    return {n: ", ".join(names) for n, names in found.items()}


def _job(kind: str, row: Any, sites: dict[int, str]) -> Job:
    return Job(
        kind=kind,
        tenant=row.tenant,
        id=row.id,
        model=row.model or "",
        place=row.place or sites.get(row.n, ""),
        address=row.address,
        release=f"{row.model}/{row.version}" if row.version else "",
        reason="two devices check in under this id" if kind == "twin" else row.reason or "",
        since=row.twin if kind == "twin" else row.updated,
        heard=row.heard,
    )
