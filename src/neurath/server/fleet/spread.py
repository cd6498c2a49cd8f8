"""What screens show of rollouts: how far each has come, which wave is open, and why one was halted. It reads; it must never
move one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from neurath.server.fleet import rollout as fleet
from neurath.server.fleet import waves
from neurath.server.fleet.waves import Tally
from neurath.server.store.tables import component, ledger, rollout, rollout_terminal
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime
from neurath.wire.report import Phase


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout: which release, how many terminals it is for, how many of them run it (whoever brought it), failed with
    it, or are at it; of how many waves the which is open (`wave` 0: none), to how many terminals, and how many of those said
    nothing in time; `why` says why it was halted."""

    id: int
    model: str
    version: str
    state: str
    targets: int
    confirmed: int
    failed: int
    working: int
    started: UnixTime | None
    created: UnixTime | None
    policy: str = ""
    target: str = ""
    wave: int = 0
    waves: int = 0
    admitted: int = 0
    silent: int = 0
    why: str = ""


def rollouts(db: Connection, now: UnixTime, limit: int = 20) -> list[Rollout]:
    """The newest rollouts, those that want a person first, then running ones."""
    running = case(
        (rollout.c.state == "halted", 0), (rollout.c.state == "running", 1), (rollout.c.state == "paused", 2), else_=3
    )
    named = (
        select(func.count())
        .select_from(rollout_terminal)
        .where(rollout_terminal.c.rollout == rollout.c.id)
        .scalar_subquery()
        .label("named")
    )
    all_of_model = (
        select(func.count())
        .select_from(terminals)
        .where(terminals.c.model == releases.c.model)
        .correlate(releases)
        .scalar_subquery()
        .label("all_of_model")
    )
    query = select(rollout, releases.c.model, releases.c.version, releases.c.image, named, all_of_model)
    query = query.join(releases, releases.c.id == rollout.c.release).order_by(running, rollout.c.id.desc()).limit(limit)
    return [_rollout(db, row, now) for row in db.execute(query).all()]


def _rollout(db: Connection, row: Any, now: UnixTime) -> Rollout:
    mine = select(terminals.c.n).where(terminals.c.model == row.model)
    if not row.everyone:
        mine = select(rollout_terminal.c.terminal).where(rollout_terminal.c.rollout == row.id)
    query = select(ledger.c.verdict, ledger.c.phase, func.count().label("number")).where(ledger.c.release == row.release)
    stand = db.execute(query.where(ledger.c.terminal.in_(mine)).group_by(ledger.c.verdict, ledger.c.phase)).all()
    holding = select(component.c.terminal).where(component.c.bank == row.image, component.c.terminal.in_(mine))
    said = select(ledger.c.terminal).where(
        ledger.c.release == row.release, ledger.c.verdict == "confirmed", ledger.c.terminal.in_(mine)
    )
    counted = _tally(db, row, now)
    return Rollout(
        id=row.id,
        model=row.model,
        version=row.version,
        state=row.state,
        targets=counted.targets if counted else row.all_of_model if row.everyone else row.named,
        confirmed=db.scalar(select(func.count()).select_from(holding.union(said).subquery())) or 0,
        failed=sum(s.number for s in stand if s.verdict in ("failed", "refused", "restoration")),
        working=sum(s.number for s in stand if s.verdict == "pending" and s.phase != Phase.OFFERED.value),
        started=row.started,
        created=row.created,
        policy=row.policy,
        target=row.target,
        wave=row.step + 1 if row.gate else 0,
        waves=len(waves.policy(row.policy).waves) + 1,
        admitted=counted.admitted if counted else 0,
        silent=counted.silent if counted else 0,
        why=row.why,
    )


def _tally(db: Connection, row: Any, now: UnixTime) -> Tally | None:
    """What its waves came to; None where it has none."""
    if row.policy == str(waves.AT_ONCE) and not row.target:
        return None
    return fleet.tally(db, fleet.find(db, row.id), now)
