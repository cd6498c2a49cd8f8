"""The ledger, the only one: for each (terminal, component, release) what was offered, sent, installed, and the verdict; and
the timeline of each terminal. It knows that progress never moves back and that a verdict needs the bank's digest; it must
never derive success from silence. Contract: tests/contracts/ledger.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, tuple_, update

from neurath.server.fleet import budget
from neurath.server.fleet.actions import Action
from neurath.server.store.sql import upsert
from neurath.server.store.tables import component as components
from neurath.server.store.tables import event as events
from neurath.server.store.tables import ledger, release, terminal
from neurath.wire.report import Phase, Report, Verdict

#: How far each phase is; within one attempt nothing goes back, but from a wait: it may come before the download or after.
RANK = {phase: rank for rank, phase in enumerate(Phase)} | {Phase.RESTORING: 8, Phase.UPDATED: 9, Phase.FAILED: 9}
WAITS = frozenset({Phase.WAITING_FOR_USE_END, Phase.WAITING_FOR_USER})
#: Verdicts that end an attempt. A terminal in restoration state may still come to the release over the wire.
FINAL = frozenset({Verdict.CONFIRMED, Verdict.REFUSED, Verdict.FAILED})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `bytes` is what the server sent, `sync` what the terminal holds of `size`; times are seconds
    since 1970, None: not yet. `tries` counts ended attempts that did not succeed."""

    tenant: str
    terminal: str
    component: str
    release: int
    version: str
    model: str
    action: int | None
    phase: str
    verdict: str
    reason: str
    size: int
    bytes: int
    sync: int
    offered: float | None
    notified: float | None
    distributed: float | None
    installed: float | None
    ended: float | None
    updated: float | None
    tries: int
    moved: float | None
    heard: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a terminal's timeline."""

    id: int
    at: float
    component: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """Whose line it is."""

    terminal: int
    component: str
    release: int

    @staticmethod
    def of(action: Action) -> Key:
        return Key(action.terminal, action.component, action.release)


def offered(db: Connection, action: Action, now: float) -> None:
    """A new action begins a new attempt: its file starts at byte 0, what earlier attempts came to stays in the timeline."""
    fresh = {
        "action": action.id,
        "offered": now,
        "size": action.size,
        "sync": 0,
        "phase": Phase.OFFERED.value,
        "verdict": Verdict.PENDING.value,
        "reason": "",
        "ended": None,
        "updated": now,
        "moved": None,
    }
    key = {"terminal": action.terminal, "component": action.component, "release": action.release}
    db.execute(_AGAIN, key | fresh)
    note(db, Key.of(action), "offered", f"{action.kind} of {action.size:,} bytes, action {action.id}", now)


_KEY = ("terminal", "component", "release")
_FRESH = ("action", "offered", "size", "sync", "phase", "verdict", "reason", "ended", "updated", "moved")
#: Made once, as below.
_ATTEMPT = upsert(ledger).values({name: bindparam(name) for name in (*_KEY, *_FRESH)})
_AGAIN = _ATTEMPT.on_conflict_do_update(index_elements=_KEY, set_={name: _ATTEMPT.excluded[name] for name in _FRESH})


def served(db: Connection, action: Action, start: int, count: int, now: float) -> None:
    """Counts bytes that left for the terminal: the only progress a third-party client shows."""
    budget.sent(db, action.terminal, count, now)
    row = _row(db, Key.of(action))
    if row is None or row.action != action.id:
        return
    values: dict[str, object] = {"bytes": row.bytes + count, "updated": now}
    if action.kind == "package":
        values["sync"] = max(row.sync, min(start + count, action.size))
    if Verdict(row.verdict) is Verdict.PENDING and _follows(Phase(row.phase), Phase.DOWNLOADING, row.distributed is not None):
        values["phase"] = Phase.DOWNLOADING.value
        note(db, Key.of(action), "downloading", "", now)
    _change(db, Key.of(action), values)


def trickled(db: Connection, action: Action, held: int, sent: int, now: float) -> None:
    """A terminal's own sync point, `held` bytes of the file, and what was sent on its heartbeats. The sync point follows the
    terminal down too: it alone knows what it has. Workers write in batches, each when it comes to it: what a terminal said
    before what is written already moves nothing."""
    served(db, action, held, sent, now)
    row = _row(db, Key.of(action))
    if row is None or row.action != action.id or Verdict(row.verdict) is not Verdict.PENDING or now < (row.moved or 0.0):
        return
    if row.sync != held:
        values: dict[str, object] = {"sync": held, "updated": now, "moved": now}
        if held == action.size and row.distributed is None:
            values["distributed"] = now
        _change(db, Key.of(action), values)


def reported(db: Connection, action: Action, report: Report, image: str, now: float) -> Verdict:
    """Writes down a terminal's word and gives the verdict it amounts to. `image` is the digest the bank must have: a
    confirmation whose bank reads otherwise is a failure; "" where no bank can be read."""
    verdict, reason = judged(report, image)
    key = Key.of(action)
    row = _row(db, key)
    if row is None or row.action != action.id or Verdict(row.verdict) in FINAL:
        return verdict
    values: dict[str, object] = {"updated": now, "sync": max(row.sync, min(report.done, action.size))}
    if values["sync"] != row.sync:
        values["moved"] = now
    # The last phases come with a verdict only: 100 % is never shown before it.
    if _follows(Phase(row.phase), report.phase, row.distributed is not None):
        values["phase"] = report.phase.value
        note(db, key, report.phase.value, report.reason, now)
    implied = RANK[report.phase] >= RANK[Phase.DOWNLOADED] and report.phase not in (*WAITS, Phase.FAILED)
    if row.distributed is None and (values["sync"] == action.size or implied):
        values["distributed"] = now
    if reason:
        values["reason"] = reason
    if verdict is not Verdict.PENDING and verdict.value != row.verdict:
        values |= _end(row, verdict, reason, now)
        note(db, key, verdict.value, reason, now)
    if values.get("verdict") == Verdict.CONFIRMED.value:
        # Said after the last check-in, whichever clocks these two were told by: the next one takes it back.
        mine = (components.c.terminal == key.terminal, components.c.name == key.component)
        db.execute(update(components).where(*mine).values(confirmed=key.release))
    _change(db, key, values)
    return verdict


def _follows(before: Phase, after: Phase, distributed: bool) -> bool:
    """Whether a phase may come after another within an attempt."""
    if after in WAITS:
        return before is not after and RANK[before] < RANK[Phase.UPDATING]
    least = RANK[Phase.DOWNLOADED if distributed else Phase.DOWNLOADING] - 1 if before in WAITS else RANK[before]
    return least < RANK[after] < RANK[Phase.UPDATED]


def judged(report: Report, image: str) -> tuple[Verdict, str]:
    """What a report amounts to: nothing is confirmed but by the digest of what lies in the bank."""
    if report.verdict is Verdict.CONFIRMED and image and report.bank.hex() != image:
        seen = f"{report.bank.hex()[:16]}…" if report.bank else "no digest"
        return Verdict.FAILED, f"confirmed, but its bank reads {seen} and not {image[:16]}…"
    return report.verdict, report.reason


def found_installed(db: Connection, key: Key, now: float) -> None:
    """A check-in shows the release in the bank and confirmed: whatever got lost on the way, this is so."""
    row = _row(db, key)
    if row is None or Verdict(row.verdict) is Verdict.CONFIRMED:
        return
    note(db, key, "confirmed", "seen in its bank at a check-in", now)
    values = _end(row, Verdict.CONFIRMED, "", now)
    _change(db, key, values | {"sync": row.size, "distributed": row.distributed or now, "updated": now})


def said_installed(db: Connection, key: Key, size: int, now: float) -> bool:
    """A third-party client says that it runs a package already, whoever brought it; False where that was known."""
    row = _row(db, key)
    if row is not None and Verdict(row.verdict) is Verdict.CONFIRMED:
        return False
    if row is None:
        db.execute(insert(ledger).values(terminal=key.terminal, component=key.component, release=key.release, size=size))
        row = _row(db, key)
    assert row is not None
    note(db, key, "confirmed", "says that it runs it already", now)
    _change(db, key, _end(row, Verdict.CONFIRMED, "", now) | {"updated": now})
    return True


def _end(row: Row[tuple[object, ...]], verdict: Verdict, reason: str, now: float) -> dict[str, object]:
    if verdict is Verdict.CONFIRMED:
        return {
            "verdict": verdict.value,
            "phase": Phase.UPDATED.value,
            "installed": now,
            "ended": now,
            "reason": reason,
            "sync": row.size,
            "distributed": row.distributed or now,
        }
    if verdict is Verdict.RESTORATION:
        return {"verdict": verdict.value, "phase": Phase.RESTORING.value, "reason": reason}
    return {
        "verdict": verdict.value,
        "phase": Phase.FAILED.value,
        "ended": now,
        "reason": reason,
        "tries": row.tries + 1,
    }


def note(db: Connection, key: Key, kind: str, text: str, now: float) -> None:
    """One more line of the timeline."""
    note_each(db, [key], kind, text, now)


def note_each(db: Connection, keys: Iterable[Key], kind: str, text: str, now: float) -> None:
    """The same line in many timelines."""
    said = {"at": now, "kind": kind, "text": text[:512]}
    db.execute(insert(events), [{"terminal": key.terminal, "component": key.component} | said for key in keys])


def _row(db: Connection, key: Key) -> Row[tuple[object, ...]] | None:
    query = select(ledger).where(
        ledger.c.terminal == key.terminal, ledger.c.component == key.component, ledger.c.release == key.release
    )
    return db.execute(query).one_or_none()


def _change(db: Connection, key: Key, values: dict[str, object]) -> None:
    query = update(ledger).where(
        ledger.c.terminal == key.terminal, ledger.c.component == key.component, ledger.c.release == key.release
    )
    db.execute(query.values(**values))


# ---- what others read: plain values ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted; None: all."""

    terminal: int | None = None
    release: int | None = None
    since: float = 0.0


def entries(db: Connection, wanted: Wanted | None = None) -> list[Entry]:
    """The ledger, newest change first."""
    wanted = wanted or Wanted()
    query = _entries().where(func.coalesce(ledger.c.updated, 0.0) >= wanted.since)
    if wanted.terminal is not None:
        query = query.where(ledger.c.terminal == wanted.terminal)
    if wanted.release is not None:
        query = query.where(ledger.c.release == wanted.release)
    return [Entry(**row._asdict()) for row in db.execute(query.order_by(ledger.c.updated.desc()))]


def page(db: Connection, wanted: Wanted, after: tuple[int, int, str], limit: int) -> list[tuple[tuple[int, int, str], Entry]]:
    """So many lines in order of release, terminal and component, each with that as its mark, after this one: a page takes as
    long wherever it lies."""
    marks = (ledger.c.release, ledger.c.terminal, ledger.c.component)
    query = _entries().add_columns(ledger.c.terminal.label("n")).order_by(*marks).limit(limit)
    if wanted.release is None:
        query = query.where(tuple_(*marks) > tuple_(*after))
    else:  # said so that the index leads to the place
        beyond = tuple_(*marks[1:]) > tuple_(*after[1:])
        query = query.where(ledger.c.release == wanted.release, beyond)
    if wanted.since:
        query = query.where(ledger.c.updated >= wanted.since)
    found = []
    for row in db.execute(query):
        values = row._asdict()
        n = int(values.pop("n"))
        found.append(((int(row.release), n, str(row.component)), Entry(**values)))
    return found


def entry(db: Connection, key: Key) -> Entry | None:
    row = db.execute(_ENTRY, {"n": key.terminal, "part": key.component, "what": key.release}).one_or_none()
    return None if row is None else Entry(**row._asdict())


def _entries() -> Select[tuple[object, ...]]:
    own = [c for c in ledger.c if c.name != "terminal"]
    return (
        select(terminal.c.tenant, terminal.c.id.label("terminal"), release.c.version, release.c.model, terminal.c.heard, *own)
        .join(terminal, terminal.c.n == ledger.c.terminal)
        .join(release, release.c.id == ledger.c.release)
    )


#: Made once: to put it together takes longer than to ask it.
_ENTRY = _entries().where(
    ledger.c.terminal == bindparam("n"), ledger.c.component == bindparam("part"), ledger.c.release == bindparam("what")
)


def timeline(db: Connection, terminal_number: int, limit: int = 200) -> list[Event]:
    """What happened to a terminal, oldest first, the last `limit` lines."""
    query = select(events.c.id, events.c.at, events.c.component, events.c.kind, events.c.text)
    rows = db.execute(query.where(events.c.terminal == terminal_number).order_by(events.c.id.desc()).limit(limit)).all()
    return [Event(**row._asdict()) for row in reversed(rows)]


def counts(db: Connection, release_number: int) -> dict[str, int]:
    """How many terminals stand in each phase of a release."""
    query = select(ledger.c.phase, func.count()).where(ledger.c.release == release_number, ledger.c.action.is_not(None))
    query = query.group_by(ledger.c.phase)
    return {str(phase): int(number) for phase, number in db.execute(query).all()}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a terminal last said about one component. `bank` is the digest its bank has, `word` the version it calls itself;
    `checked` None: it has never checked in with it."""

    component: str
    bank: str
    bank_size: int
    word: str
    ram: int
    stage: int
    link: int
    state: str
    open_file: str
    staged: str
    staged_bytes: int
    epoch: int
    sequence: int
    checked: float | None
    pin: int | None


def shown(db: Connection, terminal_number: int) -> list[Shown]:
    """The components of a terminal as last heard."""
    columns = [components.c.name.label("component"), *(components.c[name] for name in Shown.__slots__ if name != "component")]
    query = select(*columns).where(components.c.terminal == terminal_number).order_by(components.c.name)
    return [Shown(**row._asdict()) for row in db.execute(query)]
