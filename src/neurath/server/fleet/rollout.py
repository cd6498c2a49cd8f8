"""Which release a terminal is meant to run: its pin, else the newest release that a running rollout gives it, else none. It
knows rollouts and their states; it must never look at links or memory. Waves come between `eligible` and the terminals."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, exists, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from neurath.errors import NotFound, NothingToDo, RefusedError
from neurath.server.delivery.pace import TIME_LIMIT
from neurath.server.fleet import access, actions
from neurath.server.fleet.access import Terminal
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store.tables import component as components
from neurath.server.store.tables import ledger
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import rollout_terminal as members
from neurath.server.store.tables import terminal as terminals

#: What each command may be given to.
MOVES = {
    "start": ({"draft", "paused"}, "running"),
    "pause": ({"running"}, "paused"),
    "abort": ({"draft", "running", "paused"}, "aborted"),
}


@dataclass(frozen=True, slots=True)
class Rollout:
    """A release on its way to terminals: all of its model (`everyone`), or `terminals` of them."""

    id: int
    release: int
    state: str
    everyone: bool
    time_limit: float
    created: float
    started: float | None
    ended: float | None
    terminals: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout is created with; `terminals` None: every terminal of the model, later ones too."""

    release: Release
    terminals: list[Terminal] | None
    time_limit: float = TIME_LIMIT


def create(db: Connection, plan: Plan, now: float) -> Rollout:
    """A draft; nothing is offered before it is started."""
    _offerable(plan.release)
    for one in plan.terminals or ():
        if one.model != plan.release.model:
            raise RefusedError(
                f"terminal {one.id} is no {plan.release.model}",
                f"it is registered as {one.model or 'no model at all'}",
                "leave it out",
                id="NRT-325",
            )
    values = {"release": plan.release.id, "everyone": plan.terminals is None, "time_limit": plan.time_limit, "created": now}
    number = db.execute(insert(rollouts).values(**values)).inserted_primary_key
    assert number is not None
    for one in plan.terminals or ():
        db.execute(upsert(members).values(rollout=number[0], terminal=one.n).on_conflict_do_nothing())
    return find(db, number[0])


def _offerable(release: Release) -> None:
    if release.kind == catalog.IMAGE and not release.envelope:
        raise RefusedError(
            f"{release.name} has no envelope",
            "a terminal takes nothing unsigned",
            "neurath sign, then neurath image add again with --envelope",
            id="NRT-326",
        )
    if release.revoked is not None:
        raise RefusedError(f"{release.name} is revoked", "it is offered to nobody", "choose another release", id="NRT-327")


def move(db: Connection, number: int, command: str, now: float) -> Rollout:
    """start, pause or abort; NothingToDo when it is so already, RefusedError when it cannot be."""
    found = find(db, number)
    allowed, target = MOVES[command]
    if found.state == target:
        raise NothingToDo(f"rollout {number} is {target} already")
    if found.state not in allowed:
        raise RefusedError(f"rollout {number} is {found.state}", f"it cannot {command} from there", "create another one")
    values: dict[str, object] = {"state": target}
    if command == "start":
        _offerable(catalog.find_release(db, str(found.release)))
        values["started"] = found.started or now
    if command == "abort":
        values["ended"] = now
    db.execute(update(rollouts).where(rollouts.c.id == number).values(**values))
    db.execute(insert(notices).values(rollout=number))
    return find(db, number)


def find(db: Connection, number: int) -> Rollout:
    row = db.execute(_rollouts().where(rollouts.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"no rollout {number}", "none has this number", "neurath rollout show", id="NRT-135")
    return _rollout(row)


def all_rollouts(db: Connection) -> list[Rollout]:
    """Every rollout, newest first."""
    return [_rollout(row) for row in db.execute(_rollouts().order_by(rollouts.c.id.desc()))]


def pin(db: Connection, terminal: Terminal, release: Release | None, component: str) -> None:
    """Gives one terminal one release whatever rollouts say; None takes the pin away."""
    if release is not None:
        _offerable(release)
        if terminal.model is not None and terminal.model != release.model:
            raise RefusedError(
                f"{release.name} is not for terminal {terminal.id}",
                f"it is a {terminal.model}",
                "choose a release of its model",
            )
    number = None if release is None else release.id
    query = upsert(components).values(terminal=terminal.n, name=component, pin=number)
    db.execute(query.on_conflict_do_update(index_elements=["terminal", "name"], set_={"pin": number}))
    db.execute(insert(notices).values(terminal=terminal.n))
    if number is not None:
        # A person wants it now: attempts that failed before do not hold it back.
        key = (ledger.c.terminal == terminal.n, ledger.c.component == component, ledger.c.release == number)
        db.execute(update(ledger).where(*key).values(tries=0))


def notices_since(db: Connection, mark: int) -> tuple[int, list[Terminal]]:
    """Whom to tell to check in since the mark, and the new mark."""
    found: dict[int, Terminal] = {}
    for row in db.execute(select(notices).where(notices.c.id > mark).order_by(notices.c.id)):
        mark = row.id
        told = eligible(db, find(db, row.rollout)) if row.rollout is not None else [access.by_number(db, row.terminal)]
        found |= {one.n: one for one in told}
    return mark, list(found.values())


@dataclass(frozen=True, slots=True)
class Selected:
    """The release a component is meant to run, by which rollout (None: pinned), and how long its transfer may take."""

    release: Release
    rollout: int | None
    limit: float


def select_release(db: Connection, terminal: Terminal, component: str) -> Selected | None:
    """A4: the pin, else the newest release of the model that a running rollout gives to this terminal; revoked ones never."""
    pinned = db.scalar(select(components.c.pin).where(components.c.terminal == terminal.n, components.c.name == component))
    if pinned is not None:
        release = catalog.find_release(db, str(pinned))
        return None if release.revoked is not None else Selected(release, None, TIME_LIMIT)
    query = (
        select(rollouts.c.id, rollouts.c.release, rollouts.c.time_limit)
        .join(releases, releases.c.id == rollouts.c.release)
        .where(
            rollouts.c.state == "running",
            releases.c.model == terminal.model,
            releases.c.component == component,
            releases.c.revoked.is_(None),
            or_(rollouts.c.everyone, exists().where(members.c.rollout == rollouts.c.id, members.c.terminal == terminal.n)),
        )
        .order_by(releases.c.epoch.desc(), releases.c.sequence.desc(), rollouts.c.id.desc())
        .limit(1)
    )
    row = db.execute(query).one_or_none()
    return None if row is None else Selected(catalog.find_release(db, str(row.release)), row.id, row.time_limit)


def components_of(db: Connection, terminal: Terminal) -> list[str]:
    """The components of a terminal that it showed, is pinned for, has something open for, or that a running rollout of its
    model is about."""
    own = set(db.scalars(select(components.c.name).where(components.c.terminal == terminal.n)))
    own |= {one.component for one in actions.current_actions(db, terminal.n)}
    query = (
        select(releases.c.component)
        .join(rollouts, rollouts.c.release == releases.c.id)
        .where(rollouts.c.state == "running", releases.c.model == terminal.model)
    )
    return sorted(own | set(db.scalars(query)))


def eligible(db: Connection, found: Rollout) -> list[Terminal]:
    """The terminals a rollout is for, as of now: whom a push would notify."""
    release = catalog.find_release(db, str(found.release))
    query = select(terminals.c.n).where(terminals.c.model == release.model)
    if not found.everyone:
        query = query.where(exists().where(members.c.rollout == found.id, members.c.terminal == terminals.c.n))
    return [access.by_number(db, n) for n in db.scalars(query)]


def _rollouts() -> Select[tuple[object, ...]]:
    chosen = select(func.count()).where(members.c.rollout == rollouts.c.id).scalar_subquery().label("terminals")
    return select(rollouts, chosen)


def _rollout(row: Row[tuple[object, ...]]) -> Rollout:
    return Rollout(**row._asdict())
