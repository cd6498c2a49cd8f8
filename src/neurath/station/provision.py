"""The end of the factory line: a terminal with a boot core and no name is given one, makes its key itself, and is recorded. It
knows what has to be true before and after; it must never see a private key, and never write to a terminal that has a name."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass

from neurath.errors import LinkError, RefusedError
from neurath.flash.geometry import Model
from neurath.flash.trust import Birth
from neurath.station.ledger import Ledger
from neurath.station.line import Line
from neurath.wire.enrolment import Record, key_text
from neurath.wire.smp import BirthState, Identity

#: Seconds until a terminal that restarted has to answer again.
RESTARTS = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a terminal is to become: all of a birth record but the key, which nobody here knows."""

    birth: Birth
    model: Model


def may(order: Order, seen: Identity, ledger: Ledger) -> bool:
    """Whether this terminal is to be written to; False: it was, and only its record is missing. RefusedError: neither."""
    name, layout = order.birth.id, order.model.layout
    ledger.check(name)
    if seen.enrolled:
        if seen.id == name and ledger.begun(name):
            return False
        raise RefusedError(
            f"this terminal is {seen.id} already", "a birth record is written once", "take the next one", id="NRT-396"
        )
    if seen.birth is BirthState.UNREADABLE and not ledger.begun(name):
        why = "its birth record does not read, and nothing was begun with it here"
        raise RefusedError("this terminal had a name", why, "neurath station enrol, with the id on its label", id="NRT-396")
    found, wanted = (seen.bank, seen.grains), (layout.bank_size, (layout.write_unit, layout.page, layout.group, layout.leaf))
    if found != wanted:
        why = f"its memory is {found[0]:,} bytes in {found[1]}, the model's {wanted[0]:,} in {wanted[1]}"
        raise RefusedError(f"this terminal is no {order.birth.model}", why, "name the model it is", id="NRT-397")
    return True


async def foresee(line: Line, order: Order, ledger: Ledger) -> None:
    """Nothing is written; RefusedError where `provision` would say no."""
    await line.open()
    try:
        may(order, await line.identity(), ledger)
    finally:
        await line.close()


async def provision(line: Line, order: Order, ledger: Ledger, now: float) -> Record:
    """Identify, begin, write, restart, ask for the key, record. What is cut off in between is taken up by the same call again.
    RefusedError where terminal or records say no."""
    await line.open()
    try:
        seen = await line.identity()
        record = Record(0, "", int(now * 1000), "", "", "", order.birth.id, order.birth.model)
        if may(order, seen, ledger):
            if not ledger.begun(order.birth.id):
                ledger.begin(record)
            await line.enrol(order.birth, secrets.token_bytes(32))
            await line.reset()
        seen = await named(line)
        if (seen.id, seen.model) != (order.birth.id, order.birth.model):
            raise RefusedError(
                f"the terminal calls itself {seen.id}",
                "another one is on the line now",
                "plug the first in again",
                id="NRT-396",
            )
        key, token = await line.known()
        return ledger.enrolled(
            Record(0, "", int(now * 1000), "", "", "", order.birth.id, order.birth.model, key_text(key), token.hex())
        )
    finally:
        await line.close()


async def named(line: Line) -> Identity:
    """The terminal once it reads its new record."""
    until = time.monotonic() + RESTARTS
    while True:
        with contextlib.suppress(LinkError, ConnectionError):
            await line.open()
            seen = await line.identity()
            if seen.enrolled:
                return seen
        if time.monotonic() > until:
            raise LinkError(
                "the terminal does not come back", f"no name within {RESTARTS:.0f} s", "the same command again goes on"
            )
        await asyncio.sleep(0.2)
