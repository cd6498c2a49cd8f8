"""Somebody's word about an action that waits for one: the device's, or an operator's in its place."""

from __future__ import annotations

from sqlalchemy import Connection

from neurath.errors import NothingToDo
from neurath.server.fleet import actions, history, progress
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Key


def say(db: Connection, action: Action, confirmed: bool, details: tuple[str, ...], now: float) -> None:
    """Confirmed: it may begin. Denied: it goes on waiting for another word."""
    if confirmed:
        actions.confirm(db, action)
    word = "confirmed" if confirmed else "denied"
    history.say(db, action, "RUNNING" if confirmed else "WAIT_FOR_CONFIRMATION", details or (word,), now)
    progress.note(db, Key.of(action), word, "; ".join(details), now)


def say_for(db: Connection, terminal: Terminal, confirmed: bool, why: str, now: float) -> int:
    """An operator's word; gives the number of the action. NothingToDo where none waits."""
    for action in actions.current_actions(db, terminal.n):
        if action.state == "confirming":
            say(db, action, confirmed, (f"by an operator{f': {why}' if why else ''}",), now)
            return action.id
    raise NothingToDo(f"nothing of terminal {terminal.id} waits for a word")
