"""What holds for one tenant: how its devices may show who they are beside a token each, and what becomes of one that comes for
the first time. It keeps hashes of tokens; it must never keep a token."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, ScalarSelect, delete, select

from neurath.errors import DataError
from neurath.ids import checked_name
from neurath.server import links
from neurath.server.store.sql import upsert
from neurath.server.store.tables import setting

_KEY = "tenant:"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`gateway` is the hash of the token that speaks for all its devices; `authorities` are the hashes of issuers whose
    certificates it takes; `first_contact`: whoever shows one of these is registered when it comes, as a `model` where one is
    given; `anonymous`: packages are given out without showing anything. All of it is off where nothing is said. `budget`:
    bytes that each of its terminals may be sent in a month, 0: no limit; `links`: what is wanted of how they prove who they
    are, a Rule's name (docs/spec/links.md)."""

    gateway: str = ""
    authorities: tuple[str, ...] = ()
    first_contact: bool = True
    model: str = ""
    anonymous: bool = False
    budget: int = 0
    links: str = "token"


def find(db: Connection, name: str) -> Tenant:
    """What was said about a tenant; everything off where nothing was."""
    return read(db.scalar(select(said(name))))


def said(name: str | ColumnElement[str]) -> ScalarSelect[str]:
    """What was said about a tenant, for a query that asks more."""
    return select(setting.c.value).where(setting.c.key == _KEY + name).scalar_subquery()


def read(text: str | None) -> Tenant:
    """The same read; everything off where nothing was said."""
    if not text:
        return Tenant()
    given = json.loads(text)
    return Tenant(**given | {"authorities": tuple(given["authorities"])})


def keep(db: Connection, name: str, tenant: Tenant) -> None:
    checked_name(name, "tenant")
    if not all(re.fullmatch(r"[0-9a-z:_-]{8,128}", one) for one in tenant.authorities):
        raise DataError("this is no hash of an issuer", "8 to 128 hexadecimal digits", "as the proxy sends it", id="NRT-262")
    links.rule(tenant.links)
    if tenant == Tenant():
        db.execute(delete(setting).where(setting.c.key == _KEY + name))
        return
    query = upsert(setting).values(key=_KEY + name, value=json.dumps(dataclasses.asdict(tenant)))
    db.execute(query.on_conflict_do_update(index_elements=["key"], set_={"value": query.excluded.value}))


def new_gateway_token() -> tuple[str, str]:
    """A token for gateways, and the hash to keep of it."""
    token = secrets.token_hex(24)
    return token, hashed(token)


def hashed(token: str) -> str:
    """Tokens are random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def takes_token(tenant: Tenant, token: str) -> bool:
    """Whether this is the token of the tenant's gateways."""
    return bool(tenant.gateway) and hmac.compare_digest(tenant.gateway, hashed(token))


def takes_issuer(tenant: Tenant, authorities: tuple[str, ...]) -> bool:
    """Whether one of these issuers is the tenant's."""
    return bool(set(authorities) & set(tenant.authorities))
