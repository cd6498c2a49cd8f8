"""A terminal's ear: the server's event stream, read in a thread of its own. It knows that a notice says "check in now" and
nothing more; it must never tell what is offered, nor mind when there is no stream. Spec: docs/spec/push.md."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from neurath.carriers.http import Place, connection

#: The server says something at least every 15 s; after this many seconds of silence the stream is dead.
SILENCE = 45.0
#: Seconds until the next try where the server says nothing else (`retry:`), where it is full, and where it has no streams.
RETRY, FULL, NONE = 5.0, 60.0, 3600.0
#: No line of a stream is longer, bytes.
_LINE = 4096


class Ear:
    """Calls `heard` at each notice, until closed. Lost streams are taken up again, with jitter; every stream begins with a
    notice, so that nothing is missed."""

    def __init__(self, place: Place, heard: Callable[[], None]) -> None:
        self._place = place
        self._heard = heard
        self._retry = RETRY
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more; a read that waits ends with the process."""
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.is_set():
            wait = self._retry
            with suppress(OSError, http.client.HTTPException, ValueError):
                wait = self._stream()
            self._ended.wait(wait * (0.75 + 0.5 * random.random()))

    def _stream(self) -> float:
        """One stream to its end; seconds until the next."""
        link = connection(self._place, SILENCE)
        path = f"/{quote(self._place.tenant)}/neurath/v1/{quote(self._place.terminal)}/events"
        headers = {"Accept": "text/event-stream"}
        if self._place.token:
            headers["Authorization"] = f"TargetToken {self._place.token}"
        try:
            link.request("GET", path, headers=headers)
            answer = link.getresponse()
            if answer.status != 200:
                return FULL if answer.status in (401, 403, 429, 503) else NONE
            while not self._ended.is_set() and (line := answer.readline(_LINE)):
                self._take(line.strip())
        finally:
            link.close()
        return self._retry

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"event" and value.strip() == b"check":
            self._heard()
        elif name == b"retry" and value.strip().isdigit():
            self._retry = min(max(int(value) / 1000, 1.0), 600.0)
