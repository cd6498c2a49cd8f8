"""Operators and their passwords. It knows argon2id and who may not be taken away; it must never keep a password, nor tell
from the time an answer takes whether somebody exists."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from neurath.errors import DataError, NotFound, RefusedError
from neurath.ids import checked_name
from neurath.server.access.roles import Actor, Role
from neurath.server.store.tables import api_token as tokens
from neurath.server.store.tables import operator as operators
from neurath.server.store.tables import session as sessions

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: Characters of a password, at the least; and bytes at the most.
SHORTEST, LONGEST = 12, 1024


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may sign in. `subject` is who he is at the identity provider, "" where he has a password here."""

    id: int
    name: str
    role: Role
    added: float
    disabled: float | None
    subject: str
    password: bool


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What is needed for one more; `password` "" for those whom an identity provider vouches for."""

    name: str
    role: Role
    password: str = ""
    subject: str = ""


def any_there(db: Connection) -> bool:
    """Whether set-up is over: there is, or was, an operator."""
    return db.scalar(select(operators.c.id).limit(1)) is not None


def everyone(db: Connection) -> list[Operator]:
    return [_operator(row) for row in db.execute(select(operators).order_by(operators.c.name))]


def find(db: Connection, name: str) -> Operator:
    row = _row(db, name)
    if row is None:
        raise NotFound(f"no operator {name[:64]!r}", "none has this name", "neurath operator list", id="NRT-157")
    return _operator(row)


def by_number(db: Connection, number: int) -> Operator:
    return _operator(db.execute(select(operators).where(operators.c.id == number)).one())


def by_subject(db: Connection, subject: str) -> Operator | None:
    row = db.execute(select(operators).where(operators.c.subject == subject)).one_or_none()
    return None if row is None or not subject else _operator(row)


def add(db: Connection, given: Newcomer, now: float) -> Operator:
    """One more operator; RefusedError where the name is taken. The first one is an admin, or set-up would not be over."""
    checked_name(given.name, "operator")
    if _row(db, given.name) is not None:
        raise RefusedError(f"there is an operator {given.name} already", "", "neurath operator list", id="NRT-364")
    if not any_there(db) and given.role is not Role.ADMIN:
        raise RefusedError("the first operator is an admin", "nobody else could let others in", "--role admin", id="NRT-364")
    if not given.subject or given.password:
        checked(given.password)
    kept = hashed(given.password) if given.password else ""
    values = {"name": given.name, "role": given.role.word, "password": kept, "added": now, "subject": given.subject}
    db.execute(insert(operators).values(**values))
    return find(db, given.name)


def set_password(db: Connection, found: Operator, password: str) -> None:
    """A new password; whoever is signed in with the old one is out."""
    checked(password)
    db.execute(update(operators).where(operators.c.id == found.id).values(password=hashed(password)))
    sign_out_everywhere(db, found)


def set_role(db: Connection, found: Operator, role: Role) -> None:
    if role is not Role.ADMIN:
        _another_admin(db, found)
    db.execute(update(operators).where(operators.c.id == found.id).values(role=role.word))
    sign_out_everywhere(db, found)


def disable(db: Connection, found: Operator, now: float | None) -> None:
    """May not sign in any more, nor may his tokens; None: he may again."""
    if now is not None:
        _another_admin(db, found)
        sign_out_everywhere(db, found)
    db.execute(update(operators).where(operators.c.id == found.id).values(disabled=now))


def remove(db: Connection, found: Operator) -> None:
    """For good, with sessions and tokens."""
    _another_admin(db, found)
    sign_out_everywhere(db, found)
    db.execute(delete(tokens).where(tokens.c.operator == found.id))
    db.execute(delete(operators).where(operators.c.id == found.id))


def sign_out_everywhere(db: Connection, found: Operator) -> None:
    db.execute(delete(sessions).where(sessions.c.operator == found.id))


def password_of(db: Connection, name: str) -> tuple[Operator | None, str]:
    """An operator who may sign in with a password, and what is kept of it; for `right`."""
    row = _row(db, name)
    if row is None or row.disabled is not None or not row.password:
        return None, ""
    return _operator(row), str(row.password)


def right(kept: str, password: str) -> bool:
    """Whether this is the password of which that is kept. Takes as long where nothing is kept: 64 MiB and tens of
    milliseconds, so never inside a transaction."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    if len(password.encode()) > LONGEST:
        return False
    try:
        _hasher().verify(kept or _of_nobody(), _plain(password))
    except (Argon2Error, InvalidHashError):
        return False
    return bool(kept)


def checked(password: str) -> str:
    """A password that may be one, or DataError."""
    if len(password) < SHORTEST or len(password.encode()) > LONGEST:
        why = f"{SHORTEST} characters at least, {LONGEST} bytes at most"
        raise DataError("this is no password", why, "several words are easier to keep than signs", id="NRT-229")
    return password


def hashed(password: str) -> str:
    return _hasher().hash(_plain(password))


def actor(found: Operator, way: str, address: str) -> Actor:
    return Actor(found.name, found.role, way, address, found.id)


def _plain(password: str) -> str:
    """The same password, however a keyboard composes its letters."""
    return unicodedata.normalize("NFC", password)


def _another_admin(db: Connection, found: Operator) -> None:
    """Somebody must be left who can let others in: set-up never opens again."""
    others = (operators.c.role == Role.ADMIN.word, operators.c.disabled.is_(None), operators.c.id != found.id)
    if found.role is Role.ADMIN and not (db.scalar(select(func.count()).where(*others)) or 0):
        raise RefusedError(f"{found.name} is the last admin", "nobody could let others in", "make another one", id="NRT-364")


def _row(db: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return db.execute(select(operators).where(operators.c.name == name)).one_or_none()


def _operator(row: Row[tuple[object, ...]]) -> Operator:
    given = row._mapping
    return Operator(
        id=given["id"],
        name=given["name"],
        role=Role[str(given["role"]).upper()],
        added=given["added"],
        disabled=given["disabled"],
        subject=given["subject"],
        password=bool(given["password"]),
    )


@functools.cache
def _hasher() -> PasswordHasher:
    """argon2id with the parameters of RFC 9106, the second recommended set: 64 MiB, three passes, four lanes."""
    from argon2 import PasswordHasher
    from argon2.profiles import RFC_9106_LOW_MEMORY

    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


@functools.cache
def _of_nobody() -> str:
    return _hasher().hash("nobody's password")
