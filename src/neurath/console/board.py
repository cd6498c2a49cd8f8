"""What each page shows, read in one view of the store: the fleet on one sheet, software by terminals on another. It
knows which figures belong together; it must never know markup or language, and never write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from neurath.console.keeping import Keeping
from neurath.errors import NotFound
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, figures, filters, flow, spread
from neurath.server.fleet import matrix as matrices
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.census import Census, Counted
from neurath.server.fleet.figures import PAGE, Line, Share, State, Wanted
from neurath.server.fleet.flow import Saved
from neurath.server.fleet.matrix import Keep, Matrix
from neurath.server.fleet.spread import Rollout
from neurath.server.software import catalog
from neurath.server.software.models import list_models
from neurath.server.store import Store
from neurath.server.store.tables import event as events
from neurath.server.store.tables import terminal as terminals
from neurath.server.watch import folders
from neurath.server.watch.folders import Waiting
from neurath.units import UnixTime

#: Says why a terminal's component has, or has not, been offered something (server.delivery).
Why = Callable[[Terminal, str, float], str]
#: States in which the ledger has no reason and a person wants one.
_UNEXPLAINED = frozenset({State.OLDER, State.FOREIGN})


@dataclass(frozen=True, slots=True)
class Memory:
    """What one console keeps between two pages: the census, and figures that took long."""

    census: Census = field(default_factory=Census)
    figures: Keeping = field(default_factory=Keeping)


@dataclass(frozen=True, slots=True)
class Record:
    """What a restoration station sent about one terminal."""

    tenant: str
    id: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The fleet: `total` terminals, `found` of them match, `lines` are one page of those; `waiting`: files in watched folders
    that are no release yet, and why."""

    total: int
    counts: dict[State, int]
    lines: list[Line]
    found: int
    shares: list[Share]
    rollouts: list[Rollout]
    restorations: list[Line]
    records: list[Record]
    models: list[str]
    waiting: list[Waiting]
    saved: Saved


def matrix(store: Store, model: str, page: int, memory: Memory | None = None) -> tuple[list[str], Matrix | None]:
    """The models there are, and the matrix of one of them ("": the first that has software); None where there is none."""
    with store.read() as db:
        models = list_models(db)
        if not model:
            having = {one.model for one in catalog.list_releases(db)}
            model = next((name for name in models if name in having), "")
        if model and model not in models:
            raise NotFound(f"no model {model!r}", "none has this name", "neurath model list", id="NRT-132")
        keep = (memory or Memory()).figures.get
        return models, matrices.matrix(db, model, page, keep=keep) if model else None


def overview(store: Store, wanted: Wanted, why: Why, now: UnixTime, memory: Memory | None = None) -> Overview:
    """The whole first page."""
    memory = memory or Memory()
    with store.read() as db:
        counted = memory.census.count(db, now)
        found_lines, found = lines(db, wanted, counted, now)
        stuck = counted.page(State.RESTORATION, 0, PAGE)
        summed = sums(db, now, memory.figures.get)
        seen = Overview(
            total=sum(counted.counts.values()),
            counts=counted.counts,
            lines=found_lines,
            found=found,
            shares=summed.shares,
            rollouts=summed.rollouts,
            restorations=chosen(db, counted, stuck, now),
            records=records(db, 5),
            models=list_models(db),
            waiting=folders.waiting(db),
            saved=summed.saved,
        )
    return replace(seen, lines=explained(store, found_lines, why, now))


@dataclass(frozen=True, slots=True)
class Sums:
    """What is summed up over all terminals by the database itself."""

    shares: list[Share]
    rollouts: list[Rollout]
    saved: Saved


def sums(db: Connection, now: UnixTime, keep: Keep) -> Sums:
    return Sums(
        shares=keep("shares", lambda: figures.shares(db)),
        rollouts=spread.rollouts(db, now, keep=keep),
        saved=keep("saved", lambda: flow.saved(db)),
    )


def explained(store: Store, lines: list[Line], why: Why, now: UnixTime) -> list[Line]:
    """The lines, with a reason in place of none where a person wants one."""
    with store.read() as db:
        named = {(x.tenant, x.id): access.find(db, x.id, x.tenant) for x in lines if _unexplained(x)}
    return [replace(x, reason=why(named[x.tenant, x.id], str(FIRMWARE), now)) if _unexplained(x) else x for x in lines]


def expanded(db: Connection, wanted: Wanted) -> Wanted:
    """With every filter that is kept under a name written out; UsageError where it cannot be read."""
    return replace(wanted, target=filters.expanded(db, wanted.target)) if wanted.target else wanted


def lines(db: Connection, wanted: Wanted, counted: Counted, now: UnixTime) -> tuple[list[Line], int]:
    """One page of terminals and how many match: of those in a state from the census, of those with words from the store."""
    if wanted.narrow:
        return figures.lines(db, replace(wanted, silent=counted.silent), now)
    page = counted.page(wanted.state, (max(1, wanted.page) - 1) * PAGE, PAGE)
    counts = counted.counts
    found = sum(counts.values()) if wanted.state is None else counts.get(wanted.state, 0)
    return chosen(db, counted, page, now), found


def chosen(db: Connection, counted: Counted, numbers: Sequence[int], now: UnixTime) -> list[Line]:
    """The lines of these terminals."""
    return figures.lines(db, Wanted(numbers=tuple(numbers), silent=counted.silent), now)[0] if numbers else []


def _unexplained(line: Line) -> bool:
    return line.state in _UNEXPLAINED and not line.reason


def records(db: Connection, most: int) -> list[Record]:
    """What stations last sent; server.stock notes it on the terminal's timeline."""
    query = select(terminals.c.tenant, terminals.c.id, events.c.at, events.c.text)
    query = query.join(terminals, terminals.c.n == events.c.terminal).where(events.c.kind == "wire")
    return [Record(r.tenant, r.id, r.at, r.text) for r in db.execute(query.order_by(events.c.id.desc()).limit(most))]
