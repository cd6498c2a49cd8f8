"""Base polls that need no look into the store: an answer is kept while nothing was written that can change it. It stands
before the application's routes, reads the few headers that matter, and must never answer whom the store would not."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from starlette.types import ASGIApp, Receive, Scope, Send

from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.sightings import Sighting
from neurath.server.proxy import certificate
from neurath.server.store.marks import Mark

#: Answers kept, of 0.25 KB each where there is nothing to do.
MOST = 1_000_000
#: Of those that find no room one in so many is let in, in place of the oldest. Terminals poll in turn: were each let in, each
#: would be gone before it is asked for again.
LET_IN = 16
#: An answer stands no longer than this, seconds, however still it is.
LONGEST = 3600.0
_PATH = re.compile(rb"/[^/]+/controller/v1/[^/]+")
#: What an answer depends on beside terminal and store: who asks, under which name, in which form, with which program.
_MATTERS = (b"host", b"authorization", b"accept", b"user-agent")
#: A request that has one of these is answered for itself.
_OWN = (b"if-none-match", b"transfer-encoding")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the same for many terminals where there is nothing to do."""

    head: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One terminal's answer: it stands as long as `mark` is the store's, and until then."""

    terminal: int
    mark: Mark
    until: float
    answer: Answer


@lru_cache(maxsize=256)
def alike(head: tuple[tuple[bytes, bytes], ...], body: bytes) -> Answer:
    """One object for those that are alike."""
    return Answer(head, body)


class Polls:
    """The answers of one plane. `app` is what everything else goes to. An answer is found by a keyed hash of everything it
    depends on, the Authorization among it: whoever does not show the same finds nothing."""

    def __init__(self, app: ASGIApp, delivery: Delivery, most: int = MOST) -> None:
        self.app = app
        self._delivery = delivery
        self._marks = delivery.store.marks
        self._most = most
        self._key = secrets.token_bytes(32)
        self._kept: dict[bytes, Kept] = {}
        self._left_out = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            asked = self._asked(scope)
            found = None if asked is None else self._kept.get(asked)
            if found is not None:
                now = time.time()
                if now < found.until and found.mark == self._marks.of(found.terminal):
                    client = scope["client"]
                    self._delivery.sightings.note(found.terminal, Sighting("http", client[0] if client else "", now))
                    await send({"type": "http.response.start", "status": 200, "headers": found.answer.head})
                    await send({"type": "http.response.body", "body": found.answer.body, "more_body": False})
                    return
        await self.app(scope, receive, send)

    def keep(self, scope: Scope, found: Kept) -> None:
        """Keeps an answer to this request, if it is one that can be kept."""
        asked = self._asked(scope)
        if asked is None:
            return
        with self._lock:
            if asked not in self._kept and len(self._kept) >= self._most:
                self._left_out += 1
                if self._left_out % LET_IN:
                    return
                del self._kept[next(iter(self._kept))]
            self._kept[asked] = found

    def _asked(self, scope: Scope) -> bytes | None:
        """What a base poll is known by; None for any other request, and for one whose answer is its own."""
        path = scope["raw_path"]
        if _PATH.fullmatch(path) is None or scope["query_string"] or certificate(scope) is not None:
            return None
        words = _words(scope["headers"])
        if words is None:
            return None
        # None of them can hold the end of a line.
        text = b"\n".join((path, scope["scheme"].encode(), *words))
        return blake2b(text, digest_size=16, key=self._key).digest()


def _words(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes] | None:
    words = [b"", b"", b"", b""]
    for name, value in headers:
        if name in _MATTERS:
            words[_MATTERS.index(name)] = value
        elif name in _OWN or (name == b"content-length" and value != b"0"):
            return None
    return words
