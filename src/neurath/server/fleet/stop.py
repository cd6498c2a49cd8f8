"""The one switch that stops everything: while it is thrown no terminal is given any software, whatever rollouts and pins say.
It knows who threw it and why; it must never keep a torn terminal from its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, ScalarSelect, delete, insert, select

from neurath.errors import NothingToDo
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import setting

_KEY = "stop"


@dataclass(frozen=True, slots=True)
class Stop:
    """Since when, by whom, why."""

    at: float
    by: str = ""
    why: str = ""


def stopped(db: Connection) -> Stop | None:
    """The stop that holds now."""
    return read(db.scalar(select(said())))


def said() -> ScalarSelect[str]:
    """Whether everything is stopped, for a query that asks more."""
    return select(setting.c.value).where(setting.c.key == _KEY).scalar_subquery()


def read(text: str | None) -> Stop | None:
    """The same read."""
    return Stop(**json.loads(text)) if text else None


def stop(db: Connection, found: Stop) -> None:
    """Everything stops with this write; who holds an offer is told. NothingToDo where it was stopped before."""
    if stopped(db) is not None:
        raise NothingToDo("everything is stopped already")
    db.execute(insert(setting).values(key=_KEY, value=json.dumps(asdict(found))))
    _tell(db)


def go_on(db: Connection) -> None:
    """Everything is as it was; NothingToDo where nothing was stopped."""
    if stopped(db) is None:
        raise NothingToDo("nothing is stopped")
    db.execute(delete(setting).where(setting.c.key == _KEY))
    _tell(db)


def _tell(db: Connection) -> None:
    running = list(db.scalars(select(rollouts.c.id).where(rollouts.c.state == "running")))
    if running:
        db.execute(insert(notices), [{"rollout": number} for number in running])
