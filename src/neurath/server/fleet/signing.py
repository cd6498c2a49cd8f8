"""The device keys of terminals, and what was signed with them already: which key speaks for whom, which was revoked, and that
no signed message is taken twice. It knows public keys and numbers; it must never go by a clock, nor forget a number that was
taken. Spec: docs/spec/links.md 3."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from neurath.errors import NothingToDo, RefusedError
from neurath.flash.trust import PublicKey
from neurath.ids import FIRMWARE
from neurath.server.fleet import progress
from neurath.server.fleet.access import Stranger, Terminal
from neurath.server.fleet.progress import Key
from neurath.server.store.sql import upsert
from neurath.server.store.tables import signing
from neurath.server.store.tables import terminal as terminals
from neurath.wire import enrolment, keys
from neurath.wire.httpsig import Fresh

#: So many numbers below the highest may still come, each once: requests of one terminal overtake each other.
WINDOW = 32
#: Tries where somebody else takes a number of the same terminal at the same moment.
TRIES = 8


class Stale(Stranger):
    """What was signed may have been sent before: it is asked for again, under this word."""

    default_id = "NRT-334"

    def __init__(self, epoch: str) -> None:
        super().__init__("this message may be an old one", "its number is not new under the server's word", "sign it again")
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class _Kept:
    epoch: str
    number: int
    held: int
    coming: str


def give(db: Connection, terminal: Terminal, key: PublicKey | None, now: float) -> None:
    """From now on this key speaks for the terminal; None: none does. RefusedError where it is another terminal's."""
    text = "" if key is None else enrolment.key_text(key)
    query = select(terminals.c.id).where(terminals.c.key == text, terminals.c.n != terminal.n)
    owner = db.scalar(query) if text else None
    if owner is not None:
        why = f"{owner} has it"
        raise RefusedError(f"this key is not {terminal.id}'s own", why, "one of the two is a copy", id="NRT-399")
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(key=text, revoked=None))
    db.execute(delete(signing).where(signing.c.terminal == terminal.n))
    _note(db, terminal, "device key", "taken away" if key is None else keys.fingerprint(key)[:32], now)


def revoke(db: Connection, terminal: Terminal, now: float, why: str = "") -> None:
    """Its device key speaks for nobody any more, and nobody speaks for the terminal until it is given another."""
    if not terminal.key:
        raise RefusedError(f"{terminal.id} has no device key here", "none was enrolled", "neurath terminal decommission ID")
    if terminal.revoked is not None:
        raise NothingToDo(f"the device key of {terminal.id} is revoked already")
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(revoked=now))
    _note(db, terminal, "device key revoked", why, now)


def _note(db: Connection, terminal: Terminal, kind: str, text: str, now: float) -> None:
    progress.note(db, Key(terminal.n, str(FIRMWARE), 0), kind, text, now)


def seen(db: Connection, terminal: Terminal, proof: str) -> None:
    """How it proved itself, where that is another way than the last time."""
    db.execute(update(terminals).where(terminals.c.n == terminal.n, terminals.c.proof != proof).values(proof=proof))


def taken(db: Connection, terminal: int, told: Fresh) -> str:
    """Takes a number of a terminal, once: "" where that is done, else the word under which it is to be signed again."""
    for _ in range(TRIES):
        kept = _kept(db, terminal)
        if told.epoch == kept.coming:
            after = _Kept(kept.coming, told.number, 1, secrets.token_hex(16))
        elif told.epoch != kept.epoch or not (window := _moved(kept, told.number)):
            return kept.coming
        else:
            after = _Kept(kept.epoch, max(kept.number, told.number), window, kept.coming)
        if _put(db, terminal, kept, after):
            return ""
    return _kept(db, terminal).coming


def _moved(kept: _Kept, number: int) -> int:
    """The window with this number in it; 0: it was there already, or is too old. The lowest bit is the highest number."""
    ahead = number - kept.number
    if ahead > 0:
        return (kept.held << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
    bit = 1 << -ahead
    return 0 if -ahead >= WINDOW or kept.held & bit else kept.held | bit


def _kept(db: Connection, terminal: int) -> _Kept:
    """What is kept of a terminal; begun, where nothing is."""
    query = select(signing.c.epoch, signing.c.number, signing.c.held, signing.c.coming).where(signing.c.terminal == terminal)
    row = db.execute(query).one_or_none()
    if row is None:
        fresh = {"terminal": terminal, "epoch": "", "number": 0, "held": 0, "coming": secrets.token_hex(16)}
        db.execute(upsert(signing).values(**fresh).on_conflict_do_nothing())
        row = db.execute(query).one()
    return _Kept(row.epoch, row.number, row.held, row.coming)


def _put(db: Connection, terminal: int, before: _Kept, after: _Kept) -> bool:
    """Whether it still stood as it was read: servers beside this one take numbers too."""
    same = (signing.c.epoch == before.epoch, signing.c.number == before.number, signing.c.held == before.held)
    query = update(signing).where(signing.c.terminal == terminal, signing.c.coming == before.coming, *same)
    values = {"epoch": after.epoch, "number": after.number, "held": after.held, "coming": after.coming}
    return bool(db.execute(query.values(**values)).rowcount)
