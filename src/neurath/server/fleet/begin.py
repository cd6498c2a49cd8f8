"""A rollout that is created and started in one act, whichever door asks for it: console, command line, watched folder,
upload. It knows what such a rollout is going to be; it must never count a fleet while nobody else can write, where that can
be done before."""

from __future__ import annotations

from sqlalchemy import Connection

from neurath.server.fleet import filters, pieces, rollout
from neurath.server.fleet.rollout import NOBODY_SAID, Counted, Person, Plan, Rollout
from neurath.server.fleet.waves import State
from neurath.server.store.sql import next_number
from neurath.server.store.tables import rollout as rollouts


def foreseen(db: Connection, plan: Plan, now: float) -> Counted | None:
    """What begin() would count of all terminals while nobody else writes, to be had before that; None: nothing that takes
    time. Terminals draw by the rollout's number: the one it will have, if nobody is quicker."""
    if plan.terminals is not None:
        return None  # those who are named are few, and are not written down yet
    made = Rollout(
        id=next_number(db, rollouts.c.id),
        release=plan.release.id,
        state=State.DRAFT.value,
        everyone=True,
        time_limit=plan.time_limit,
        created=now,
        started=None,
        ended=None,
        terminals=0,
        policy=str(plan.policy),
        target=filters.expanded(db, plan.target),
        gate=0,
        pieces=pieces.said(plan.pieces),
        back=plan.back,
    )
    return rollout.count(db, made, "start", now)


def begin(db: Connection, plan: Plan, before: Counted | None, now: float, person: Person = NOBODY_SAID) -> Rollout:
    """Creates it and starts it, with what was counted `before` the write began at the same `now`; it counts for nothing where
    it became another rollout than was foreseen."""
    made = rollout.create(db, plan, now)
    if before is None or before.found != made:
        before = rollout.counted(db, made.id, "start", now)
    return rollout.moved(db, before, "start", now, person)
