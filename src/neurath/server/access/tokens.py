"""Tokens of scripts: named, with a role and an end, shown once. And certificates of stations, which open what a station needs
and nothing else. It keeps hashes, and certificates, which are public; it must never keep a token."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from neurath.errors import NotFound, RefusedError, UsageError
from neurath.ids import checked_name
from neurath.server.access.roles import Actor, Role, demand
from neurath.server.store.tables import api_token as tokens
from neurath.server.store.tables import operator as operators
from neurath.wire import certificate

PREFIX = "nrt_"
DAY = 86400.0
#: Days a token lives where nothing is said, and at the most.
DAYS, MOST_DAYS = 90, 3650
#: When one was last used is written so often, seconds.
NOTED = 3600.0
_FORM = re.compile(r"nrt_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; `operator`: the number of who made it, None where the command line did."""

    name: str
    role: Role
    added: float
    expires: float
    used: float | None
    by: str
    operator: int | None
    station: bool = False  # it is a certificate


@dataclass(frozen=True, slots=True)
class Asked:
    """A token that is wanted."""

    name: str
    role: Role
    days: int = DAYS
    certificate: str = ""  # in PEM; it ends when it says


def add(db: Connection, asked: Asked, maker: Actor, now: float) -> str:
    """A new token, the only time it is seen; "" where a station's certificate is known from now on. Nobody makes one that
    may do more than he may."""
    checked_name(asked.name, "token name")
    demand(maker, asked.role, "a token for that")
    if not 1 <= asked.days <= MOST_DAYS:
        raise UsageError("a token lives for days", f"1 to {MOST_DAYS}", "--days 90")
    if db.scalar(select(tokens.c.name).where(tokens.c.name == asked.name)) is not None:
        raise RefusedError(f"there is a token {asked.name} already", "", "neurath token list", id="NRT-364")
    values = {"name": asked.name, "role": asked.role.word, "by": maker.name, "operator": maker.operator, "added": now}
    if asked.certificate:
        db.execute(insert(tokens).values(**values, **_pinned(db, asked, now)))
        return ""
    token = PREFIX + secrets.token_urlsafe(32)
    db.execute(insert(tokens).values(**values, hash=_hash(token), expires=now + asked.days * DAY))
    return token


def _pinned(db: Connection, asked: Asked, now: float) -> dict[str, object]:
    """What is kept of a station's certificate."""
    if asked.role is not Role.OPERATOR:
        raise UsageError(
            "a certificate is a station's", "it brings records, as operators may, and nothing else", "--role operator"
        )
    der, ends = certificate.read(asked.certificate.encode())
    if ends <= now:
        raise RefusedError("this certificate has ended", "", "neurath key create NAME --certificate DAYS", id="NRT-364")
    name = hashlib.sha256(der).hexdigest()
    if db.scalar(select(tokens.c.name).where(tokens.c.hash == name)) is not None:
        raise RefusedError("this certificate is known already", "", "neurath token list", id="NRT-364")
    return {"hash": name, "expires": ends, "certificate": base64.b64encode(der).decode()}


def certificates(db: Connection, now: float) -> list[bytes]:
    """Those of all stations that may speak, as they are shown in TLS."""
    found = db.scalars(select(tokens.c.certificate).where(tokens.c.certificate != "", tokens.c.expires > now))
    return [base64.b64decode(one) for one in found]


def everyone(db: Connection) -> list[Token]:
    return [_token(row) for row in db.execute(select(tokens).order_by(tokens.c.name))]


def revoke(db: Connection, name: str) -> None:
    if not db.execute(delete(tokens).where(tokens.c.name == name)).rowcount:
        raise NotFound(f"no token {name[:64]!r}", "none has this name", "neurath token list", id="NRT-158")


def admit(db: Connection, given: str, now: float, address: str = "") -> tuple[Actor, bool] | None:
    """Whose token this is, and whether its use is to be written down; None where it is nobody's, or over."""
    return _admitted(db, _hash(given), now, address, station=False) if _FORM.fullmatch(given) else None


def admit_station(db: Connection, der: bytes, now: float, address: str = "") -> tuple[Actor, bool] | None:
    """The same for a certificate whose private key the connection's other end has shown that it holds."""
    return _admitted(db, hashlib.sha256(der).hexdigest(), now, address, station=True)


def _admitted(db: Connection, name: str, now: float, address: str, *, station: bool) -> tuple[Actor, bool] | None:
    row = db.execute(select(tokens).where(tokens.c.hash == name)).one_or_none()
    if row is None or now >= row.expires or bool(row.certificate) is not station:
        return None
    found = _token(row)
    if found.operator is not None:
        gone = db.scalar(select(operators.c.disabled).where(operators.c.id == found.operator))
        if gone is not None:
            return None
    due = now - (found.used or 0.0) >= NOTED
    return Actor(found.name, found.role, "station" if station else "token", address, found.operator), due


def used(db: Connection, name: str, now: float) -> None:
    db.execute(update(tokens).where(tokens.c.name == name).values(used=now))


def _token(row: Row[tuple[object, ...]]) -> Token:
    given = row._mapping
    role = Role[str(given["role"]).upper()]
    moments = given["added"], given["expires"], given["used"]
    return Token(given["name"], role, *moments, given["by"], given["operator"], bool(given["certificate"]))


def _hash(token: str) -> str:
    """Tokens are random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
