"""Actions: one update file offered to one terminal, under a number that clients name. It knows which are open and which
files must stay; it must never choose a file, and never free one that a torn terminal may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, insert, select, update

from neurath.ids import ComponentName
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import ledger


@dataclass(frozen=True, slots=True)
class Action:
    """`state` is confirming, open, cancelling, closed, cancelled or superseded; `kind` is delta, full or package; `secured` is
    the RAM in bytes the terminal reported set aside (A6); `held`: no verdict yet from a terminal that may hold its ticket;
    `insists`: its client would not be cancelled, and goes on."""

    id: int
    terminal: int
    component: ComponentName
    release: int
    rollout: int | None
    state: str
    kind: str
    file: str
    size: int
    need: int
    base: str
    secured: int
    held: bool
    created: float
    fetched: float | None
    closed: float | None
    insists: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What an action is opened with."""

    terminal: int
    component: str
    release: int
    rollout: int | None
    kind: str
    file: str
    size: int
    need: int = 0
    base: str = ""
    state: str = "open"


#: An action that is neither ended nor forgotten.
ACTIVE = ("confirming", "open", "cancelling")
ALIVE = actions.c.state.in_(ACTIVE)

# Questions of every poll that is looked up, made once: to put one together takes longer than to ask it.
_CURRENT = select(actions).where(actions.c.terminal == bindparam("n"), ALIVE).order_by(actions.c.id)
# By the ledger's key: its lines are not found by their action.
_LINE = and_(
    ledger.c.terminal == actions.c.terminal,
    ledger.c.component == actions.c.component,
    ledger.c.release == actions.c.release,
    ledger.c.action == actions.c.id,
)
_LAST = (
    select(actions)
    .join(ledger, _LINE)
    .where(ledger.c.verdict == "confirmed", actions.c.terminal == bindparam("n"), actions.c.state == "closed")
    .order_by(actions.c.closed.desc(), actions.c.id.desc())
    .limit(1)
)
_NEW = insert(actions).returning(actions)


def open_action(db: Connection, draft: Draft, now: float) -> Action:
    """A new action in place of any open one of this component."""
    return open_after(db, current_action(db, draft.terminal, draft.component), draft, now)


def open_after(db: Connection, current: Action | None, draft: Draft, now: float) -> Action:
    """The same where it is known which one is open."""
    if current is not None:
        end(db, current, "superseded", now)
    values = {name: getattr(draft, name) for name in Draft.__slots__}
    return _action(db.execute(_NEW, values | {"created": now}).one())


def by_id(db: Connection, number: int) -> Action:
    return _action(db.execute(select(actions).where(actions.c.id == number)).one())


def of_terminal(db: Connection, terminal: int, number: str) -> Action | None:
    """The action a client names, if it is one of its own."""
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    query = select(actions).where(actions.c.id == int(number), actions.c.terminal == terminal)
    row = db.execute(query).one_or_none()
    return None if row is None else _action(row)


def current_action(db: Connection, terminal: int, component: str) -> Action | None:
    """The active action of a component; there is at most one."""
    query = select(actions).where(active(terminal, component))
    row = db.execute(query.order_by(actions.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _action(row)


def active(terminal: int | ColumnElement[int], component: str | ColumnElement[str]) -> ColumnElement[bool]:
    """What is asked of the active action of a component."""
    return and_(actions.c.terminal == terminal, actions.c.component == component, ALIVE)


def current_actions(db: Connection, terminal: int) -> list[Action]:
    return [_action(row) for row in db.execute(_CURRENT, {"n": terminal})]


def all_of(db: Connection, terminal: int) -> list[Action]:
    """Every action there was for a terminal, oldest first."""
    query = select(actions).where(actions.c.terminal == terminal).order_by(actions.c.id)
    return [_action(row) for row in db.execute(query)]


def of_file(db: Connection, terminal: int, component: str, prefix: str) -> Action | None:
    """The newest action of a component whose file's digest begins so: what a torn terminal asks for."""
    query = select(actions).where(
        actions.c.terminal == terminal, actions.c.component == component, actions.c.file.startswith(prefix, autoescape=True)
    )
    row = db.execute(query.order_by(actions.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _action(row)


def of_release(db: Connection, terminal: int, component: str, release: int) -> list[Action]:
    """All actions that were to bring a terminal this release, newest first."""
    query = select(actions).where(
        actions.c.terminal == terminal, actions.c.component == component, actions.c.release == release
    )
    return [_action(row) for row in db.execute(query.order_by(actions.c.id.desc()))]


def held_file(db: Connection, prefix: str) -> str | None:
    """The whole digest of a file that some terminal without a verdict may need; None when nobody does."""
    query = select(actions.c.file).where(actions.c.held, actions.c.file.startswith(prefix, autoescape=True)).limit(1)
    return db.scalar(query)


def reopen(db: Connection, action: Action) -> Action:
    """A torn terminal is back for this very file, whatever became of the action."""
    if action.state != "open":
        db.execute(update(actions).where(actions.c.id == action.id).values(state="open", held=True, closed=None))
    return by_id(db, action.id)


def secure(db: Connection, action: Action, count: int) -> None:
    """The terminal set this much RAM aside (or staged durably) for the file."""
    db.execute(update(actions).where(actions.c.id == action.id).values(secured=max(action.secured, count)))


def fetched(db: Connection, action: Action, now: float) -> None:
    if action.fetched is None:
        db.execute(update(actions).where(actions.c.id == action.id).values(fetched=now))


def end(db: Connection, action: Action, state: str, now: float) -> None:
    """Closed, cancelled or superseded. Without a verdict the file stays held."""
    db.execute(update(actions).where(actions.c.id == action.id).values(state=state, closed=now))


def cancel(db: Connection, action: Action) -> None:
    """Asks a third-party client to stop; it answers through the cancel action's feedback."""
    db.execute(update(actions).where(actions.c.id == action.id).values(state="cancelling"))


def insist(db: Connection, action: Action) -> None:
    """The client would not be cancelled: it goes on, and is not asked again."""
    db.execute(update(actions).where(actions.c.id == action.id).values(state="open", insists=True))


def confirm(db: Connection, action: Action) -> None:
    """What waited for a word has it."""
    db.execute(update(actions).where(actions.c.id == action.id, actions.c.state == "confirming").values(state="open"))


def last_installed(db: Connection, terminal: int) -> Action | None:
    """The action that a terminal finished last, and well."""
    row = db.execute(_LAST, {"n": terminal}).one_or_none()
    return None if row is None else _action(row)


def settle(db: Connection, action: Action) -> None:
    """A verdict came: neither this file nor an earlier one of the component is needed by this terminal any more."""
    query = update(actions).where(
        actions.c.terminal == action.terminal, actions.c.component == action.component, actions.c.id <= action.id
    )
    db.execute(query.values(held=False))


#: What a query says of an action beside other things: all columns, in their order.
TABLE, COLUMNS = actions, tuple(actions.c)


def of_columns(values: Sequence[Any]) -> Action | None:
    """The action in these COLUMNS; None where all are empty."""
    known = dict(zip((c.name for c in COLUMNS), values, strict=True))
    return None if known["id"] is None else Action(**known | {"component": ComponentName(known["component"])})


def _action(row: Row[tuple[object, ...]]) -> Action:
    return Action(**{**row._asdict(), "component": ComponentName(row.component)})
