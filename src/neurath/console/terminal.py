"""One terminal's page: where it stands and why, what happened to it, its memory map with the last rewrite, who it is, and
what a person can do with it. It must never say that it may be switched off where that is not true."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console import heat, shapes
from neurath.console.desk import Desk
from neurath.console.frame import Frame
from neurath.console.heat import REWRITING, Heat, Stand
from neurath.console.shapes import Cell
from neurath.console.sheet import Sheet
from neurath.console.words import Speak, amount, moment
from neurath.errors import NotFound
from neurath.flash.geometry import Model
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, figures, progress
from neurath.server.fleet.access import DEFAULT_TENANT, Terminal
from neurath.server.fleet.figures import Line, Wanted
from neurath.server.fleet.progress import Event, Shown
from neurath.server.software import catalog
from neurath.server.software.models import find_model
from neurath.units import UnixTime
from neurath.wire import enrolment

#: What is said of the last rewrite beside its map, and where that is known from.
REWRITES = {
    Stand.UNDER_WAY: "Sectors the rewrite under way changes: {n} of {all}. How many are done is not reported.",
    Stand.DONE: "Sectors the last rewrite changed: {n} of {all}, by the images whose digests its bank had before and after.",
    Stand.TORN: "Sectors the rewrite that was cut off was to change: {n} of {all}. Which it reached is not reported.",
}
UNKNOWN = {
    Stand.NONE: "No rewrite of it was seen here, or what lay in its bank before is not known.",
    Stand.WIRE: "A station wrote it last, over what a cut had left: which sectors that took is not reported.",
}


@dataclass(frozen=True, slots=True)
class One:
    """One terminal: its line, why it stands there, what happened to it, its memory with the last rewrite marked, what it may
    be given by hand, and what rescues its model."""

    line: Line
    why: str
    events: list[Event]
    shown: list[Shown]
    terminal: Terminal
    cells: list[Cell]
    rewrite: Stand
    rewrite_known: bool
    power: str
    rescue: str
    tags: list[str]
    releases: list[str]
    pinned: str

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
        if self.rescue:
            found.append(("Rescue class", f"{self.rescue}: {t(shapes.RESCUE_WORDS[self.rescue])}"))
        if self.terminal.key:
            known = enrolment.fingerprint_of(self.terminal.key)[:32]
            found.append(("Device key", f"{known}… ({t('revoked')})" if self.terminal.revoked else f"{known}…"))
        if self.terminal.proof:
            found.append(("Proves itself by", t(self.terminal.proof)))
        if self.terminal.carrier:
            found += [("Carrier", self.terminal.carrier), ("Address", self.terminal.address)]
        return found


def read(desk: Desk, named: tuple[str, str], now: UnixTime) -> One:
    """One terminal's page; NotFound."""
    tenant, name = named
    with desk.store.read() as db:
        found = access.find(db, name, tenant)
        lines, _ = figures.lines(db, Wanted(terminal=found.n, silent=desk.memory.census.silent), now)
        if not lines:
            raise NotFound(f"no terminal {name!r}", f"none is registered in {tenant}", "neurath terminal list", id="NRT-133")
        model = find_model(db, found.model) if found.model else None
        events = progress.timeline(db, found.n)
        rewrite = heat.last(db, found.n, events)
        page = One(
            line=lines[0],
            why="",
            events=once(events),
            shown=progress.shown(db, found.n),
            terminal=found,
            cells=[],
            rewrite=rewrite.stand,
            rewrite_known=False,
            power=_power(lines[0], model),
            rescue=model.rescue if model else "",
            tags=access.tags(db, found),
            releases=[one.name for one in catalog.list_releases(db, found.model) if one.offerable] if found.model else [],
            pinned=_pinned(db, found),
        )
    seen = heat.heat(desk.store, model.layout, rewrite) if model else Heat()
    return replace(
        page,
        why=desk.why(found, str(FIRMWARE), now),
        cells=shapes.cells(model.layout, seen.changed or {}) if model else [],
        rewrite_known=seen.changed is not None,
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


def _pinned(db: Connection, found: Terminal) -> str:
    """The release that its firmware is pinned to; "": none."""
    pin = next((one.pin for one in progress.shown(db, found.n) if one.component == FIRMWARE), None)
    return catalog.find_release(db, str(pin)).name if pin is not None else ""


def terminal_routes(frame: Frame) -> list[BaseRoute]:
    """`/terminals/ID` and its twin."""
    desk = frame.desk

    def one(request: Request, now: UnixTime) -> One:
        return read(desk, named(request), now)

    return frame.both(("/terminals/{id}", "terminal.html"), one, _shown, asdict)


def named(request: Request) -> tuple[str, str]:
    """(tenant, id) of the terminal that a path is about."""
    return request.query_params.get("tenant", DEFAULT_TENANT), str(request.path_params["id"])


def _shown(seen: One, sheet: Sheet) -> dict[str, object]:
    roles = {cell.role for cell in seen.cells}
    key = [(word.split()[0], sheet.t(word)) for word in shapes.ROLES if word in roles]
    if "foreign" in roles:
        key.append(("foreign", sheet.t("not ours, kept byte for byte")))
    return {
        "title": seen.line.id,
        "section": "/terminals",
        "seen": seen,
        "line": seen.line,
        "why": seen.why,
        "here": sheet.address(seen.line),
        "events": list(reversed(seen.events)),
        "power": sheet.t(seen.power) if seen.power else "",
        "identity": [(sheet.t(word), value) for word, value in seen.identity(sheet.t)],
        "map": shapes.memory_map(seen.cells, sheet.t, seen.rewrite_known) if seen.cells else "",
        "roles": key,
        "hot": seen.rewrite_known,
        "rewrite": _rewrite(seen, sheet.t) if seen.cells else "",
    }


def _rewrite(seen: One, t: Speak) -> str:
    """What may be said about the last rewrite."""
    if not seen.rewrite_known:
        return t(UNKNOWN.get(seen.rewrite, UNKNOWN[Stand.NONE]))
    changed = sum(cell.changed for cell in seen.cells)
    return t(REWRITES[seen.rewrite], n=changed, all=sum(cell.role == "bank" for cell in seen.cells))
