"""The server's answer to whoever a carrier's server half heard: which registered terminal that is, that it was heard, and what
rides to it. It knows terminals by tenant and id, and trickle; it must never raise, nor tell a carrier why there is nothing."""

from __future__ import annotations

import logging
import threading

from neurath.carriers.base import Seen
from neurath.errors import DataError, NeurathError, NotFound
from neurath.server.delivery.trickle import Trickle
from neurath.server.fleet import access, pieces
from neurath.server.fleet.access import Terminal
from neurath.server.store.marks import Mark
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply, State

log = logging.getLogger(__name__)

#: Terminals remembered; of more, the one that was first heard is looked up again.
MOST = 100_000
_NOTHING = trickle.encode_reply(Reply())


class ServerRiding:
    """What the carriers' server halves in this process ask. The carrier has shown who it heard, as well as it can."""

    def __init__(self, riding: Trickle) -> None:
        self.trickle = riding
        self._known: dict[tuple[str, str], tuple[Mark, Terminal]] = {}
        self._lock = threading.Lock()

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        """See carriers.base.Riding. b"" for a terminal that is not registered, a state that makes no sense, and a question for
        news where there is none: such a packet passes as it is."""
        try:
            return self._answer(seen, state, room, now)
        except NotFound:
            return b""
        except DataError as fault:
            log.info("%s of %s: %s (%s)", seen.carrier, seen.terminal, fault.what, fault.why)
        except NeurathError as fault:
            log.warning("%s of %s answered without pieces: %s (%s)", seen.carrier, seen.terminal, fault.what, fault.why)
        except Exception:
            # A fault of ours is not the carrier's: its packet passes.
            log.exception("%s of %s answered without pieces", seen.carrier, seen.terminal)
        return b""

    def at_once(self, seen: Seen, state: bytes, room: int, now: float) -> bytes | None:
        """The same answer where it needs no look into the store, for who must not wait for one; else None."""
        terminal = self._remembered(seen)
        try:
            if terminal is None:
                return None
            asked = trickle.decode_state(state)
            data = self.trickle.at_once(terminal, asked, room, now)
        except Exception:
            return None  # answer() says what there is to say
        if data is None:
            return None
        self.trickle.delivery.heard(terminal, seen.carrier, seen.address, now, pieces.shown(asked, room))
        return _fitting(data, asked, room)

    def _answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        terminal = self._remembered(seen) or self._find(seen)
        asked = None if state is None else trickle.decode_state(state)
        self.trickle.delivery.heard(terminal, seen.carrier, seen.address, now, pieces.shown(asked, room))
        if asked is None:
            data = self.trickle.answer(terminal, None, room, now)
            # There is nothing to say to one that cannot ask for it.
            return data if trickle.REPLY_HEADER < len(data) <= room else b""
        return _fitting(self.trickle.answer(terminal, asked, room, now), asked, room)

    def _remembered(self, seen: Seen) -> Terminal | None:
        known = self._known.get((seen.tenant, seen.terminal))
        if known is None or known[0] != self.trickle.delivery.store.marks.of(known[1].n):
            return None
        return known[1]

    def _find(self, seen: Seen) -> Terminal:
        store = self.trickle.delivery.store
        with store.read() as db:
            found = access.find(db, seen.terminal, seen.tenant)
        mark = store.marks.of(found.n)  # before the reading that counts
        with store.read() as db:
            found = access.by_number(db, found.n)
        with self._lock:
            while len(self._known) >= MOST:
                self._known.pop(next(iter(self._known)))
            self._known[seen.tenant, seen.terminal] = mark, found
        return found


def _fitting(data: bytes, asked: State, room: int) -> bytes:
    return b"" if len(data) > room or (data == _NOTHING and asked.ask is Ask.NEWS) else data
