"""How large the pieces of a file are: what an operator says for a rollout or a folder, what the carriers have room for, what
terminals were seen to have room for. It knows sizes and rooms; it must never change the size of a file whose pieces were
begun: a terminal that holds some of them holds them under their size. Spec: docs/spec/trickle.md 8."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from neurath.errors import UsageError
from neurath.server.store.sql import upsert
from neurath.server.store.tables import cut as cuts
from neurath.server.store.tables import terminal as terminals
from neurath.wire import pair
from neurath.wire.mobileip import MAX_SHORT
from neurath.wire.trickle import NAME, REPLY_HEADER, SIZES, Ask, State

#: Where nothing is said: what fits every carrier there is. More would save nothing, an answer has its 8 bytes once, and one
#: piece is the least that an answer carries, also on a slow line.
USUAL = 200
#: Bytes that an answer of each carrier has room for at the least.
ROOMS = {"coap": 1024, "dhcp": 504, "http": 1024, "lwm2m": 1024, "mobileip": MAX_SHORT, "mqtt": 1024, "pair": pair.ROOM}
#: What is said as text: nothing, a size, or carriers.
_HINT = f"one of {', '.join(map(str, SIZES))}; or carriers: {','.join(ROOMS)}"


def said(text: str) -> str:
    """What an operator says about pieces, in its one form: "" nothing, "128", or "dhcp,http". UsageError."""
    words = sorted({word.strip() for word in text.split(",")} - {""})
    if len(words) == 1 and words[0].isdecimal() and int(words[0]) in SIZES:
        return words[0]
    if set(words) <= set(ROOMS):
        return ",".join(words)
    raise UsageError(f"{text!r} names no size of pieces and no carriers", "both are known beforehand", _HINT)


def fitting(room: int, most: int = SIZES[-1]) -> int:
    """The largest size up to `most` of which a piece fits an answer of `room` bytes; the smallest there is where none does."""
    return max((size for size in SIZES if size <= most and REPLY_HEADER + size <= room), default=SIZES[0])


def shown(state: State | None, room: int) -> int:
    """The room for pieces that a heartbeat shows its carrier to have, `room` what the carrier says itself; 0: it shows none,
    because it asks for less than there is."""
    if state is None:
        return max(0, room - NAME)
    if state.ask is Ask.NEWS:
        return min(room, state.room)
    return room if state.room >= room else 0


def of(db: Connection, file: str) -> int | None:
    """The size that a file's pieces have; None: they were not begun."""
    return db.scalar(select(cuts.c.piece).where(cuts.c.file == file))


def begin(db: Connection, file: str, size: int, now: float) -> int:
    """Has a file cut into pieces of this size from now on and for ever; gives the size that it has, which is an earlier one
    where somebody was first."""
    db.execute(upsert(cuts).values(file=file, piece=size, begun=now).on_conflict_do_nothing())
    found = of(db, file)
    assert found is not None
    return found


def choose(db: Connection, model: str, said: str, usual: int = USUAL) -> int:
    """The size for a file of a model that was not begun: what was said; else the usual one, or the largest below it that
    fits the smallest room that a terminal of the model was seen to have."""
    if said.isdecimal():
        return int(said)
    if said:
        return fitting(min(ROOMS[name] for name in said.split(",")))
    least = db.scalar(select(func.min(terminals.c.room)).where(terminals.c.model == model, terminals.c.room > 0))
    return usual if least is None else fitting(int(least), usual)
