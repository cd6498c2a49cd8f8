"""What a terminal keeps for the narrow profile: its key, the server's epoch, and a counter, all in memory. It knows one place
for each terminal; it must never take an epoch that is not bound to a number of this life. Spec: docs/spec/coap.md 7."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace

from neurath.carriers.datagram import Request
from neurath.wire import narrow
from neurath.wire.coap import Message, Type

_open: dict[bytes, Spoken] = {}
_lock = threading.Lock()


@dataclass(slots=True)
class Spoken:
    """Where the talk of one terminal with its server stands, for all who send under its key."""

    epoch: bytes = narrow.NONE
    counter: int = field(default_factory=lambda: secrets.randbelow(1 << 31) + 1)  # of this life: an epoch is bound to it
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> tuple[bytes, int]:
        with self._guard:
            self.counter += 1
            return self.epoch, self.counter

    def begin(self, fresh: narrow.Fresh) -> None:
        with self._guard:
            self.counter = max(self.counter, fresh.floor) if fresh.epoch == self.epoch else fresh.floor
            self.epoch = fresh.epoch


@dataclass(frozen=True, slots=True)
class Narrow:
    """Tags requests of one terminal, and judges their answers; the interface is carriers.shield.Shield's."""

    key: bytes
    spoken: Spoken

    def protect(self, request: Request) -> tuple[Request, bytes]:
        epoch, counter = self.spoken.next()
        bare = Message(Type.CON, request.code, 0, b"", request.options, request.payload)
        sealed, tag = narrow.seal(self.key, epoch, counter, bare)
        return replace(request, options=sealed.options), tag

    def unprotect(self, answer: Message, asked: bytes) -> Message:
        found = narrow.opened(self.key, asked, answer)
        fresh = narrow.asked(self.key, asked, found)
        if fresh is not None:
            self.spoken.begin(fresh)
        return found

    def fresh(self, request: Request, answer: Message) -> Request | None:
        """The request once more, where the server said what it wants to see."""
        return request if answer.all(narrow.ECHO) else None


def guard(terminal: str, tenant: str, token: str) -> Narrow:
    """The guard of a terminal; all of one key share its counter."""
    key = narrow.derive(narrow.secret_of(token), terminal, tenant)
    with _lock:
        return Narrow(key, _open.setdefault(key, Spoken()))
