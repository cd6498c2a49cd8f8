"""Where one component of one terminal stands: what it said, what it is meant to run, what it was offered; and what follows
from that before any file is looked at. It reads; it must never write, build or send."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from neurath.flash.geometry import Model
from neurath.ids import FIRMWARE, Floor
from neurath.server.fleet import actions, progress, selection, stop
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Entry, Key
from neurath.server.fleet.selection import Selected
from neurath.server.fleet.stop import Stop
from neurath.server.fleet.terms import ALWAYS, Hours, Urgency
from neurath.server.software import catalog, models
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.store.tables import component as components
from neurath.server.store.tables import terminal as terminals
from neurath.wire.check import UNNAMED
from neurath.wire.report import Verdict

#: After a refusal or a failure the same release waits, twice as long each time, from this to that many seconds.
BACK_OFF = 60.0
LONGEST = 86400.0
#: A release that failed so often is not offered again until a person pins it or another release comes.
MAX_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Said:
    """What a component last checked in with; digests in hexadecimal, "" unknown. `confirmed`: the release that it has
    confirmed since, 0: none."""

    model: str
    bank: str
    bank_size: int
    word: str
    ram: int
    stage: int
    spare: int
    profiles: int
    key_list: int
    link: int
    nonce: str
    floor: Floor
    state: str
    open_file: str
    checked: float
    confirmed: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything the answer depends on, read in one view. `signed`: the ranks that the selected image was signed with."""

    terminal: Terminal
    component: str
    said: Said | None
    selected: Selected | None
    current: Action | None
    entry: Entry | None
    base: Release | None
    model: Model | None
    stop: Stop | None = None
    twin: float | None = None
    step: Release | None = None
    signed: tuple[Floor, ...] = ()


def read(db: Connection, terminal: Terminal, component: str) -> Standing:
    own = _own(db, terminal, component)
    said = own.said
    selected = selection.selected(db, terminal, component, own.pin)
    base = None
    if said is not None and terminal.model is not None:
        base = catalog.installed(db, terminal.model, component, said.bank, said.bank_size)
    return Standing(
        terminal=terminal,
        component=component,
        said=said,
        selected=selected,
        current=own.current,
        entry=None if selected is None else progress.entry(db, Key(terminal.n, component, selected.release.id)),
        base=base,
        model=own.model,
        stop=own.stop,
        twin=own.twin,
        step=_step(db, own.current, base, selected),
        signed=_signed(db, base, selected),
    )


@dataclass(frozen=True, slots=True)
class _Own:
    """What is known of one component of one terminal, and what holds for it whatever it is meant to run."""

    said: Said | None
    pin: int | None
    current: Action | None
    twin: float | None
    model: Model | None
    stop: Stop | None


_NAMES = tuple(components.c.keys())
#: Made once: to put it together takes longer than to ask it.
_STANDS = (
    select(terminals.c.twin, models.said(bindparam("of")).label("map"), stop.said().label("stop"))
    .add_columns(*components.c, *actions.COLUMNS)
    .select_from(terminals)
    .outerjoin(components, and_(components.c.terminal == terminals.c.n, components.c.name == bindparam("part")))
    .outerjoin(actions.TABLE, actions.active(terminals.c.n, bindparam("part")))
    .where(terminals.c.n == bindparam("n"))
    .order_by(actions.TABLE.c.id.desc())
    .limit(1)
)


def _own(db: Connection, terminal: Terminal, component: str) -> _Own:
    """All of it in one question: a poll waits for each of them."""
    row = db.execute(_STANDS, {"n": terminal.n, "part": component, "of": terminal.model}).one()
    (twin, toml, stopped), rest = row[:3], row[3:]
    line = dict(zip(_NAMES, rest, strict=False))
    return _Own(
        said=_said(line),
        pin=line["pin"],
        current=actions.of_columns(rest[len(line) :]),
        twin=twin,
        model=None if terminal.model is None else models.read(toml),
        stop=stop.read(stopped),
    )


def lies_between(one: Release, base: Release, goal: Release) -> bool:
    """A release that may be installed on the way from what a bank holds to what is meant for it (decision 0361)."""
    whole = one.kind == catalog.IMAGE and one.component == goal.component and bool(one.envelope)
    same = one.model == goal.model and one.channels == goal.channels and base.epoch == one.epoch == goal.epoch
    return whole and same and one.revoked is None and base.sequence < one.sequence < goal.sequence


def _step(db: Connection, current: Action | None, base: Release | None, selected: Selected | None) -> Release | None:
    """The release of the open action, where that is a step towards the one that is selected."""
    if current is None or base is None or selected is None or current.kind == "package":
        return None
    if current.release == selected.release.id or current.rollout != selected.rollout:
        return None
    found = catalog.find_release(db, str(current.release))
    return found if lies_between(found, base, selected.release) else None


def _signed(db: Connection, base: Release | None, selected: Selected | None) -> tuple[Floor, ...]:
    if base is None or selected is None or base.image != selected.release.image:
        return ()
    return tuple(catalog.signed(db, selected.release))


def last_said(db: Connection, terminal: Terminal, component: str) -> Said | None:
    """The last check-in of a component; None when it never gave one (third-party clients do not)."""
    query = select(components).where(components.c.terminal == terminal.n, components.c.name == component)
    row = db.execute(query).one_or_none()
    return None if row is None else _said(row._asdict())


#: What is kept as it was said.
_PLAIN = tuple(one for one in Said.__slots__ if one not in ("profiles", "floor"))


def _said(line: Mapping[str, Any]) -> Said | None:
    """What a line of the components' table says; None where it never checked in."""
    if line["checked"] is None:
        return None
    given = {name: line[name] for name in _PLAIN}
    return Said(**given, profiles=line["profiles"] or UNNAMED, floor=Floor(line["epoch"], line["sequence"]))


def obstacle(standing: Standing, now: float) -> str:
    """Why nothing is offered, in a person's words; "" when a file may be looked for."""
    if standing.terminal.decommissioned is not None:
        by = standing.terminal.replaced_by
        return f"out of service since {when(standing.terminal.decommissioned)}{f', replaced by {by}' if by else ''}"
    if standing.twin is not None:
        return f"two devices check in under its id, seen {when(standing.twin)}: neurath terminal one {standing.terminal.id}"
    if standing.terminal.model is None:
        return "it has no model: it was not registered with one, and named none that is known"
    if standing.stop is not None:
        who = f" by {standing.stop.by}" if standing.stop.by else ""
        return f"everything is stopped{who} since {when(standing.stop.at)}: {standing.stop.why or 'no reason given'}"
    if standing.selected is None:
        return "no running rollout and no pin names a release for it"
    release, terms = standing.selected.release, standing.selected.terms
    if release.kind == IMAGE:
        why = _image_obstacle(standing, release)
    else:
        why = _package_obstacle(standing, release)
    if not why and terms.until is not None and now >= terms.until:
        why = f"its rollout ended {when(terms.until)}"
    if not why and release.kind == IMAGE:
        why = closed_until(standing, now)
    return why or _waiting(standing.entry, now)


def hours(standing: Standing, now: float) -> Hours:
    """Whether this terminal may install now, by its rollout's maintenance windows."""
    if standing.selected is None:
        return ALWAYS
    return standing.selected.terms.hours(now, standing.terminal.attributes.get("timezone", ""))


def closed_until(standing: Standing, now: float) -> str:
    """Says when its maintenance window opens; "" while it is open. A package may be fetched before, and not installed."""
    found = hours(standing, now)
    if found.open:
        return ""
    return (
        "its maintenance window never opens"
        if found.changes is None
        else f"its maintenance window opens {when(found.changes)}"
    )


def when(moment: float) -> str:
    """A moment for people, UTC."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _package_obstacle(standing: Standing, release: Release) -> str:
    assert standing.selected is not None
    if _confirmed(standing.entry):
        return f"runs {release.version} already"
    only = standing.selected.terms.urgency is Urgency.DOWNLOAD_ONLY
    fetched = standing.entry is not None and standing.entry.distributed is not None
    return f"has fetched {release.version}, which is all its rollout asks" if only and fetched else ""


def _image_obstacle(standing: Standing, release: Release) -> str:
    said = standing.said
    if said is None:
        return "it has not shown what its bank holds; a version word alone is not believed"
    if said.model != standing.terminal.model:
        return f"says it is a {said.model}, and is registered as a {standing.terminal.model}"
    if (said.bank, said.bank_size) == (release.image, release.size):
        own = Floor(release.epoch, release.sequence)
        known = said.floor >= own or said.floor in standing.signed
        return f"runs {release.version} already" if known else f"runs {release.version}, not confirmed yet"
    if said.confirmed == release.id:
        return f"runs {release.version} already"  # it said so after its last check-in
    if Floor(release.epoch, release.sequence) < said.floor:
        return f"{release.version} lies below its floor {said.floor.epoch}.{said.floor.sequence}"
    if standing.model is None and standing.component == FIRMWARE:
        return f"model {standing.terminal.model} has no memory map"
    return ""


def lasts(standing: Standing, now: float) -> float:
    """Until when obstacle() says the same if nothing is written: the end of a wait or the next hours, else for ever."""
    changes = [_again(standing.entry), hours(standing, now).changes or 0.0]
    changes += [] if standing.selected is None else [standing.selected.terms.until or 0.0]
    return min((one for one in changes if one > now), default=math.inf)


def _confirmed(entry: Entry | None) -> bool:
    return entry is not None and entry.verdict == Verdict.CONFIRMED.value


def _waiting(entry: Entry | None, now: float) -> str:
    if entry is None or entry.ended is None or entry.tries == 0 or _confirmed(entry):
        return ""
    again = _again(entry)
    if entry.verdict == Verdict.FAILED.value and entry.tries >= MAX_FAILURES:
        return f"failed {entry.tries} times, last: {entry.reason or 'no reason given'}; pin it to try again"
    if now >= again:
        return ""
    return f"{entry.verdict}: {entry.reason or 'no reason given'}; offered again in {round(again - now)} s"


def _again(entry: Entry | None) -> float:
    """When a release that was refused or failed may be offered again; 0 where it did not."""
    if entry is None or entry.ended is None or entry.tries == 0:
        return 0.0
    return entry.ended + min(BACK_OFF * float(2 ** min(entry.tries - 1, 20)), LONGEST)
