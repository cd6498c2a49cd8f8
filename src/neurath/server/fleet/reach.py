"""Whom a rollout reaches: for whom it is, to whom it was opened so far, what became of those, and who has to be told. It knows
how terminals are drawn for waves; it must never open a wave or decide when (fleet.waves does)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)  # fmt: skip

from neurath.ids import TerminalId
from neurath.server.fleet import target
from neurath.server.fleet.waves import Tally
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store.sql import upsert
from neurath.server.store.tables import action, component, ledger, rollout_terminal
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Phase, Verdict

#: Draws are numbers below this; a gate of this is open to everybody.
OPEN = 1 << 31
#: Stride of the golden ratio: any run of terminals in order of registration is spread evenly over the draws, so that a wave
#: is a fair sample of old and new ones, and each rollout begins with others.
_STRIDE = 1_327_217_885
_TURN = 1_640_531_527
BAD = (Verdict.FAILED.value, Verdict.REFUSED.value, Verdict.RESTORATION.value)


@dataclass(frozen=True, slots=True)
class Course:
    """What of a rollout says whom it reaches. `gate`: draws below it are in; `opened`: (gate, moment) of each wave;
    `fetch_only`: who has the file has all of it; `channels`: of terminals on these only, where there are any."""

    rollout: int
    everyone: bool
    target: str
    gate: int = OPEN
    opened: tuple[tuple[int, float], ...] = ()
    patience: float = 0.0
    fetch_only: bool = False
    channels: tuple[str, ...] = ()


def draw(rollout: int, terminal: int) -> int:
    """The number a terminal draws in a rollout, the same in Python and in SQL."""
    return (terminal * _STRIDE + rollout % 4096 * _TURN) % OPEN


def _drawn(rollout: int) -> ColumnElement[int]:
    return (terminals.c.n * _STRIDE + rollout % 4096 * _TURN) % OPEN


def admits(db: Connection, course: Course, terminal: int) -> bool:
    """Whether a rollout was opened to this terminal."""
    if draw(course.rollout, terminal) >= course.gate:
        return False
    if course.everyone and not course.target and not course.channels:
        return True
    query = select(terminals.c.n).where(terminals.c.n == terminal, *_named(course))
    return db.scalar(query) is not None


def _named(course: Course) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [terminals.c.decommissioned.is_(None)]
    if course.channels:
        found.append(func.coalesce(func.nullif(terminals.c.channel, ""), "stable").in_(course.channels))
    found += [target.clause(course.target)] if course.target else []
    if not course.everyone:
        # By the list, not by looking at everybody: a few of a million are found at once.
        found.append(
            terminals.c.n.in_(select(rollout_terminal.c.terminal).where(rollout_terminal.c.rollout == course.rollout))
        )
    return found


def _fleet(db: Connection, course: Course, release: Release) -> Select[Any]:
    """One row a terminal that the rollout is for: its number, draw, moment of registration, and how it stands with the
    release. Left out are those that a pin or a newer release has taken elsewhere."""
    own = and_(component.c.terminal == terminals.c.n, component.c.name == release.component)
    line = and_(ledger.c.terminal == terminals.c.n, ledger.c.component == release.component, ledger.c.release == release.id)
    floor = or_(
        component.c.epoch > release.epoch,
        and_(component.c.epoch == release.epoch, component.c.sequence >= release.sequence),
        *(and_(component.c.epoch == at.epoch, component.c.sequence == at.sequence) for at in catalog.signed(db, release)),
    )
    runs = and_(component.c.bank == release.image, component.c.bank_size == release.size, floor)
    has = or_(ledger.c.verdict == Verdict.CONFIRMED.value, and_(literal(release.kind == "image"), runs))
    if course.fetch_only:
        has = or_(has, ledger.c.distributed.is_not(None))
    columns = [
        terminals.c.n,
        terminals.c.tenant,
        terminals.c.id,
        terminals.c.registered,
        _drawn(course.rollout).label("draw"),
        func.coalesce(has, False).label("has"),
        func.coalesce(ledger.c.verdict.in_(BAD), False).label("failed"),
        ledger.c.distributed,
        ledger.c.notified,
        ledger.c.offered,
        ledger.c.installed,
        ledger.c.ended,
        ledger.c.updated,
        ledger.c.verdict,
        ledger.c.reason,
        ledger.c.action,
        func.coalesce(ledger.c.phase, Phase.IDLE.value).label("phase"),
    ]
    query = select(*columns).outerjoin(component, own).outerjoin(ledger, line).where(terminals.c.model == release.model)
    query = query.where(or_(component.c.pin.is_(None), component.c.pin == release.id), *_named(course))
    newer = _newer(db, release)
    if newer:
        later = and_(
            _beyond.c.terminal == terminals.c.n,
            _beyond.c.component == release.component,
            _beyond.c.release.in_(newer),
            _beyond.c.action.is_not(None),
            or_(_beyond.c.verdict == Verdict.CONFIRMED.value, ~_called_off),
        )
        query = query.where(~exists().where(later))
    return query


_beyond = ledger.alias("beyond")
#: What an ended rollout only began on a terminal has taken it nowhere.
_called_off = exists().where(action.c.id == _beyond.c.action, rollouts.c.id == action.c.rollout, rollouts.c.state == "aborted")


def _newer(db: Connection, release: Release) -> list[int]:
    above = or_(
        releases.c.epoch > release.epoch,
        and_(releases.c.epoch == release.epoch, releases.c.sequence > release.sequence),
    )
    same = and_(releases.c.model == release.model, releases.c.component == release.component)
    return list(db.scalars(select(releases.c.id).where(same, above)))


def each(db: Connection, course: Course, release: Release) -> FromClause:
    """One row a terminal that the rollout is for, with every moment that the ledger has of it; `failed` and not `has` is what
    `stand` calls failed."""
    return _fleet(db, course, release).subquery()


def targets(db: Connection, course: Course, release: Release) -> int:
    """For how many terminals it is."""
    return int(db.scalar(select(func.count()).select_from(_fleet(db, course, release).subquery())) or 0)


def tally(db: Connection, course: Course, release: Release, now: float) -> Tally:
    """How it stands. A terminal's patience runs from the moment its wave was opened, or it was registered."""
    fleet = _fleet(db, course, release).subquery()
    admitted = fleet.c.draw < course.gate
    late = _late(fleet, course, now)
    state = case((fleet.c.has, "has"), (fleet.c.failed, "failed"), (late, "silent"), else_="at it").label("state")
    query = select(admitted.label("admitted"), state, func.count().label("number")).group_by("admitted", "state")
    rows = db.execute(query).all()
    inside = {str(row.state): int(row.number) for row in rows if row.admitted}
    return Tally(
        targets=sum(int(row.number) for row in rows),
        admitted=sum(inside.values()),
        confirmed=inside.get("has", 0),
        failed=inside.get("failed", 0),
        silent=inside.get("silent", 0),
    )


@dataclass(frozen=True, slots=True)
class Stand:
    """How many of the terminals a release is for were told (by a notice or by an offer), have its file, run it, failed with
    it, are at it; to how many it was opened, and how many of those have been silent for too long."""

    targets: int
    told: int
    distributed: int
    installed: int
    failed: int
    working: int
    admitted: int
    silent: int


def stand(db: Connection, course: Course, release: Release, now: float) -> Stand:
    """The figures of one release over all terminals it is for, in one pass."""
    fleet = _fleet(db, course, release).subquery()
    ended = or_(fleet.c.has, fleet.c.failed)
    opened = fleet.c.draw < course.gate
    wanted = {
        # Who came by itself and was offered it was told by that; of terminals that only poll nobody hears a notice.
        "told": or_(fleet.c.has, *(fleet.c[name].is_not(None) for name in ("notified", "offered", "distributed"))),
        "distributed": or_(fleet.c.has, fleet.c.distributed.is_not(None)),
        "installed": fleet.c.has,
        "failed": and_(fleet.c.failed, ~fleet.c.has),
        "working": and_(fleet.c.phase.not_in((Phase.IDLE.value, Phase.OFFERED.value)), ~ended),
        "admitted": opened,
        "silent": and_(opened, ~ended, _late(fleet, course, now)),
    }
    sums = [func.sum(case((what, 1), else_=0)).label(name) for name, what in wanted.items()]
    row = db.execute(select(func.count().label("targets"), *sums)).one()
    return Stand(**{name: int(count or 0) for name, count in row._asdict().items()})


def _late(fleet: FromClause, course: Course, now: float) -> ColumnElement[bool]:
    """Its patience, from the moment its wave was opened or it was registered, is over."""
    if not course.opened or not course.patience:
        return literal(False)
    entered = case(*((fleet.c.draw < gate, at) for gate, at in sorted(course.opened)), else_=now)
    since = case((func.coalesce(fleet.c.registered, 0.0) > entered, fleet.c.registered), else_=entered)
    return since + course.patience < now


def gate(db: Connection, course: Course, release: Release, size: int | None) -> int:
    """The gate that so many of the terminals pass; None: everybody, later ones too."""
    if size is None:
        return OPEN
    fleet = _fleet(db, course, release).subquery()
    last = db.scalar(select(fleet.c.draw).order_by(fleet.c.draw).limit(1).offset(max(0, size - 1)))
    if last is None:
        last = db.scalar(select(func.max(fleet.c.draw)))
    return 0 if last is None else int(last) + 1


def forgive(db: Connection, course: Course, release: Release, now: float) -> None:
    """Those admitted that failed may try again, as if for the first time. One in restoration has other worries."""
    fleet = _fleet(db, course, release).subquery()
    inside = select(fleet.c.n).where(fleet.c.draw < course.gate, fleet.c.failed)
    afresh(db, release, inside, now, (Verdict.FAILED, Verdict.REFUSED))


def afresh(
    db: Connection, release: Release, those: Select[tuple[int]], now: float, after: Collection[Verdict] = tuple(Verdict)
) -> None:
    """What a release came to on these terminals counts no more, where it was one of these verdicts; timelines keep it."""
    mine = (ledger.c.component == release.component, ledger.c.release == release.id, ledger.c.terminal.in_(those))
    again = ledger.c.verdict.in_([one.value for one in after])
    fresh = {"verdict": Verdict.PENDING.value, "phase": Phase.IDLE.value, "tries": 0, "ended": None, "updated": now}
    db.execute(update(ledger).where(*mine, again).values(**fresh, distributed=None))


# ---- whom to tell ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A terminal that lacks a release it may have: `channel` is the name it listens under."""

    n: int
    channel: TerminalId
    component: str
    release: int


#: Who listens, by the names they listen under; None: nobody knows, so it may be anybody.
Listening = Collection[TerminalId] | None
#: So many of those who listen are looked for at once; of everybody's numbers so many are.
_PART, _SPAN = 500, 2000


def lacking(
    db: Connection, course: Course, release: Release, listening: Listening = None, *, untold: bool = False
) -> list[Told]:
    """Those a rollout was opened to that listen and were not sent the release yet; `untold`: and do not know of it."""
    fleet = _fleet(db, course, release).subquery()
    waits = and_(fleet.c.draw < course.gate, ~fleet.c.has, ~fleet.c.failed, fleet.c.distributed.is_(None))
    query = select(fleet.c.n, fleet.c.tenant, fleet.c.id).where(waits).order_by(fleet.c.draw)
    if untold:
        query = query.where(fleet.c.notified.is_(None), fleet.c.offered.is_(None))
    return [
        Told(row.n, channel(row.tenant, row.id), release.component, release.id)
        for among in _parts(db, listening, fleet)
        for row in db.execute(query.where(among))
    ]


def holding(db: Connection, rollout: int, listening: Listening = None) -> list[Told]:
    """Those with an open offer of a rollout that listen; nothing new is theirs, so no release is named."""
    query = select(terminals.c.n, terminals.c.tenant, terminals.c.id).join(action, action.c.terminal == terminals.c.n)
    query = query.where(action.c.rollout == rollout, action.c.state == "open")
    return [
        Told(row.n, channel(row.tenant, row.id), "", 0)
        for among in _parts(db, listening, terminals)
        for row in db.execute(query.where(among))
    ]


def _parts(db: Connection, listening: Listening, fleet: FromClause) -> Iterator[ColumnElement[bool]]:
    """Of a million terminals few listen: they are looked for by name, and the others not read at all. Where nobody knows who
    listens it is everybody, a part at a time: rows that come all at once are made in one go, and nothing else is done
    meanwhile."""
    if listening is None:
        last = int(db.scalar(select(func.max(terminals.c.n))) or 0)
        for start in range(1, last + 1, _SPAN):
            yield fleet.c.n.between(start, start + _SPAN - 1)
        return
    by_tenant: dict[str, list[str]] = {}
    for one in listening:
        whose, _, own = one.partition("/")
        by_tenant.setdefault(whose, []).append(own)
    for whose, names in by_tenant.items():
        for start in range(0, len(names), _PART):
            yield and_(fleet.c.tenant == whose, fleet.c.id.in_(names[start : start + _PART]))


def pinned(db: Connection, terminal: int) -> list[Told]:
    """One terminal, for everything that a person gave it alone."""
    query = select(terminals.c.tenant, terminals.c.id, component.c.name, component.c.pin)
    query = query.join(component, component.c.terminal == terminals.c.n, isouter=True).where(terminals.c.n == terminal)
    return [Told(terminal, channel(r.tenant, r.id), r.name or "", r.pin or 0) for r in db.execute(query)]


def channel(tenant: str, name: str) -> TerminalId:
    """The name under which a terminal listens for notices: ids are unique within a tenant only."""
    return TerminalId(f"{tenant}/{name}")


def notified(db: Connection, told: Iterable[Told], now: float) -> None:
    """These were told. A line that does not exist yet begins here: undistributed, nothing offered."""
    rows = [{"t": one.n, "c": one.component, "r": one.release, "at": now} for one in told if one.release]
    if not rows:
        return
    values: dict[str, object] = {"terminal": bindparam("t"), "component": bindparam("c"), "release": bindparam("r")}
    query = upsert(ledger).values(**values, notified=bindparam("at"), phase=Phase.IDLE.value, updated=bindparam("at"))
    changed = query.on_conflict_do_update(index_elements=["terminal", "component", "release"], set_={"notified": now})
    db.execute(changed, rows)
