"""A rollout is taken back: whoever runs its release, or may come to, gets what it held before, by a release that it takes. It
knows what each terminal held and what its floor asks for; it must never sign, and never go below a floor: where no signed
release leads back nothing is changed, and what is needed is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, and_, insert, select
from sqlalchemy.sql import Select

from neurath.errors import NothingToDo, RefusedError, UsageError
from neurath.ids import FIRMWARE, Floor
from neurath.server.fleet import progress, reach, rollout
from neurath.server.fleet.progress import Key
from neurath.server.fleet.rollout import NOBODY_SAID, Person, Plan, Rollout
from neurath.server.fleet.waves import AT_ONCE, Policy, State
from neurath.server.software import catalog
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import component as components
from neurath.server.store.tables import ledger
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import rollout_terminal as members
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Verdict

# ---- what is decided -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One update file that a rollout gave a terminal. `brings` and `floor` are the image and the rank of its release, `base`
    is the image it was made for; `open`: no verdict yet; `confirmed`: when it was. `bank` and `said` (its floor)
    are the terminal's last check-in, and `after`: it was confirmed after that."""

    terminal: int
    brings: str
    floor: Floor
    base: str
    open: bool
    confirmed: float | None
    bank: str
    said: Floor
    after: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A terminal that runs what a rollout brought, or may come to: `image` is what it held before, `least` the lowest rank of
    a release that it takes now, `raised` whether a confirmation has lifted that."""

    terminal: int
    image: str
    least: Floor
    raised: bool


@dataclass(frozen=True, slots=True)
class Way:
    """Terminals that held the same image before, and the release that leads them back to it; None: there is none. `raised` of
    them have confirmed what is taken back."""

    image: str
    terminals: tuple[int, ...]
    raised: int
    least: Floor
    release: Release | None


def taken(steps: Sequence[Step]) -> Taken | None:
    """What a rollout has made of one terminal by what it gave, the oldest first; None: it holds and gets nothing of it."""
    last = steps[-1]
    # A confirmation that came after the last check-in says more about the bank than that does.
    fresh = [one for one in steps if one.after]
    bank = fresh[-1].brings if fresh else last.bank
    here = next((one for one in reversed(steps) if one.brings == bank), None)
    if here is None and not last.open:
        return None
    image = last.base
    for one in reversed(steps[:-1]):  # it may have come in two steps
        if one.brings == image and one.base:
            image = one.base
    raised = here is not None and (here.confirmed is not None or last.said >= here.floor)
    most = max(last.said, here.floor) if here is not None and raised else last.said
    return Taken(last.terminal, image, Floor(most.epoch, most.sequence + raised), raised)


def ways(found: Iterable[Taken], known: Sequence[Release], only: Release | None = None) -> list[Way]:
    """The terminals by what they held before, the most first, each group with the highest release of `known` that leads there:
    offered at all, of that very image and above all their floors. `only`: that release and no other, whatever its image."""
    groups: dict[str, list[Taken]] = {}
    for one in found:
        groups.setdefault(one.image, []).append(one)
    made = []
    for image, those in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        least = max(one.least for one in those)
        fit = [one for one in known if one.offerable and one.kind == IMAGE and rank(one) >= least]
        fit = [one for one in fit if (one.image == image if only is None else one.id == only.id)]
        best = max(fit, key=lambda one: (rank(one), one.id), default=None)
        made.append(Way(image, tuple(one.terminal for one in those), sum(one.raised for one in those), least, best))
    return made


def rank(release: Release) -> Floor:
    return Floor(release.epoch, release.sequence)


# ---- what is read and written ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it back, why, by which release if by one only, and how the way back is rolled out."""

    person: Person = NOBODY_SAID
    only: str = ""
    policy: Policy = AT_ONCE


@dataclass(frozen=True, slots=True)
class Back:
    """What came of it: the ways and the rollouts that were started for them."""

    ways: list[Way]
    rollouts: list[Rollout]


def take_back(db: Connection, number: int, order: Order, now: float) -> Back:
    """Ends a rollout and starts one for each release that leads back. RefusedError, with what has to be signed, where for some
    terminals there is none; NothingToDo where it holds nobody, or whom it holds is on the way back already."""
    found = rollout.find(db, number)
    bad = catalog.find_release(db, str(found.release))
    _alone(db, found, bad)
    known = [one for one in catalog.list_releases(db, bad.model) if one.component == bad.component]
    leads = ways(_taken(db, found, bad), known, _only(db, order.only, bad))
    if not leads:
        raise NothingToDo(f"rollout {number} holds no terminal", "none runs what it brought, or is about to")
    _demand_signed(leads, bad, known)
    due = _by_release(leads, _begun(db, found.id))
    if not due:
        raise NothingToDo(f"whom rollout {number} holds is on the way back already", "", "neurath rollout show")
    if found.state != State.ABORTED.value:
        said = f": {order.person.why}" if order.person.why else ""
        rollout.end(db, found, f"taken back{said}", now)
    return Back(leads, [_start(db, found, way, order, now) for way in due])


def _alone(db: Connection, found: Rollout, bad: Release) -> None:
    if bad.kind != IMAGE:
        why = "a client that takes packages does not show what it held before"
        raise RefusedError(f"{bad.name} is a package", why, "add the earlier one under a new version, and roll that out")
    others = select(rollouts.c.id).where(rollouts.c.release == bad.id, rollouts.c.id != found.id)
    other = db.scalar(others.where(rollouts.c.state.not_in(("draft", State.ABORTED.value))).limit(1))
    if other is not None:
        why = "who is taken back would be given it again"
        raise RefusedError(f"rollout {other} gives {bad.name} too", why, f"neurath image revoke {bad.name}")


def _only(db: Connection, name: str, bad: Release) -> Release | None:
    if not name:
        return None
    only = catalog.find_release(db, name)
    if (only.model, only.component, only.kind) != (bad.model, bad.component, IMAGE) or only.id == bad.id:
        raise UsageError(f"{only.name} is no way back from {bad.name}", "it is another release for the same devices", "--with")
    return only


def _taken(db: Connection, found: Rollout, bad: Release) -> Iterator[Taken]:
    for _, rows in groupby(db.execute(_steps(found.id, bad.component)), key=lambda row: row.terminal):
        one = taken([_step(row) for row in rows])
        if one is not None:
            yield one


def _steps(number: int, component: str) -> Select[tuple[object, ...]]:
    own = and_(components.c.terminal == actions.c.terminal, components.c.name == component)
    line = and_(
        ledger.c.terminal == actions.c.terminal, ledger.c.component == component, ledger.c.release == actions.c.release
    )
    columns = (
        actions.c.terminal,
        actions.c.release,
        actions.c.base,
        actions.c.held,
        releases.c.image,
        releases.c.epoch,
        releases.c.sequence,
    )
    shown = (
        components.c.bank,
        components.c.epoch.label("at"),
        components.c.sequence.label("nth"),
        components.c.confirmed.label("since"),
    )
    query = select(*columns, *shown, ledger.c.verdict, ledger.c.ended).join(releases, releases.c.id == actions.c.release)
    query = query.join(terminals, terminals.c.n == actions.c.terminal).join(components, own).outerjoin(ledger, line)
    query = query.where(actions.c.rollout == number, terminals.c.decommissioned.is_(None))
    return query.order_by(actions.c.terminal, actions.c.id)


def _step(row: object) -> Step:
    r = row._mapping  # type: ignore[attr-defined]
    return Step(
        terminal=r["terminal"],
        brings=r["image"],
        floor=Floor(r["epoch"], r["sequence"]),
        base=r["base"],
        open=r["held"],
        confirmed=r["ended"] if r["verdict"] == Verdict.CONFIRMED.value else None,
        bank=r["bank"],
        said=Floor(r["at"], r["nth"]),
        after=r["since"] == r["release"],
    )


def _demand_signed(leads: list[Way], bad: Release, known: Sequence[Release]) -> None:
    """All ways or none: a fleet that is half back is harder to see through than one that waits for a signature."""
    lost = [one for one in leads if one.release is None]
    if not lost:
        return
    count = sum(len(one.terminals) for one in lost)
    sentences, commands = [], []
    for way in lost:
        before = next((one for one in known if one.image == way.image and one.image != bad.image), None)
        held = before.name if before else "an image that is not known here"
        sentences.append(
            f"{len(way.terminals)} held {held}, {way.raised} of them have confirmed {bad.name}: "
            f"they take nothing below sequence {way.least.sequence} of epoch {way.least.epoch}"
        )
        if before is None:
            commands.append("--with RELEASE says what they are to get")
            continue
        most = max(one.sequence for one in known if one.epoch == way.least.epoch)
        commands.append(_commands(before, max(way.least, Floor(way.least.epoch, most + 1))))
    raise RefusedError(
        f"there is no signed way back from {bad.name} for {count} terminal{'' if count == 1 else 's'}",
        "; ".join(sentences),
        "; ".join(commands),
        id="NRT-393",
    )


def _commands(before: Release, floor: Floor) -> str:
    """How the release key, which is not here, signs an image again."""
    version = f"{before.version[:20]}-again-{floor.sequence}"
    which = f"--version {version}"
    which += "" if before.component == FIRMWARE else f" --component {before.component}"
    sealed, above = f"{version}.env", f"--sequence {floor.sequence} --epoch {floor.epoch}"
    sign = f"neurath sign {before.filename} --model {before.model}.toml {which} {above} --key release.pem -o {sealed}"
    return f"{sign} && neurath image add {before.filename} --model {before.model} {which} --envelope {sealed}"


def _begun(db: Connection, number: int) -> dict[int, set[int]]:
    """Who is on the way back from a rollout already, by release."""
    query = select(rollouts.c.release, members.c.terminal).join(members, members.c.rollout == rollouts.c.id)
    found: dict[int, set[int]] = {}
    for row in db.execute(query.where(rollouts.c.back == number, rollouts.c.state != State.ABORTED.value)):
        found.setdefault(int(row.release), set()).add(int(row.terminal))
    return found


def _by_release(leads: list[Way], begun: dict[int, set[int]]) -> list[tuple[Release, list[int]]]:
    """Who has yet to go back by which release, each release once."""
    found: dict[int, tuple[Release, list[int]]] = {}
    for way in leads:
        if way.release is not None:
            _, those = found.setdefault(way.release.id, (way.release, []))
            those += [n for n in way.terminals if n not in begun.get(way.release.id, ())]
    return [(release, those) for release, those in found.values() if those]


def _start(db: Connection, found: Rollout, way: tuple[Release, list[int]], order: Order, now: float) -> Rollout:
    release, those = way
    made = rollout.create(db, Plan(release, [], found.time_limit, order.policy, pieces=found.pieces, back=found.id), now)
    db.execute(insert(members), [{"rollout": made.id, "terminal": n} for n in those])
    reach.afresh(db, release, select(members.c.terminal).where(members.c.rollout == made.id), now)
    said = f"rollout {made.id} takes rollout {found.id} back{f': {order.person.why}' if order.person.why else ''}"
    progress.note_each(db, (Key(n, release.component, release.id) for n in those), "taken back", said, now)
    return rollout.move(db, made.id, "start", now, order.person)
