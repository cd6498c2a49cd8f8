"""What each page shows, read in one view of the store: the fleet on one sheet, one terminal on another. It knows which
figures belong together; it must never know markup or language, and never write."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from neurath.console.keeping import Keeping
from neurath.console.shapes import Cell, cells
from neurath.console.words import Speak, amount, moment
from neurath.errors import NeurathError, NotFound
from neurath.flash.geometry import Layout, Model
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, figures, progress, spread
from neurath.server.fleet import matrix as matrices
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.census import Census, Counted
from neurath.server.fleet.figures import PAGE, Line, Share, State, Wanted
from neurath.server.fleet.matrix import Matrix
from neurath.server.fleet.progress import Event, Shown
from neurath.server.fleet.spread import Rollout
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import event as events
from neurath.server.store.tables import terminal as terminals
from neurath.server.watch import folders
from neurath.server.watch.folders import Waiting
from neurath.units import UnixTime
from neurath.wire.report import Phase

#: Says why a terminal's component has, or has not, been offered something (server.delivery).
Why = Callable[[Terminal, str, float], str]
#: States in which the ledger has no reason and a person wants one.
_UNEXPLAINED = frozenset({State.OLDER, State.FOREIGN})
REWRITING = frozenset({Phase.UPDATING.value, Phase.JUDGING.value})


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


@dataclass(frozen=True, slots=True)
class TerminalPage:
    """One terminal: its line, why it stands there, what happened to it, its memory with the last rewrite marked."""

    line: Line
    why: str
    events: list[Event]
    shown: list[Shown]
    terminal: Terminal
    cells: list[Cell]
    rewrite_known: bool
    power: str

    def identity(self, t: Speak) -> list[tuple[str, str]]:
        """(word, value) of what is known about who it is."""
        found = [("Model", self.line.model or t("unknown")), ("Registered", moment(self.terminal.registered))]
        for one in self.shown[:1]:
            found += [
                ("Bank digest", f"{one.bank[:32]}…" if one.bank else t("unknown")),
                ("Calls itself", one.word or "–"),
                ("RAM it can lend", amount(one.ram)),
            ]
        link = self.terminal.link or (self.shown[0].link if self.shown else 0)
        if link:
            found.append(("Link speed", t("{amount} a second", amount=amount(link))))
        if self.terminal.carrier:
            found += [("Carrier", self.terminal.carrier), ("Address", self.terminal.address)]
        return found


def matrix(store: Store, model: str, page: int, memory: Memory | None = None) -> tuple[list[str], Matrix | None]:
    """The models there are, and the matrix of one of them ("": the first that has software); None where there is none."""
    with store.read() as db:
        models = catalog.list_models(db)
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
        lines, found = _lines(db, wanted, counted, now)
        stuck = tuple(counted.page(State.RESTORATION, 0, PAGE))
        seen = Overview(
            total=sum(counted.counts.values()),
            counts=counted.counts,
            lines=lines,
            found=found,
            shares=memory.figures.get("shares", lambda: figures.shares(db)),
            rollouts=spread.rollouts(db, now, keep=memory.figures.get),
            restorations=figures.lines(db, Wanted(numbers=stuck), now)[0] if stuck else [],
            records=_records(db),
            models=catalog.list_models(db),
            waiting=folders.waiting(db),
        )
        named = {(one.tenant, str(one.id)): one for one in _terminals(db, [x for x in lines if _unexplained(x)])}
    explained = [replace(x, reason=why(named[x.tenant, x.id], str(FIRMWARE), now)) if _unexplained(x) else x for x in lines]
    return replace(seen, lines=explained)


def _lines(db: Connection, wanted: Wanted, counted: Counted, now: UnixTime) -> tuple[list[Line], int]:
    """One page of terminals and how many match: of those in a state from the census, of those with words from the store."""
    if wanted.words or wanted.terminal is not None:
        return figures.lines(db, wanted, now)
    chosen = counted.page(wanted.state, (max(1, wanted.page) - 1) * PAGE, PAGE)
    counts = counted.counts
    found = sum(counts.values()) if wanted.state is None else counts.get(wanted.state, 0)
    return (figures.lines(db, Wanted(numbers=tuple(chosen)), now)[0] if chosen else []), found


def _unexplained(line: Line) -> bool:
    return line.state in _UNEXPLAINED and not line.reason


def _terminals(db: Connection, lines: list[Line]) -> list[Terminal]:
    return [access.find(db, line.id, line.tenant) for line in lines]


def _records(db: Connection) -> list[Record]:
    """What stations last sent; server.stock notes it on the terminal's timeline."""
    query = select(terminals.c.tenant, terminals.c.id, events.c.at, events.c.text)
    query = query.join(terminals, terminals.c.n == events.c.terminal).where(events.c.kind == "wire")
    return [Record(r.tenant, r.id, r.at, r.text) for r in db.execute(query.order_by(events.c.id.desc()).limit(5))]


def terminal(store: Store, named: tuple[str, str], why: Why, now: UnixTime) -> TerminalPage:
    """One terminal's page; NotFound."""
    tenant, name = named
    with store.read() as db:
        found = access.find(db, name, tenant)
        lines, _ = figures.lines(db, Wanted(terminal=found.n), now)
        if not lines:
            raise NotFound(f"no terminal {name!r}", f"none is registered in {tenant}", "neurath terminal list", id="NRT-133")
        model = catalog.find_model(db, found.model) if found.model else None
        pair = _last_rewrite(db, found)
        page = TerminalPage(
            line=lines[0],
            why="",
            events=once(progress.timeline(db, found.n)),
            shown=progress.shown(db, found.n),
            terminal=found,
            cells=[],
            rewrite_known=False,
            power=_power(lines[0], model),
        )
    changed = _changed(store, model.layout, pair) if model and pair else None
    return replace(
        page,
        why=why(found, str(FIRMWARE), now),
        cells=cells(model.layout, changed or frozenset()) if model else [],
        rewrite_known=changed is not None,
    )


#: A report that ends an attempt is noted twice, as a phase and as a verdict; people need to read it once.
_TWICE = {"updated": {"confirmed"}, "failed": {"failed", "refused"}, "restoring": {"restoration"}}


def once(found: list[Event]) -> list[Event]:
    """The timeline without the phases that their own verdict follows at the same moment."""
    kept = []
    for one, after in itertools.zip_longest(found, found[1:]):
        doubled = after is not None and after.at == one.at and after.kind in _TWICE.get(one.kind, ())
        kept += [] if doubled else [one]
    return kept


def _power(line: Line, model: Model | None) -> str:
    """What may be said about switching it off, only where it is true."""
    if line.verdict != "pending" or not line.phase or model is None:
        return ""
    if line.phase in REWRITING and model.rescue == "wire":
        return "If power fails now, the restoration station must finish it."
    return "You may switch off at any time."


def _last_rewrite(db: Connection, found: Terminal) -> tuple[str, str] | None:
    """Digests of the images before and after the newest rewrite that was begun."""
    begun = progress.entries(db, progress.Wanted(terminal=found.n))
    numbers = [e.action for e in begun if e.action and (e.verdict == "confirmed" or e.phase in REWRITING)]
    row = db.execute(select(actions).where(actions.c.id == max(numbers))).one_or_none() if numbers else None
    if row is None or row.kind == "package" or not row.base:
        return None
    return str(row.base), catalog.find_release(db, str(row.release)).image


def _changed(store: Store, layout: Layout, pair: tuple[str, str]) -> frozenset[int] | None:
    """Addresses of the bank sectors in which two images differ; None when an image is not there any more."""
    try:
        old, new = (store.files.read(name) for name in pair)
    except NeurathError:
        return None
    return differing(layout, old, new)


def differing(layout: Layout, old: bytes, new: bytes) -> frozenset[int]:
    """Addresses of the bank sectors that the new image changes: none beyond its end is touched."""
    found, offset = set(), 0
    for span in layout.bank:
        for region in layout.regions:
            for address in range(max(region.base, span.base), min(region.end, span.end), region.size):
                at = offset + address - span.base
                before, after = old[at : at + region.size], new[at : at + region.size]
                if after and before != after:
                    found.add(address)
        offset += span.length
    return frozenset(found)
