"""What people were to be told, in order: each cause when it came, when its text changed, and when it was over. It knows what
stands by its last event; it must never forget an event before every channel had it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from neurath.server.alerts.causes import Cause
from neurath.server.store.tables import alert as events

#: Events are kept so long, seconds, and until everybody had them.
KEPT = 90 * 86400.0


@dataclass(frozen=True, slots=True)
class Event:
    """`over`: the cause is no more."""

    id: int
    key: str
    cause: str
    subject: str
    text: str
    at: float
    over: bool


def note(db: Connection, found: Iterable[Cause], causes: Iterable[str], now: float) -> int:
    """Writes down what changed among these causes; how many events that made."""
    now_there = {one.key: one for one in found}
    before = {one.key: one for one in standing(db) if one.cause in set(causes)}
    fresh = [one for one in now_there.values() if one.key not in before or before[one.key].text != one.text]
    gone = [one for key, one in before.items() if key not in now_there]
    rows = [_row(one, now, over=False) for one in fresh] + [_row(one, now, over=True) for one in gone]
    if rows:
        db.execute(insert(events), rows)
    return len(rows)


def _row(one: Cause | Event, now: float, *, over: bool) -> dict[str, object]:
    return {"key": one.key, "cause": one.cause, "subject": one.subject, "text": one.text, "at": now, "over": over}


def standing(db: Connection) -> list[Event]:
    """What is not over: the last event of each key, where it says so."""
    last = select(func.max(events.c.id)).group_by(events.c.key)
    query = select(events).where(events.c.id.in_(last), events.c.over.is_(False)).order_by(events.c.id)
    return [Event(**row._asdict()) for row in db.execute(query)]


def after(db: Connection, number: int, limit: int) -> list[Event]:
    """Events after one, oldest first."""
    query = select(events).where(events.c.id > number).order_by(events.c.id).limit(limit)
    return [Event(**row._asdict()) for row in db.execute(query)]


def page(db: Connection, before: int | None, limit: int) -> list[Event]:
    """Events, newest first."""
    query = select(events).order_by(events.c.id.desc()).limit(limit)
    return [Event(**r._asdict()) for r in db.execute(query if before is None else query.where(events.c.id < before))]


def prune(db: Connection, told: int | None, now: float) -> None:
    """Forgets what is old, over or repeated, and was told to everybody."""
    stays = [one.id for one in standing(db)]
    old = (events.c.at < now - KEPT, events.c.id.not_in(stays))
    db.execute(delete(events).where(*old) if told is None else delete(events).where(*old, events.c.id <= told))
