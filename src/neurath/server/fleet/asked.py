"""Whom software waits for: which terminals wait for a person or for the end of a use, since when, and what was answered
before. It reads the timeline; it must never answer for anybody."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, or_, select

from neurath.server.store.tables import action as actions
from neurath.server.store.tables import event as events
from neurath.server.store.tables import ledger
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime
from neurath.wire.report import Phase

WAITS = (Phase.WAITING_FOR_USER.value, Phase.WAITING_FOR_USE_END.value)
#: An action that waits for a word of the device's owner, as hawkBit has it.
CONFIRMING = "confirming"
#: Questions that are shown, and answers.
MOST, PAST = 200, 50


@dataclass(frozen=True, slots=True)
class Question:
    """Who is asked about which version: `what` is the wait's phase, or "confirming"; `since` the moment it was asked last;
    `reason` in the terminal's own words; `reminded` when an operator last reminded."""

    tenant: str
    id: str
    model: str
    component: str
    version: str
    what: str
    since: UnixTime | None
    reason: str
    heard: UnixTime | None
    reminded: UnixTime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What followed a question: `said` is the kind of the next line of its timeline."""

    tenant: str
    id: str
    component: str
    asked: UnixTime
    at: UnixTime
    said: str
    text: str


def open_questions(db: Connection) -> list[Question]:
    """Everybody who is asked now, the longest first."""
    said = (events.c.terminal == ledger.c.terminal, events.c.component == ledger.c.component, events.c.kind == ledger.c.phase)
    since = select(func.max(events.c.at)).where(*said).correlate(ledger).scalar_subquery()
    own = [terminals.c[name] for name in ("tenant", "id", "model", "heard", "reminded")]
    query = select(*own, ledger.c.component, releases.c.version, ledger.c.phase, ledger.c.reason, actions.c.state)
    query = query.add_columns(func.coalesce(since, ledger.c.updated).label("since"), ledger.c.offered)
    query = query.join(ledger, ledger.c.terminal == terminals.c.n).join(releases, releases.c.id == ledger.c.release)
    query = query.join(actions, actions.c.id == ledger.c.action).where(ledger.c.verdict == "pending")
    waiting = and_(ledger.c.phase.in_(WAITS), actions.c.state == "open")
    query = query.where(terminals.c.decommissioned.is_(None), or_(waiting, actions.c.state == CONFIRMING))
    found = []
    for row in db.execute(query.order_by("since").limit(MOST)):
        confirming = row.state == CONFIRMING
        found.append(
            Question(
                row.tenant,
                row.id,
                row.model or "",
                row.component,
                row.version,
                CONFIRMING if confirming else row.phase,
                row.offered if confirming else row.since,
                row.reason,
                row.heard,
                row.reminded,
            )
        )
    return found


def answers(db: Connection) -> list[Answer]:
    """What became of the last questions that were answered, newest first."""
    after = events.alias("after")
    same = (after.c.terminal == events.c.terminal, after.c.component == events.c.component, after.c.id > events.c.id)
    following = select(func.min(after.c.id)).where(*same, after.c.kind != "reminded").correlate(events).scalar_subquery()
    query = select(terminals.c.tenant, terminals.c.id, events.c.component, events.c.at, following.label("next"))
    query = query.join(terminals, terminals.c.n == events.c.terminal).where(events.c.kind.in_((*WAITS, "denied")))
    rows = [row for row in db.execute(query.order_by(events.c.id.desc()).limit(4 * PAST)) if row.next is not None]
    numbers = [row.next for row in rows[:PAST]]
    then = {one.id: one for one in db.execute(select(events).where(events.c.id.in_(numbers)))}
    return [
        Answer(row.tenant, row.id, row.component, row.at, then[row.next].at, then[row.next].kind, then[row.next].text)
        for row in rows[:PAST]
    ]
