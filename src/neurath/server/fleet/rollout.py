"""Rollouts as they are kept: a release on its way to terminals, its waves, and pins beside them. It knows what a person or a
count does to one (fleet.waves decides, fleet.reach counts); it must never count a fleet while nobody else can write, where
that can be done before."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from neurath.errors import NotFound, NothingToDo, RefusedError
from neurath.server.delivery.pace import TIME_LIMIT
from neurath.server.fleet import filters, pieces, reach, target, waves
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.reach import Course
from neurath.server.fleet.terms import Urgency
from neurath.server.fleet.waves import AT_ONCE, Abort, Act, Again, Pause, Policy, Start, State, Tally, Waves
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store import Store, acts
from neurath.server.store.sql import upsert
from neurath.server.store.tables import component as components
from neurath.server.store.tables import ledger
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import rollout_terminal as members
from neurath.server.store.tables import rollout_wave as opened_waves

#: What each command may be given to, and where it is so already.
MOVES: dict[str, tuple[set[str], set[str]]] = {
    "start": ({"draft", "paused", "halted"}, {"running", "scheduled", "waiting"}),
    "resume": ({"paused", "halted"}, {"running", "scheduled"}),
    "approve": ({"waiting"}, {"running", "scheduled"}),
    "deny": ({"waiting"}, {"draft"}),
    "retry": ({"running", "halted"}, set()),
    "pause": ({"running", "scheduled"}, {"paused"}),
    "abort": ({"draft", "waiting", "scheduled", "running", "paused", "halted"}, {"aborted"}),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who gives a command, and why; as told by whoever was let in."""

    name: str = ""
    why: str = ""


NOBODY_SAID = Person()


@dataclass(frozen=True, slots=True)
class Rollout:
    """A release on its way to terminals: all of its model (`everyone`), or `terminals` of them, of those only what `target`
    asks for. `gate` is the draw below which it is open, `step` how many waves went before; `why` says why it was halted;
    `pieces` what was said about the pieces of its files (fleet.pieces); `back` is the rollout it takes back (fleet.back)."""

    id: int
    release: int
    state: str
    everyone: bool
    time_limit: float
    created: float
    started: float | None
    ended: float | None
    terminals: int
    policy: str = "at-once"
    target: str = ""
    step: int = 0
    gate: int = reach.OPEN
    stopped: float | None = None
    bad: int = 0
    excused: int = 0
    why: str = ""
    pieces: str = ""
    author: str = ""
    approver: str = ""
    back: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout is created with; `terminals` None: every terminal of the model, later ones too."""

    release: Release
    terminals: list[Terminal] | None
    time_limit: float = TIME_LIMIT
    policy: Policy = AT_ONCE
    target: str = ""
    pieces: str = ""
    back: int | None = None


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
    asked = filters.expanded(db, plan.target)
    target.clause(asked)
    if plan.policy.terms.urgency is Urgency.DOWNLOAD_ONLY and plan.release.kind == catalog.IMAGE:
        why = "a terminal of ours decides by itself when it installs what it has"
        raise RefusedError("download-only is for packages of other clients", why, "window=... keeps it to certain hours")
    values: dict[str, object] = {"release": plan.release.id, "everyone": plan.terminals is None, "time_limit": plan.time_limit}
    values |= {"created": now, "policy": str(plan.policy), "target": asked, "gate": 0}
    values |= {"pieces": pieces.said(plan.pieces), "back": plan.back}
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


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of a rollout as it was `found`: for how many it is, and the gates of the waves that are due."""

    found: Rollout
    targets: int
    gates: dict[int | None, int]


def counted(db: Connection, number: int, command: str, now: float) -> Counted:
    """What move() would count of all terminals while nobody else writes, to be had before that."""
    found = find(db, number)
    return count(db, found, command, now) if command in ("start", "resume", "approve") else Counted(found, 0, {})


def count(db: Connection, found: Rollout, command: str, now: float) -> Counted:
    """The same of one as it stands there, or as it is going to."""
    release = catalog.find_release(db, str(found.release))
    targets, machine = _targets(db, found, release), _machine(db, found)
    # As if whoever asks may: what is not due then is not looked at.
    event = waves.Approve(targets, f"not {machine.author}") if command == "approve" else Start(targets)
    return Counted(found, targets, _gates(db, found, release, machine.handle(event, now)[1]))


def _targets(db: Connection, found: Rollout, release: Release) -> int:
    """For how many it is; 0 where no wave is a share of them, so that nobody has to know."""
    shares = any(not one.count for one in waves.policy(found.policy).waves)
    return reach.targets(db, course(db, found), release) if shares else 0


def _gates(db: Connection, found: Rollout, release: Release, due: tuple[Act, ...]) -> dict[int | None, int]:
    whom = course(db, found)
    return {one.size: reach.gate(db, whom, release, one.size) for one in due if not isinstance(one, Again)}


def move(db: Connection, number: int, command: str, now: float, person: Person = NOBODY_SAID) -> Rollout:
    """One of MOVES; NothingToDo when it is so already, RefusedError when it cannot be."""
    return moved(db, counted(db, number, command, now), command, now, person)


def moved(db: Connection, before: Counted, command: str, now: float, person: Person = NOBODY_SAID) -> Rollout:
    """The same with what was counted before the write began; it counts for nothing where the rollout has changed since."""
    number = before.found.id
    found = find(db, number)
    if before.found != found:
        before = counted(db, number, command, now)
    allowed, already = MOVES[command]
    if found.state in already:
        raise NothingToDo(f"rollout {number} is {found.state} already")
    if found.state not in allowed:
        raise RefusedError(f"rollout {number} is {found.state}", f"it cannot {command} from there", "create another one")
    release = catalog.find_release(db, str(found.release))
    event = _event(before.targets, release, command, person)
    machine = _machine(db, found)
    after, due = machine.handle(event, now)
    if (after, due) == (machine, ()):
        why = f"{machine.author or 'nobody who gave a name'} started it, and {person.name or 'nobody with a name'} approves"
        raise RefusedError(f"rollout {number} needs a second person", why, "--by NAME of another person", id="NRT-355")
    _keep(db, before, after, due, now)
    db.execute(insert(notices).values(rollout=number))
    return find(db, number)


def _event(targets: int, release: Release, command: str, person: Person) -> waves.Event:
    if command in ("start", "resume", "approve", "retry"):
        _offerable(release)
    match command:
        case "start" | "resume":
            return Start(targets, person.name)
        case "approve":
            return waves.Approve(targets, person.name)
        case "deny":
            return waves.Deny(person.name, person.why)
        case "retry":
            return waves.Retry()
        case "pause":
            return Pause()
    return Abort(person.why)


def end(db: Connection, found: Rollout, why: str, now: float) -> None:
    """For good, whatever it was doing; who holds an offer of it is told."""
    after, due = _machine(db, found).handle(Abort(why), now)
    _keep(db, Counted(found, 0, {}), after, due, now)
    db.execute(insert(notices).values(rollout=found.id))


# ---- waves -----------------------------------------------------------------------------------------------------------


def course(db: Connection, found: Rollout) -> Course:
    """Whom a rollout reaches."""
    policy = waves.policy(found.policy)
    # Nobody's patience runs before the first hour in which it may install; of windows in zones of their own, the last one's.
    times = tuple((gate, policy.terms.first_hour(at)) for _, gate, at in opened(db, found.id))
    fetch_only = policy.terms.urgency is Urgency.DOWNLOAD_ONLY
    return Course(
        found.id,
        found.everyone,
        found.target,
        found.gate,
        times,
        float(policy.patience),
        fetch_only,
        _channels(db, found.release),
    )


def _channels(db: Connection, release: int) -> tuple[str, ...]:
    return tuple(str(db.scalar(select(releases.c.channels).where(releases.c.id == release))).split())


def opened(db: Connection, number: int) -> list[tuple[int, int, float]]:
    """(step, gate, moment) of each wave that was opened."""
    query = select(opened_waves.c.step, opened_waves.c.gate, opened_waves.c.opened).where(opened_waves.c.rollout == number)
    rows = db.execute(query.order_by(opened_waves.c.step))
    return [(int(row.step), int(row.gate), float(row.opened)) for row in rows]


def tally(db: Connection, found: Rollout, now: float) -> Tally:
    """How a rollout stands."""
    return reach.tally(db, course(db, found), catalog.find_release(db, str(found.release)), now)


def advance(store: Store, now: float) -> bool:
    """Counts every running rollout that has waves left or may be halted, and opens and halts what is due; True: a wave was
    opened, somebody has to be told."""
    opened = False
    with store.read() as db:
        every = [_due(db, found, now) for found in all_rollouts(db) if _moves_by_itself(found)]
    for due in (one for one in every if one is not None):
        found = due.counted.found
        with acts.acting(acts.by_server("rollout", str(found.id))) as act, store.write() as db:
            act.signed = True  # a person may have been quicker; then it is counted again
            if find(db, found.id) == found and _machine(db, found) == due.before:
                _keep(db, due.counted, due.after, due.acts, now)
                opened |= bool(due.acts)
                act.signed = False
                act.detail = {"state": due.after.state.value, "step": due.after.step, "why": due.after.why}
    return opened


@dataclass(frozen=True, slots=True)
class _Due:
    """What a count leads to. A million are counted for a second, in which nobody else could write: so it is done before."""

    counted: Counted
    before: Waves
    after: Waves
    acts: tuple[Act, ...]


def _due(db: Connection, found: Rollout, now: float) -> _Due | None:
    before, stands = _machine(db, found), tally(db, found, now)
    after, due = before.handle(stands, now)
    if (after, due) == (before, ()):
        return None
    release = catalog.find_release(db, str(found.release))
    return _Due(Counted(found, stands.targets, _gates(db, found, release, due)), before, after, due)


def _moves_by_itself(found: Rollout) -> bool:
    policy = waves.policy(found.policy)
    if found.state == State.RUNNING.value and (found.step < len(policy.waves) or policy.halt < 1.0):
        return True
    ends = policy.terms.until is not None and found.state in ("waiting", "running", "paused", "halted")
    return ends or found.state == State.SCHEDULED.value


def _machine(db: Connection, found: Rollout) -> Waves:
    return Waves(
        policy=waves.policy(found.policy),
        state=State(found.state),
        step=found.step,
        opened=tuple((step, at) for step, _, at in opened(db, found.id)),
        stopped=found.stopped,
        bad=found.bad,
        excused=found.excused,
        why=found.why,
        author=found.author,
        approver=found.approver,
    )


def _keep(db: Connection, before: Counted, after: Waves, due: tuple[Act, ...], now: float) -> None:
    """Writes down where a rollout stands now, and opens what it opened."""
    found, gates = before.found, before.gates
    names = ("step", "stopped", "bad", "excused", "why", "author", "approver")
    values: dict[str, object] = {name: getattr(after, name) for name in names} | {"state": after.state.value}
    for step, at in after.opened:
        mine = (opened_waves.c.rollout == found.id, opened_waves.c.step == step)
        db.execute(update(opened_waves).where(*mine).values(opened=at))
    if after.state is State.ABORTED:
        values["ended"] = now
    if after.state is State.RUNNING and found.started is None:
        values["started"] = now
    for act in due:
        release = catalog.find_release(db, str(found.release))
        if isinstance(act, Again):
            reach.forgive(db, course(db, found), release, now)
            continue
        passes = gates[act.size] if act.size in gates else reach.gate(db, course(db, found), release, act.size)
        gate = max(found.gate, passes)
        row = {"gate": gate, "opened": now}
        query = upsert(opened_waves).values(rollout=found.id, step=after.step, **row)
        db.execute(query.on_conflict_do_update(index_elements=["rollout", "step"], set_=row))
        db.execute(insert(notices).values(rollout=found.id))
        values["gate"] = gate
    db.execute(update(rollouts).where(rollouts.c.id == found.id).values(**values))


def find(db: Connection, number: int) -> Rollout:
    row = db.execute(_rollouts().where(rollouts.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"no rollout {number}", "none has this number", "neurath rollout show", id="NRT-135")
    return _rollout(row)


def all_rollouts(db: Connection) -> list[Rollout]:
    """Every rollout, newest first."""
    return page(db)


def page(db: Connection, before: int | None = None, limit: int | None = None) -> list[Rollout]:
    """The newest rollouts, or those before one, newest first."""
    query = _rollouts().order_by(rollouts.c.id.desc()).limit(limit)
    return [_rollout(row) for row in db.execute(query if before is None else query.where(rollouts.c.id < before))]


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


def _rollouts() -> Select[tuple[object, ...]]:
    chosen = select(func.count()).where(members.c.rollout == rollouts.c.id).scalar_subquery().label("terminals")
    return select(rollouts, chosen)


def _rollout(row: Row[tuple[object, ...]]) -> Rollout:
    return Rollout(**row._asdict())
