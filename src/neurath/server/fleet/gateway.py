"""Gateways: carrier servers at sites, enrolled with a token each, revocable, and the terminals each answers for. It knows who
may speak for whom; it must never keep a token, and never let a revoked one in again."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from neurath.errors import NotFound, RefusedError
from neurath.ids import TerminalId, checked_name
from neurath.server.fleet import access
from neurath.server.fleet.access import DEFAULT_TENANT, Stranger, Terminal
from neurath.server.store.sql import upsert
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import gateway as gateways
from neurath.server.store.tables import gateway_terminal as members
from neurath.server.store.tables import terminal as terminals


@dataclass(frozen=True, slots=True)
class Gateway:
    """An enrolled gateway of a tenant; `terminals` is how many it answers for."""

    id: int
    tenant: str
    name: str
    added: float
    heard: float | None
    revoked: float | None
    terminals: int


def add(db: Connection, name: str, tenant: str = DEFAULT_TENANT, now: float = 0.0) -> str:
    """Enrols a gateway and gives its token, the only time it is seen; RefusedError when the name was ever given away."""
    checked_name(name, "gateway name")
    checked_name(tenant, "tenant")
    if _row(db, name) is not None:
        raise RefusedError(f"there is, or was, a gateway {name}", "names are given once", "choose another name", id="NRT-346")
    token = secrets.token_hex(24)
    db.execute(insert(gateways).values(tenant=tenant, name=name, token=_hash(token), added=now))
    return token


def revoke(db: Connection, name: str, now: float) -> None:
    """From now on it is a stranger, and answers for nobody."""
    found = find(db, name)
    if found.revoked is not None:
        raise RefusedError(f"gateway {name} is revoked already", "", "neurath gateway list", id="NRT-346")
    db.execute(update(gateways).where(gateways.c.id == found.id).values(revoked=now))
    db.execute(delete(members).where(members.c.gateway == found.id))


def assign(db: Connection, name: str, wanted: Iterable[str], *, take_away: bool = False) -> None:
    """Lets a gateway answer for these terminals of its tenant, or no longer."""
    found = find(db, name)
    if found.revoked is not None:
        raise RefusedError(f"gateway {name} is revoked", "", "neurath gateway add another", id="NRT-346")
    for one in wanted:
        terminal = access.find(db, one, found.tenant)
        row = {"gateway": found.id, "terminal": terminal.n}
        if take_away:
            db.execute(delete(members).where(members.c.gateway == found.id, members.c.terminal == terminal.n))
        else:
            db.execute(upsert(members).values(**row).on_conflict_do_nothing())


def find(db: Connection, name: str) -> Gateway:
    row = _row(db, name)
    if row is None:
        raise NotFound(f"no gateway {name!r}", "none is enrolled under this name", "neurath gateway list", id="NRT-146")
    return _gateway(db, row)


def everyone(db: Connection) -> list[Gateway]:
    return [_gateway(db, row) for row in db.execute(select(gateways).order_by(gateways.c.name))]


def admit(db: Connection, authorization: str) -> Gateway:
    """The gateway that this `Authorization` header belongs to, or Stranger."""
    scheme, _, token = authorization.partition(" ")
    given = _hash(token.strip()) if scheme.lower() == "gatewaytoken" else "-"
    row = db.execute(select(gateways).where(gateways.c.token == given, gateways.c.revoked.is_(None))).one_or_none()
    if row is None or not hmac.compare_digest(str(row.token), given):
        raise Stranger("this gateway is not known here", "unknown or revoked token", "neurath gateway add NAME")
    return _gateway(db, row)


def heard(db: Connection, found: Gateway, now: float) -> None:
    db.execute(update(gateways).where(gateways.c.id == found.id).values(heard=now))


def named(db: Connection, found: Gateway, wanted: Iterable[str]) -> list[Terminal]:
    """Those of the named terminals that it answers for."""
    query = _mine(found).where(terminals.c.id.in_(list(wanted)))
    return [access.by_number(db, row.n) for row in db.execute(query)]


def after(db: Connection, found: Gateway, name: str, count: int) -> list[Terminal]:
    """The next of its terminals in the order of their ids."""
    query = _mine(found).where(terminals.c.id > name).limit(count)
    return [access.by_number(db, row.n) for row in db.execute(query)]


def program(db: Connection, found: Gateway, prefix: str) -> int | None:
    """An open action of a terminal of its own whose file's digest begins so; None: nothing of its business."""
    query = (
        select(actions.c.id)
        .join(members, members.c.terminal == actions.c.terminal)
        .where(members.c.gateway == found.id, actions.c.state == "open", actions.c.kind != "package")
        .where(actions.c.file.startswith(prefix, autoescape=True))
    )
    return db.scalar(query.order_by(actions.c.id.desc()).limit(1))


def terminals_of(db: Connection, found: Gateway) -> list[TerminalId]:
    query = select(terminals.c.id).join(members, members.c.terminal == terminals.c.n).where(members.c.gateway == found.id)
    return [TerminalId(name) for name in db.scalars(query.order_by(terminals.c.id))]


def _mine(found: Gateway) -> Select[tuple[int]]:
    join = members.c.terminal == terminals.c.n
    return select(terminals.c.n).join(members, join).where(members.c.gateway == found.id).order_by(terminals.c.id)


def _row(db: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return db.execute(select(gateways).where(gateways.c.name == name)).one_or_none()


def _gateway(db: Connection, row: Row[tuple[object, ...]]) -> Gateway:
    count = db.scalar(select(func.count()).where(members.c.gateway == row.id)) or 0
    return Gateway(row.id, row.tenant, row.name, row.added, row.heard, row.revoked, count)


def _hash(token: str) -> str:
    """Tokens are random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
