"""What screens show of rollouts: how far each has come, which wave is open, and why one was halted. It reads; it must never
move one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, select

from neurath.server.fleet import reach, waves
from neurath.server.fleet import rollout as fleet
from neurath.server.fleet.matrix import Keep, anew
from neurath.server.software import catalog
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout
from neurath.units import UnixTime


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout: which release, how many terminals it is for, how many of them run it (whoever brought it), failed with
    it, or are at it; of how many waves the which is open (`wave` 0: none), to how many terminals, and how many of those said
    nothing in time; `why` says why it was halted; `back` is the
    rollout it takes back."""

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
    back: int | None = None


def rollout_now(db: Connection, number: int, now: UnixTime) -> Rollout:
    """One of them."""
    query = select(rollout, releases.c.model, releases.c.version).join(releases, releases.c.id == rollout.c.release)
    return _rollout(db, db.execute(query.where(rollout.c.id == number)).one(), now)


def rollouts(db: Connection, now: UnixTime, limit: int = 20, keep: Keep = anew) -> list[Rollout]:
    """The newest rollouts, those that want a person first, then running ones."""
    running = case(
        (rollout.c.state == "halted", 0), (rollout.c.state == "running", 1), (rollout.c.state == "paused", 2), else_=3
    )
    query = select(rollout, releases.c.model, releases.c.version)
    query = query.join(releases, releases.c.id == rollout.c.release).order_by(running, rollout.c.id.desc()).limit(limit)
    found = []
    for row in db.execute(query).all():
        # What a rollout is does not come from memory, only how many stand where.
        found.append(keep(f"rollout {row.id} {row.state} {row.step}", lambda row=row: _rollout(db, row, now)))  # type: ignore[misc]
    return found


def _rollout(db: Connection, row: Any, now: UnixTime) -> Rollout:
    found = fleet.find(db, row.id)
    stand = reach.stand(db, fleet.course(db, found), catalog.find_release(db, str(found.release)), now)
    return Rollout(
        id=row.id,
        model=row.model,
        version=row.version,
        state=row.state,
        targets=stand.targets,
        confirmed=stand.installed,
        failed=stand.failed,
        working=stand.working,
        started=row.started,
        created=row.created,
        policy=row.policy,
        target=row.target,
        wave=row.step + 1 if row.gate else 0,
        waves=len(waves.policy(row.policy).waves) + 1,
        admitted=stand.admitted,
        silent=0 if row.policy == str(waves.AT_ONCE) else stand.silent,
        why=row.why,
        back=row.back,
    )
