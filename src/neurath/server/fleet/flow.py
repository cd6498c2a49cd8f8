"""How a rollout went over time, when it will be over at the pace it has, what failed and why, and what deltas saved: read from
the one ledger. It must never guess: what the ledger does not say is not drawn, what cannot be told is None."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from operator import add, sub
from typing import Any

from sqlalchemy import Connection, FromClause, func, select

from neurath.server.store.tables import action, ledger
from neurath.server.store.tables import release as releases
from neurath.units import UnixTime

#: Moments that a course is drawn with.
MOMENTS = 72
#: A pace is that of the last third of the time it has run, within these bounds, seconds.
LEAST, MOST = 60.0, 6 * 3600.0
#: Reasons that are told apart, and terminals that are named for each.
REASONS, NAMED = 12, 5


@dataclass(frozen=True, slots=True)
class Flow:
    """At each moment, how many terminals ran it, had failed, had its file, had been offered it, and had not; `waves` are the
    moments at which one was opened."""

    at: tuple[UnixTime, ...]
    installed: tuple[int, ...]
    failed: tuple[int, ...]
    distributed: tuple[int, ...]
    offered: tuple[int, ...]
    rest: tuple[int, ...]
    waves: tuple[UnixTime, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """So many terminals ended so for this reason; a few of them by (tenant, id)."""

    verdict: str
    reason: str
    count: int
    named: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """Bytes of the update files that arrived, and of the images that they stand for."""

    sent: int = 0
    whole: int = 0
    files: int = 0

    @property
    def bytes(self) -> int:
        return max(0, self.whole - self.sent)


def flow(db: Connection, fleet: FromClause, span: tuple[float, float], waves: Sequence[float]) -> Flow:
    """The course of a rollout from one moment to another, over the terminals it is for (`reach.each`). Who runs it without a
    line in the ledger did so all along, as far as is known here."""
    moments: dict[str, list[float]] = {"offered": [], "distributed": [], "installed": [], "failed": []}
    names = ("has", "failed", "offered", "distributed", "installed", "ended", "updated")
    targets = 0
    for row in db.execute(select(*(fleet.c[name] for name in names))):
        targets += 1
        for name, when in _moments(row):
            moments[name].append(when)
    for found in moments.values():
        found.sort()
    begin, end = span
    at = [begin + (end - begin) * step / (MOMENTS - 1) for step in range(MOMENTS - 1)] + [end]
    installed, failed, distributed, offered = (
        [bisect_right(moments[name], moment) for moment in at] for name in ("installed", "failed", "distributed", "offered")
    )
    # Each step is counted among those before it; on the chart every terminal stands once, where it has come to.
    ended = list(map(add, installed, failed))
    return Flow(
        tuple(UnixTime(one) for one in at),
        tuple(installed),
        tuple(failed),
        tuple(map(sub, distributed, ended)),
        tuple(map(sub, offered, distributed)),
        tuple(targets - one for one in offered),
        tuple(UnixTime(one) for one in waves),
    )


def _moments(row: Any) -> list[tuple[str, float]]:
    """Each step that a terminal has taken, and when. No step is later than one that comes after it: who ended has gone
    through all before, whoever brought it there."""
    found, last = [], inf
    end = (row.installed or row.ended or row.updated or -inf) if row.has else (row.ended or row.updated or -inf)
    steps = [("installed", end)] if row.has else [("failed", end)] if row.failed else []
    gone = bool(steps)
    steps += [(name, moment) for name, moment in (("distributed", row.distributed), ("offered", row.offered))]
    for name, moment in steps:
        if moment is None and not gone:
            continue
        gone = True
        last = min(last, last if moment is None else moment)
        found.append((name, last))
    return found


def finish(seen: Flow, left: int) -> UnixTime | None:
    """When so many more will run it at the pace of the last third of its time; None where nothing moved in that time."""
    now, begin = seen.at[-1], seen.at[0]
    window = min(max((now - begin) / 3, LEAST), MOST)
    first = next(n for n, at in enumerate(seen.at) if at >= now - window)
    came = seen.installed[-1] - seen.installed[first]
    took = now - seen.at[first]
    if left <= 0 or came <= 0 or took <= 0:
        return None
    return UnixTime(now + left * took / came)


def reasons(db: Connection, fleet: FromClause) -> list[Reason]:
    """What went wrong with a rollout, the most frequent first."""
    bad = (fleet.c.failed, ~fleet.c.has)
    query = select(fleet.c.verdict, fleet.c.reason, func.count().label("number")).where(*bad)
    query = query.group_by(fleet.c.verdict, fleet.c.reason).order_by(func.count().desc(), fleet.c.reason).limit(REASONS)
    found = []
    for row in db.execute(query).all():
        same = (fleet.c.verdict == row.verdict, fleet.c.reason == row.reason)
        names = select(fleet.c.tenant, fleet.c.id).where(*bad, *same).order_by(fleet.c.tenant, fleet.c.id).limit(NAMED)
        named = tuple((str(one.tenant), str(one.id)) for one in db.execute(names))
        found.append(Reason(row.verdict, row.reason, int(row.number), named))
    return found


def saved(db: Connection, fleet: FromClause | None = None) -> Saved:
    """What deltas saved of the bytes that full images would have been; of one rollout's terminals, or of all."""
    query = select(func.sum(action.c.size), func.sum(releases.c.size), func.count())
    query = query.join(releases, releases.c.id == action.c.release)
    if fleet is None:
        query = query.join(ledger, ledger.c.action == action.c.id).where(ledger.c.distributed.is_not(None))
    else:
        query = query.join(fleet, fleet.c.action == action.c.id).where(fleet.c.distributed.is_not(None))
    sent, whole, files = db.execute(query.where(action.c.kind == "delta")).one()
    return Saved(int(sent or 0), int(whole or 0), int(files or 0))
