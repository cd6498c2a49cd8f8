"""Reminders: what an operator wants the user of a terminal to be told, once. It knows that it goes with the terminal's next
offer, and how the terminal is called to come for it; it must never change what is offered."""

from __future__ import annotations

from sqlalchemy import Connection, exists, insert, select, update

from neurath.errors import NothingToDo
from neurath.ids import FIRMWARE
from neurath.server.fleet import progress
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.progress import Key
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import terminal as terminals
from neurath.wire.offer import MAX_REMIND

#: What is said where an operator says nothing of his own.
TEXT = "Please keep this device on and connected until its update is here, and restart when it asks."


def remind(db: Connection, terminal: Terminal, text: str, now: float) -> str:
    """The user is reminded at the terminal's next contact, which a push or the next heartbeat hastens; gives the words.
    NothingToDo where nothing waits for anybody."""
    if not db.scalar(select(exists().where(actions.c.terminal == terminal.n, actions.c.state == "open"))):
        why = "nothing is on its way to it"
        raise NothingToDo(
            f"there is nothing to remind the user of {terminal.id} of", why, f"neurath terminal why {terminal.id}"
        )
    said = " ".join("".join(c if c.isprintable() else " " for c in text or TEXT).split())[:MAX_REMIND] or TEXT
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(remind=said, reminded=now))
    db.execute(insert(notices).values(terminal=terminal.n))
    progress.note(db, Key(terminal.n, str(FIRMWARE), 0), "reminded", said, now)
    return said


def waits(db: Connection, terminal: Terminal) -> bool:
    """Whether a reminder has not been fetched yet."""
    return bool(db.scalar(select(terminals.c.remind).where(terminals.c.n == terminal.n)))


def taken(db: Connection, terminal: Terminal) -> str:
    """The reminder that goes with this offer; it goes once."""
    said = str(db.scalar(select(terminals.c.remind).where(terminals.c.n == terminal.n)) or "")
    if said:
        db.execute(update(terminals).where(terminals.c.n == terminal.n).values(remind=""))
    return said
