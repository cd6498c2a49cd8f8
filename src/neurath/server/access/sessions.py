"""Who is signed in: sessions that end when nobody uses them, end in any case, and change their secret on the way. It keeps
hashes of secrets; it must never keep a secret."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, or_, select, update

from neurath.server.access import people
from neurath.server.access.people import Operator
from neurath.server.store.tables import session as sessions

#: A session ends after so long without a request, and in any case after so long; its secret changes so often, and the one
#: before is taken so long after (requests of the same page cross each other), seconds.
IDLE, WHOLE, ROTATE, GRACE = 3600.0, 12 * 3600.0, 900.0, 60.0
#: When it was last used is written so often, seconds.
NOTED = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """One browser of one operator. `csrf` is what its forms must hold; `due`: its secret is to change, or its use is to be
    written down."""

    id: int
    operator: Operator
    csrf: str
    rotates: bool
    due: bool


def begin(db: Connection, operator: Operator, address: str, now: float) -> str:
    """Signs an operator in; gives the secret for the cookie. Sessions that are over go."""
    db.execute(delete(sessions).where(or_(sessions.c.seen < now - IDLE, sessions.c.begun < now - WHOLE)))
    secret = secrets.token_urlsafe(32)
    values = {"key": _hash(secret), "operator": operator.id, "csrf": secrets.token_urlsafe(24), "address": address}
    db.execute(insert(sessions).values(**values, begun=now, renewed=now, seen=now))
    return secret


def find(db: Connection, secret: str, now: float) -> Session | None:
    """The session of this secret, where it is not over."""
    if not secret or len(secret) > 128:
        return None
    given = _hash(secret)
    row = db.execute(select(sessions).where(or_(sessions.c.key == given, sessions.c.was == given))).one_or_none()
    if row is None or now - row.seen > IDLE or now - row.begun > WHOLE:
        return None
    if row.key != given and now - row.renewed > GRACE:
        return None
    operator = people.by_number(db, row.operator)
    if operator.disabled is not None:
        return None
    rotates = row.key == given and now - row.renewed >= ROTATE
    return Session(row.id, operator, row.csrf, rotates, rotates or now - row.seen >= NOTED)


def used(db: Connection, found: Session, secret: str, now: float) -> str:
    """Writes down that a session was used; gives the new secret where it changed, "" where it did not."""
    values: dict[str, object] = {"seen": now}
    made = ""
    if found.rotates:
        made = secrets.token_urlsafe(32)
        values |= {"was": _hash(secret), "key": _hash(made), "renewed": now}
    # Of two requests that come together one changes the secret; the other goes on with the one before.
    mine = (sessions.c.id == found.id,) + ((sessions.c.key == _hash(secret),) if made else ())
    return made if db.execute(update(sessions).where(*mine).values(**values)).rowcount else ""


def end(db: Connection, secret: str) -> None:
    """Signs out."""
    given = _hash(secret)
    db.execute(delete(sessions).where(or_(sessions.c.key == given, sessions.c.was == given)))


def _hash(secret: str) -> str:
    """Secrets are random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
