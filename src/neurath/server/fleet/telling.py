"""Whom a rollout has something for, so that he is told to check in. It knows who listens and what he lacks; it must never tell
anybody itself, nor change a rollout."""

from __future__ import annotations

from sqlalchemy import Connection, select

from neurath.server.fleet import reach, rollout, stop
from neurath.server.fleet.reach import Listening, Told
from neurath.server.fleet.rollout import Rollout
from neurath.server.fleet.waves import State
from neurath.server.software import catalog
from neurath.server.store.tables import notice as notices


def notices_since(db: Connection, mark: int, listening: Listening = None) -> tuple[int, list[Told]]:
    """Whom of those who listen to tell to check in since the mark, and the new mark."""
    found: dict[int, Told] = {}
    for row in db.execute(select(notices).where(notices.c.id > mark).order_by(notices.c.id)).all():
        mark = row.id
        told = reach.pinned(db, row.terminal) if row.rollout is None else lacking(db, rollout.find(db, row.rollout), listening)
        found |= {one.n: one for one in told}
    return mark, list(found.values())


def lacking(db: Connection, found: Rollout, listening: Listening = None) -> list[Told]:
    """Those who listen that a rollout is open to and that lack its release; where it stands still, who holds its offer."""
    if found.state != State.RUNNING.value or stop.stopped(db) is not None:
        return reach.holding(db, found.id, listening)
    return reach.lacking(db, rollout.course(db, found), catalog.find_release(db, str(found.release)), listening)


def unreached(db: Connection, listening: Listening = None) -> list[Told]:
    """Everybody who listens and lacks something that a running rollout gives him, and was neither told nor came by himself."""
    found: dict[int, Told] = {}
    if stop.stopped(db) is not None:
        return []
    for one in (one for one in rollout.all_rollouts(db) if one.state == State.RUNNING.value):
        known = catalog.find_release(db, str(one.release))
        lacks = reach.lacking(db, rollout.course(db, one), known, listening, untold=True)
        found |= {told.n: told for told in lacks}
    return list(found.values())
