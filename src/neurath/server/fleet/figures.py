"""What screens show of the fleet: plain values read from the store in a few queries. It knows how a terminal's state is told
from what was heard and written; it must never change anything, and never guess: what is not known is empty."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Subquery, and_, case, exists, false, func, literal, or_, select

from neurath.ids import FIRMWARE
from neurath.server.delivery.pace import TIME_LIMIT
from neurath.server.fleet import silence
from neurath.server.fleet import target as targets
from neurath.server.software.catalog import IMAGE, Release, list_releases
from neurath.server.store.tables import action, component, delta, event, ledger, rollout
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.units import Bytes, BytesPerSecond, Seconds, UnixTime
from neurath.wire.report import Phase

PAGE = 50
#: Stands for an image where what is wanted is that it is of no release.
NONE = "none"


class State(Enum):
    """How a terminal is, in the order in which people want to see them."""

    RESTORATION = "restoration"
    FAILED = "failed"
    REFUSED = "refused"
    PEOPLE = "people"
    WORKING = "working"
    WAITING = "waiting"
    SILENT = "silent"
    OLDER = "older"
    FOREIGN = "foreign"
    UNHEARD = "unheard"
    CURRENT = "current"


_WORKING = tuple(p.value for p in (Phase.DOWNLOADING, Phase.DOWNLOADED, Phase.UPDATING, Phase.JUDGING))
_PEOPLE = (Phase.WAITING_FOR_USER.value, Phase.WAITING_FOR_USE_END.value)


@dataclass(frozen=True, slots=True)
class Basis:
    """What rule A5 went by for the newest offer: the link's speed (0: unknown), the seconds a transfer may take, the bytes
    of the full update file (0: never built), whether the server has the image the terminal runs."""

    speed: BytesPerSecond
    limit: Seconds
    full: Bytes
    based: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One terminal. `installed` is the version its bank's digest stands for ("" unknown); `word` what it calls itself;
    `wanted`, `kind`, `phase`, `verdict`, `done` of `size` speak of its newest offer ("" and 0: none yet)."""

    tenant: str
    id: str
    model: str
    state: State
    installed: str
    word: str
    wanted: str
    kind: str
    phase: str
    verdict: str
    reason: str
    done: Bytes
    size: Bytes
    whole: Bytes
    rate: BytesPerSecond | None
    left: Seconds | None
    tries: int
    heard: UnixTime | None
    carrier: str
    basis: Basis


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which terminals: words in their id or model, one state, one model, one release by its image (NONE: a bank that holds no
    release known here), a target filter, which page of `PAGE` lines."""

    words: str = ""
    model: str = ""
    image: str = ""
    target: str = ""
    state: State | None = None
    page: int = 1
    terminal: int | None = None
    numbers: tuple[int, ...] | None = None  # these and no others, however many: the caller has chosen a page
    silent: Seconds = silence.AFTER  # after how long without a word one is silent

    @property
    def narrow(self) -> bool:
        """Whether it takes more than a state to tell which."""
        return bool(self.words or self.model or self.image or self.target) or self.terminal is not None


@dataclass(frozen=True, slots=True)
class Share:
    """So many terminals of a model have this version. `release` None: a content nobody put in here, or, where `known` is
    false too, nothing heard."""

    model: str
    version: str
    release: Release | None
    count: int
    newest: bool
    known: bool = True


def newest(found: Sequence[Release]) -> dict[tuple[str, str], Release]:
    """(model, component) -> the newest release that can be offered; `found` is newest first within a model."""
    best: dict[tuple[str, str], Release] = {}
    for one in found:
        if one.offerable:
            best.setdefault((one.model, one.component), one)
    return best


def _last(model_newest: Sequence[Release], silent: float) -> Subquery:
    """One row a terminal: what is registered, what it last showed, its newest offer, and its state; who was not heard since
    `silent` is that."""
    offer, other = ledger.alias("offer"), ledger.alias("other")
    # A look into the ledger's own key for each terminal; ranking the whole ledger takes seconds with 100,000 terminals.
    last = select(func.max(other.c.action)).where(other.c.terminal == terminals.c.n).correlate(terminals).scalar_subquery()
    state = _state(offer, model_newest, silent).label("state")
    wanted = releases.alias("wanted")
    columns = [
        terminals.c.n,
        terminals.c.tenant,
        terminals.c.id,
        terminals.c.model,
        terminals.c.heard,
        terminals.c.carrier,
        component.c.bank,
        component.c.bank_size,
        component.c.word,
        *(offer.c[name] for name in ("release", "phase", "verdict", "reason", "size", "sync", "tries", "updated")),
        action.c.kind,
        func.coalesce(func.nullif(component.c.link, 0), terminals.c.link).label("speed"),
        rollout.c.time_limit,
        exists().where(releases.c.image == action.c.base).label("based"),
        select(func.min(delta.c.size)).where(delta.c.old == "", delta.c.new == wanted.c.image).scalar_subquery().label("full"),
        state,
    ]
    return (
        select(*columns)
        .outerjoin(component, and_(component.c.terminal == terminals.c.n, component.c.name == FIRMWARE))
        .outerjoin(offer, and_(offer.c.terminal == terminals.c.n, offer.c.action == last))
        .outerjoin(action, action.c.id == offer.c.action)
        .outerjoin(rollout, rollout.c.id == action.c.rollout)
        .outerjoin(wanted, wanted.c.id == offer.c.release)
        .where(terminals.c.decommissioned.is_(None))
        .subquery()
    )


def _state(offer: FromClause, best: Sequence[Release], silent: float) -> ColumnElement[str]:
    images, numbers = [r.image for r in best], [r.id for r in best]
    first, rest = _loud(offer)
    return case(
        *first,
        (silence.unheard_since(silent), State.SILENT.value),
        *rest,
        (component.c.bank.in_(images) if images else false(), State.CURRENT.value),
        (and_(offer.c.verdict == "confirmed", offer.c.release.in_(numbers)), State.CURRENT.value),
        (exists().where(releases.c.image == component.c.bank), State.OLDER.value),
        (offer.c.verdict == "confirmed", State.OLDER.value),
        else_=literal(State.FOREIGN.value),
    )


_When = list[tuple[ColumnElement[bool], str]]


def _loud(offer: FromClause) -> tuple[_When, _When]:
    """The states that do not depend on what releases there are: those that silence does not hide, and those it does."""
    pending = offer.c.verdict == "pending"
    first: _When = [
        (or_(offer.c.verdict == "restoration", component.c.state == Phase.RESTORING.value), State.RESTORATION.value),
        (and_(terminals.c.heard.is_(None), component.c.checked.is_(None)), State.UNHEARD.value),
    ]
    rest: _When = [
        (offer.c.verdict == "failed", State.FAILED.value),
        (offer.c.verdict == "refused", State.REFUSED.value),
        (and_(pending, offer.c.phase.in_(_PEOPLE)), State.PEOPLE.value),
        (and_(pending, offer.c.phase.in_(_WORKING)), State.WORKING.value),
        (pending, State.WAITING.value),
    ]
    return first, rest


#: What decides a terminal's state where nothing is under way: its bank, and the release it confirmed last (0: none).
Holds = tuple[str, int]
#: (number, tenant, id, heard, state that depends on no release or None, bank, release confirmed last)
Standing = tuple[int, str, str, float | None, State | None, str, int]


def standings(db: Connection, numbers: Sequence[int]) -> Iterator[Standing]:
    """How these terminals stand, as if nobody were silent; `settled` makes states of it."""
    offer, other = ledger.alias("offer"), ledger.alias("other")
    last = select(func.max(other.c.action)).where(other.c.terminal == terminals.c.n).correlate(terminals).scalar_subquery()
    first, rest = _loud(offer)
    confirmed = case((offer.c.verdict == "confirmed", offer.c.release), else_=0)
    loud = case(*first, *rest)
    query = select(
        terminals.c.n, terminals.c.tenant, terminals.c.id, terminals.c.heard, loud, component.c.bank, confirmed
    )  # fmt: skip
    query = query.outerjoin(component, and_(component.c.terminal == terminals.c.n, component.c.name == FIRMWARE))
    query = query.outerjoin(offer, and_(offer.c.terminal == terminals.c.n, offer.c.action == last))
    query = query.where(terminals.c.decommissioned.is_(None))
    # A range is told by its ends: databases take so many values and no more.
    whole = isinstance(numbers, range) and numbers.step == 1 and len(numbers) > 0
    query = query.where(terminals.c.n.between(numbers[0], numbers[-1]) if whole else terminals.c.n.in_(numbers))
    states: dict[str | None, State | None] = {None: None} | {state.value: state for state in State}
    cursor = db.execute(query).cursor  # plain tuples: half the time with 100,000 of them
    assert cursor is not None
    for n, tenant, name, heard, word, bank, release in cursor.fetchall():
        yield n, tenant, name, heard, states[word], bank or "", release


def settled(known: Sequence[Release]) -> Callable[[Holds], State]:
    """The rest of the rule, for the releases there are: the same as the last cases of `_state`."""
    best = list(newest(known).values())
    images, numbers = {one.image for one in best}, {one.id for one in best}
    had = {one.image for one in known}

    def state(holds: Holds) -> State:
        bank, confirmed = holds
        if bank in images or confirmed in numbers:
            return State.CURRENT
        return State.OLDER if bank in had or confirmed else State.FOREIGN

    return functools.cache(state)


def states(db: Connection, now: UnixTime, silent: Seconds = silence.AFTER) -> dict[State, int]:
    """How many terminals are in each state; states of nobody are left out."""
    fleet = _last(list(newest(list_releases(db)).values()), now - silent)
    rows = db.execute(select(fleet.c.state, func.count()).group_by(fleet.c.state)).all()
    found = {State(str(word)): int(count) for word, count in rows}
    return {state: found[state] for state in State if state in found}


def lines(db: Connection, wanted: Wanted, now: UnixTime) -> tuple[list[Line], int]:
    """One page of terminals, those that need people first, and how many there are in all."""
    known = list_releases(db)
    fleet = _last(list(newest(known).values()), now - wanted.silent)
    query = select(fleet).where(*_asked(fleet, wanted))
    counted = query.subquery() if wanted.narrow or wanted.state is not None else terminals
    total = 0 if wanted.numbers is not None else db.scalar(select(func.count()).select_from(counted)) or 0
    order = case({state.value: rank for rank, state in enumerate(State)}, value=fleet.c.state)
    page = 1 if wanted.numbers is not None else max(1, wanted.page)
    query = query.order_by(order, fleet.c.tenant, fleet.c.id).limit(PAGE).offset((page - 1) * PAGE)
    by_image = {r.image: r for r in reversed(known)}
    by_number = {r.id: r for r in known}
    rows = db.execute(query).all()
    began = _receiving_since(db, [row.n for row in rows if row.phase == Phase.DOWNLOADING.value])
    return [_line(row, began.get(row.n), by_image, by_number) for row in rows], int(total)


def _asked(fleet: Subquery, wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.words:
        words = (fleet.c[name].icontains(wanted.words, autoescape=True) for name in ("id", "model"))
        found.append(or_(*words))
    if wanted.model:
        found.append(fleet.c.model == wanted.model)
    if wanted.image == NONE:
        found.append(and_(fleet.c.bank != "", ~exists().where(releases.c.image == fleet.c.bank)))
    elif wanted.image:
        found.append(fleet.c.bank == wanted.image)
    if wanted.target:
        found.append(fleet.c.n.in_(select(terminals.c.n).where(targets.clause(wanted.target))))
    if wanted.state is not None:
        found.append(fleet.c.state == wanted.state.value)
    if wanted.terminal is not None:
        found.append(fleet.c.n == wanted.terminal)
    if wanted.numbers is not None:
        found.append(fleet.c.n.in_(wanted.numbers))
    return found


def _receiving_since(db: Connection, numbers: list[int]) -> dict[int, float]:
    """When each terminal's newest transfer began: what went before was waiting, and is no part of its speed."""
    query = select(event.c.terminal, func.max(event.c.at).label("began"))
    query = query.where(event.c.kind == Phase.DOWNLOADING.value, event.c.terminal.in_(numbers)).group_by(event.c.terminal)
    return {row.terminal: row.began for row in db.execute(query)} if numbers else {}


def _line(row: Any, began: float | None, by_image: dict[str, Release], by_number: dict[int, Release]) -> Line:
    installed = by_image.get(row.bank or "")
    target = by_number.get(row.release or 0)
    if installed is None and target is not None and target.kind != IMAGE and row.verdict == "confirmed":
        installed = target
    rate, left = _pace(row, began)
    return Line(
        tenant=row.tenant,
        id=row.id,
        model=row.model or "",
        state=State(row.state),
        installed=installed.version if installed else "",
        word=row.word or "",
        wanted=target.version if target else "",
        kind=row.kind or "",
        phase=row.phase or "",
        verdict=row.verdict or "",
        reason=row.reason or "",
        done=Bytes(row.sync or 0),
        size=Bytes(row.size or 0),
        whole=Bytes(target.size if target else 0),
        rate=rate,
        left=left,
        tries=row.tries or 0,
        heard=row.heard,
        carrier=row.carrier or "",
        basis=Basis(
            speed=BytesPerSecond(row.speed or 0),
            limit=Seconds(TIME_LIMIT if row.time_limit is None else row.time_limit),
            full=Bytes(row.full or 0),
            based=bool(row.based),
        ),
    )


def _pace(row: Any, began: float | None) -> tuple[BytesPerSecond | None, Seconds | None]:
    """Measured rate since receiving began, and the time left at that rate; None while not receiving."""
    if row.phase != Phase.DOWNLOADING.value or row.verdict != "pending" or not row.sync or began is None:
        return None, None
    took = (row.updated or 0.0) - began
    if took <= 0.0:
        return None, None
    rate = row.sync / took
    return BytesPerSecond(rate), Seconds((row.size - row.sync) / rate)


def shares(db: Connection) -> list[Share]:
    """The version histogram: every release, newest first within a model, and what banks hold that no release is."""
    known = list_releases(db)
    best = newest(known)
    banks = select(terminals.c.model, component.c.bank, func.count().label("number"))
    banks = banks.outerjoin(component, and_(component.c.terminal == terminals.c.n, component.c.name == FIRMWARE))
    banks = banks.where(terminals.c.decommissioned.is_(None))
    counts = {
        (r.model or "", r.bank or ""): int(r.number) for r in db.execute(banks.group_by(terminals.c.model, component.c.bank))
    }
    packages = select(ledger.c.release, func.count()).where(ledger.c.verdict == "confirmed").group_by(ledger.c.release)
    confirmed = {int(number): int(count) for number, count in db.execute(packages)}
    found = []
    for one in known:
        had = counts.pop((one.model, one.image), 0) if one.kind == IMAGE else confirmed.get(one.id, 0)
        found.append(Share(one.model, one.version, one, had, best.get((one.model, one.component)) is one))
    plain = {one.model for one in known if one.kind != IMAGE}
    for model in sorted({model for model, _ in counts} - {""}):
        strange = sum(n for (name, bank), n in counts.items() if name == model and bank)
        unheard = 0 if model in plain else counts.get((model, ""), 0)
        found += [Share(model, "", None, strange, False)] if strange else []
        found += [Share(model, "", None, unheard, False, known=False)] if unheard else []
    return sorted(found, key=lambda share: share.model)
