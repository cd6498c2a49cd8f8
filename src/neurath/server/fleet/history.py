"""What clients said about an action, word for word, as hawkBit's action history has it. It knows statuses and texts; it must
never judge them, nor keep more of one action than a person could read."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from neurath.server.fleet.actions import Action
from neurath.server.store.tables import word as words
from neurath.wire.ddi import History, TooMuch

#: A client that says more about one action than this is told to stop (429).
MOST = 1000
#: Messages of one word that are kept, and characters of each.
_LINES, _LONG = 50, 512


def say(db: Connection, action: Action, status: str, texts: tuple[str, ...], now: float) -> None:
    """Keeps what was said, one row a message; TooMuch when too much was said already."""
    said = db.scalar(select(func.count()).where(words.c.action == action.id)) or 0
    if said >= MOST:
        raise TooMuch("too much was said about this action", f"{said} messages", "close it")
    kept = [text[:_LONG] for text in texts[:_LINES]] or [""]
    db.execute(insert(words), [{"action": action.id, "at": now, "status": status, "text": text} for text in kept])


def of(db: Connection, action: Action, most: int) -> History:
    """The latest status, and at most so many messages, newest first; a negative number: all of them."""
    query = select(words.c.status, words.c.text).where(words.c.action == action.id).order_by(words.c.id.desc())
    rows = db.execute(query.limit(MOST + _LINES)).all()
    texts = tuple(str(row.text) for row in rows if row.text)
    status = str(rows[0].status) if rows else "RETRIEVED" if action.fetched is not None else "RUNNING"
    return History(status, texts if most < 0 else texts[:most])


def note_once(db: Connection, action: Action, status: str, text: str, now: float) -> bool:
    """Keeps a word of the server's own, unless it was the last one; True: it was not."""
    last = of(db, action, 1)
    if last.messages[:1] == (text,):
        return False
    say(db, action, status, (text,), now)
    return True
