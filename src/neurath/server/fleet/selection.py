"""Which release a component of a terminal is meant to run, and on which terms: its pin, else the newest that a running rollout
gives it (A4). It reads rollouts; it must never move one, nor look at links or memory."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, union

from neurath.server.delivery.pace import TIME_LIMIT
from neurath.server.fleet import actions, reach, waves
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.reach import Course
from neurath.server.fleet.terms import PLAIN, Terms
from neurath.server.fleet.waves import State
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store.tables import component as components
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts

# Questions of every poll that is looked up, made once: to put one together takes longer than to ask it.
_RUNNING = (
    select(rollouts.c.id, rollouts.c.everyone, rollouts.c.target, rollouts.c.gate)
    .add_columns(rollouts.c.policy, rollouts.c.time_limit, rollouts.c.back, *catalog.COLUMNS)
    .join(releases, releases.c.id == rollouts.c.release)
    .where(
        rollouts.c.state == State.RUNNING.value,
        releases.c.model == bindparam("of"),
        releases.c.component == bindparam("part"),
        releases.c.revoked.is_(None),
    )
    .order_by(releases.c.epoch.desc(), releases.c.sequence.desc(), rollouts.c.id.desc())
)
_POLICY = select(rollouts.c.policy).where(rollouts.c.id == bindparam("number"))
_COMPONENTS = union(
    select(components.c.name).where(components.c.terminal == bindparam("n")),
    select(actions.TABLE.c.component).where(actions.TABLE.c.terminal == bindparam("n"), actions.ALIVE),
    select(releases.c.component)
    .join(rollouts, rollouts.c.release == releases.c.id)
    .where(rollouts.c.state == State.RUNNING.value, releases.c.model == bindparam("of")),
)


@dataclass(frozen=True, slots=True)
class Selected:
    """The release a component is meant to run, by which rollout (None: pinned), how long its transfer may take, on which
    terms it is given, and which rollout that takes back."""

    release: Release
    rollout: int | None
    limit: float
    terms: Terms = PLAIN
    back: int | None = None


def select_release(db: Connection, terminal: Terminal, component: str) -> Selected | None:
    """A4: the pin, else the newest release of the model that a running rollout gives to this terminal; revoked ones never."""
    pinned = db.scalar(select(components.c.pin).where(components.c.terminal == terminal.n, components.c.name == component))
    return selected(db, terminal, component, pinned)


def selected(db: Connection, terminal: Terminal, component: str, pinned: int | None) -> Selected | None:
    """The same where its pin is known."""
    if pinned is not None:
        release = catalog.find_release(db, str(pinned))
        return None if release.revoked is not None else Selected(release, None, TIME_LIMIT)
    for row in db.execute(_RUNNING, {"of": terminal.model, "part": component}):
        number, everyone, among, gate, policy, limit, back, *rest = row
        release = catalog.of_columns(rest)
        if reach.admits(db, Course(number, everyone, among, gate, channels=release.channels), terminal.n):
            return Selected(release, number, limit, waves.policy(policy).terms, back)
    return None


def terms_of(db: Connection, number: int | None) -> Terms:
    """On which terms a rollout gives its release; a pin (None) has none."""
    if number is None:
        return PLAIN
    return waves.policy(str(db.scalar(_POLICY, {"number": number}))).terms


def components_of(db: Connection, terminal: Terminal) -> list[str]:
    """The components of a terminal that it showed, is pinned for, has something open for, or that a running rollout of its
    model is about."""
    return sorted(db.scalars(_COMPONENTS, {"n": terminal.n, "of": terminal.model}))
