"""What a terminal was told and has told before, so that neither is said again: brief check-ins made whole, and when to ask
again for a file that is being built. It knows rows and times; it must never take a check-in for one that it is not like."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from sqlalchemy import select

from neurath.ids import FIRMWARE, ComponentName, Floor, ModelName
from neurath.server.fleet.access import Terminal
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.server.store.tables import delta as deltas
from neurath.wire import brief, check
from neurath.wire.check import Check

#: Seconds that a build is thought to take before one was seen to end, and the longest that anybody is told to wait for one.
UNSEEN, LONGEST = 8.0, 60.0
#: Terminals whose wait is remembered.
MOST = 10_000


def said(store: Store, terminal: Terminal, body: bytes) -> tuple[Check | None, bool]:
    """The check-in in a message, and whether its terminal likes it brief; None: it is like one that is not kept here."""
    short = brief.read(body)
    if short is None:
        return check.decode(body), False
    found = brief.whole(short, _before(store, terminal, short.component or FIRMWARE) if short.like else b"")
    return (None if found is None else check.decode(found)), True


def _before(store: Store, terminal: Terminal, component: str) -> bytes:
    """The last check-in of a component as it came, byte for byte, for there is one form of it; b"" where it never gave one."""
    query = select(components).where(components.c.terminal == terminal.n, components.c.name == component)
    with store.read() as db:
        row = db.execute(query).one_or_none()
    if row is None or row.checked is None or not row.nonce:
        return b""
    bank, nonce, envelope, open_file, staged = (
        bytes.fromhex(one) for one in (row.bank, row.nonce, row.envelope, row.open_file, row.staged)
    )
    kept = Check(
        model=ModelName(row.model),
        bank=bank,
        bank_size=row.bank_size,
        ram=row.ram,
        nonce=nonce,
        envelope=envelope,
        floor=Floor(row.epoch, row.sequence),
        component=ComponentName(component),
        version=row.word,
        stage=row.stage,
        link=row.link,
        state=row.state,
        open_file=open_file,
        staged=staged,
        staged_bytes=row.staged_bytes,
        spare=row.spare,
        profiles=row.profiles,
        key_list=row.key_list,
    )
    return check.encode(kept)


@dataclass(slots=True)
class Waits:
    """How long files that are being built are waited for: what the last ones took, a little more, and from then on half as
    long again each time. In memory alone."""

    _usual: float = UNSEEN
    _since: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def again(self, terminal: int, now: float) -> int:
        """Seconds after which to ask again, of one whose file is being built."""
        with self._lock:
            while len(self._since) >= MOST and terminal not in self._since:
                del self._since[next(iter(self._since))]
            gone = now - self._since.setdefault(terminal, now)
            left = self._usual * 1.25 - gone
            return math.ceil(min(max(left, gone / 2, 1.0), LONGEST))

    def over(self, store: Store, terminal: int) -> None:
        """A terminal that waited has its offer."""
        with self._lock:
            if self._since.pop(terminal, None) is None:
                return
        with store.read() as db:
            took = db.scalar(select(deltas.c.seconds).order_by(deltas.c.built.desc()).limit(1))
        with self._lock:
            self._usual += (float(took or self._usual) - self._usual) / 2
