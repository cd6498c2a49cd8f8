"""Heartbeats that need no look into the store, for carriers with a token: who showed one before, and what rides to them now.
It knows the tokens it saw accepted; it must never accept one that the store has not, nor hold a worker thread."""

from __future__ import annotations

import hmac
import threading
from typing import Protocol

from neurath.carriers.base import Riding, Seen
from neurath.carriers.heartbeat import ROOM
from neurath.server.fleet.access import Terminal
from neurath.server.store.marks import Mark, Marks
from neurath.wire import trickle

#: Tokens remembered; of more, the one that came first is looked up again.
MOST = 100_000
#: What a heartbeat is answered when there is nothing for the terminal.
NOTHING = trickle.encode_reply(trickle.Reply())


class Quick(Riding, Protocol):
    """A riding that can say whether it would have to wait."""

    def at_once(self, seen: Seen, state: bytes, room: int, now: float) -> bytes | None:
        """answer(), or None where it needs a look into the store."""
        ...


class Beats:
    """The heartbeats of one plane. A token is told as its carrier carries it."""

    def __init__(self, riding: Quick, marks: Marks) -> None:
        self.riding = riding
        self._marks = marks
        self._passed: dict[tuple[str, str], tuple[bytes, Mark, int]] = {}
        self._lock = threading.Lock()

    def passed(self, terminal: Terminal, given: str, mark: Mark) -> None:
        """The store has accepted this `Authorization` of a terminal, at this mark or later."""
        with self._lock:
            while len(self._passed) >= MOST:
                self._passed.pop(next(iter(self._passed)))
            self._passed[terminal.tenant, terminal.id] = given.encode("latin-1", "replace"), mark, terminal.n

    def at_once(self, seen: Seen, given: str, body: bytes, now: float) -> bytes | None:
        """What is answered to a heartbeat, if nothing has to be looked up for it."""
        known = self._passed.get((seen.tenant, seen.terminal))
        if known is None or known[1] != self._marks.of(known[2]):
            return None
        if not hmac.compare_digest(known[0], given.encode("latin-1", "replace")):
            return None
        return _fitting(self.riding.at_once(seen, body, ROOM, now))

    def answer(self, seen: Seen, body: bytes, now: float) -> bytes | None:
        """The same for a terminal that was admitted just now; DataError for a state that makes no sense."""
        trickle.decode_state(body)
        return _fitting(self.riding.answer(seen, body, ROOM, now))


def _fitting(data: bytes | None) -> bytes | None:
    return data if data is None or 0 < len(data) <= ROOM else NOTHING
