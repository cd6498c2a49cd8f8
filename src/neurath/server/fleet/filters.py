"""Target filters that an operator keeps under a name. It knows texts; what they ask is fleet.target's to say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from neurath.errors import NotFound
from neurath.ids import checked_name
from neurath.server.fleet import target
from neurath.server.store.sql import upsert
from neurath.server.store.tables import kept_filter as filters
from neurath.server.store.tables import terminal as terminals

_SAVED = re.compile(r"(?<!\S)(\(*)saved:([A-Za-z0-9._-]{1,64})(?=[\s)]|$)")


@dataclass(frozen=True, slots=True)
class Saved:
    name: str
    text: str
    added: float


def keep(db: Connection, name: str, text: str, now: float) -> Saved:
    """Keeps a filter, in place of an earlier one of that name. Filters are kept with what they name written out."""
    checked_name(name, "filter")
    whole = expanded(db, text)
    target.clause(whole)
    query = upsert(filters).values(name=name, text=whole, added=now)
    db.execute(query.on_conflict_do_update(index_elements=["name"], set_={"text": whole, "added": now}))
    return Saved(name, whole, now)


def forget(db: Connection, name: str) -> None:
    find(db, name)
    db.execute(delete(filters).where(filters.c.name == name))


def find(db: Connection, name: str) -> Saved:
    row = db.execute(select(filters).where(filters.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"no filter {name[:64]!r}", "none is kept under that name", "neurath filter list", id="NRT-147")
    return Saved(**row._asdict())


def all_kept(db: Connection) -> list[Saved]:
    return [Saved(**row._asdict()) for row in db.execute(select(filters).order_by(filters.c.name))]


def count(db: Connection, saved: Saved) -> int:
    """How many terminals in service it names now."""
    asked = (target.clause(saved.text), terminals.c.decommissioned.is_(None))
    return int(db.scalar(select(func.count()).select_from(terminals).where(*asked)) or 0)


def expanded(db: Connection, text: str) -> str:
    """The filter with every `saved:NAME` in it written out: a rollout means what the name meant when it was made."""
    return _SAVED.sub(lambda found: f"{found[1]}({find(db, found[2]).text or 'id:*'})", text)
