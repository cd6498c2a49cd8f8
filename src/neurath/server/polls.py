"""Base polls that need no look into the store: an answer is kept while nothing was written that can change it. It stands
before the application's routes, reads the few headers that matter, and must never answer whom the store would not."""

from __future__ import annotations

import hmac
import re
import threading
import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.sightings import Sighting
from neurath.server.proxy import certificate
from neurath.server.store.marks import Mark

#: Answers kept; of more, the one that came first is worked out again.
MOST = 100_000
#: An answer stands no longer than this, seconds, however still it is.
LONGEST = 3600.0
_PATH = re.compile(r"/([^/]+)/controller/v1/([^/]+)")
#: What an answer depends on beside terminal and store.
_MATTERS = (b"host", b"accept", b"user-agent")

Key = tuple[bytes | str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """One terminal's answer: who may have it (`given`, its Authorization), as long as `mark` is the store's and until then."""

    terminal: int
    given: bytes
    mark: Mark
    until: float
    head: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Polls:
    """The answers of one plane. `app` is what everything else goes to."""

    def __init__(self, app: ASGIApp, delivery: Delivery) -> None:
        self.app = app
        self._delivery = delivery
        self._marks = delivery.store.marks
        self._kept: dict[Key, Kept] = {}
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            asked = _asked(scope)
            found = None if asked is None else self._kept.get(asked[0])
            if asked is not None and found is not None and self._stands(found, asked[1]):
                client = scope.get("client")
                seen = Sighting("http", client[0] if client else "", time.time())
                self._delivery.sightings.note(found.terminal, seen)
                await send({"type": "http.response.start", "status": 200, "headers": found.head})
                await send({"type": "http.response.body", "body": found.body, "more_body": False})
                return
        await self.app(scope, receive, send)

    def _stands(self, found: Kept, given: bytes) -> bool:
        if time.time() >= found.until or found.mark != self._marks.of(found.terminal):
            return False
        return hmac.compare_digest(found.given, given)

    def keep(self, scope: Scope, found: Kept) -> None:
        """Keeps an answer to this request, if it is one that can be kept."""
        asked = _asked(scope)
        if asked is None or asked[1] != found.given:
            return
        with self._lock:
            while len(self._kept) >= MOST:
                self._kept.pop(next(iter(self._kept)))
            self._kept[asked[0]] = found


def _asked(scope: Scope) -> tuple[Key, bytes] | None:
    """What a base poll asks and what it shows; None for any other request, and for one whose answer is its own."""
    match = _PATH.fullmatch(scope["path"])
    if match is None or scope["query_string"] or certificate(scope) is not None:
        return None
    words, given = [b"", b"", b""], b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            given = value
        elif name in _MATTERS:
            words[_MATTERS.index(name)] = value[:128]
        elif name in (b"if-none-match", b"transfer-encoding") or (name == b"content-length" and value != b"0"):
            return None
    return (match[1], match[2], scope["scheme"], *words), given
