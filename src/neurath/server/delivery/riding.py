"""The server's answer to whoever a carrier's server half heard: which registered terminal that is, that it was heard, and what
rides to it. It knows terminals by tenant and id, and trickle; it must never raise, nor tell a carrier why there is nothing."""

from __future__ import annotations

import logging
import threading

from neurath.carriers.base import Seen
from neurath.errors import DataError, NeurathError, NotFound
from neurath.server.delivery.trickle import Trickle
from neurath.server.fleet import access
from neurath.server.fleet.access import Terminal
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply

log = logging.getLogger(__name__)

#: Terminals remembered; of more, the one that was first heard is looked up again.
MOST = 100_000
_NOTHING = trickle.encode_reply(Reply())


class ServerRiding:
    """What the carriers' server halves in this process ask. The carrier has shown who it heard, as well as it can."""

    def __init__(self, riding: Trickle) -> None:
        self.trickle = riding
        self._known: dict[tuple[str, str], Terminal] = {}
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

    def _answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        terminal = self._terminal(seen)
        self.trickle.delivery.heard(terminal, seen.carrier, seen.address, now)
        if state is None:
            return b""  # without its word nobody knows what the terminal lacks
        asked = trickle.decode_state(state)
        data = self.trickle.answer(terminal, asked, room, now)
        return b"" if len(data) > room or (data == _NOTHING and asked.ask is Ask.NEWS) else data

    def _terminal(self, seen: Seen) -> Terminal:
        name = (seen.tenant, seen.terminal)
        with self._lock:
            known = self._known.get(name)
        if known is None:
            with self.trickle.delivery.store.read() as db:
                known = access.find(db, seen.terminal, seen.tenant)
            with self._lock:
                while len(self._known) >= MOST:
                    self._known.pop(next(iter(self._known)))
                self._known[name] = known
        return known
