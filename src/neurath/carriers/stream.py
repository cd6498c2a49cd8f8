"""A terminal's ear: the server's event stream, read in a thread of its own. It knows that a notice says "check in now" and
nothing more; it must never tell what is offered, nor mind when there is no stream. Spec: docs/spec/push.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import quote

from neurath.carriers.http import SIGNED_TRIES, Place, connection
from neurath.carriers.http1 import Connection, Response
from neurath.carriers.notice import Bell, draw, within

#: The server says something at least every 15 s; after this many seconds of silence the stream is dead.
SILENCE = 45.0
#: Seconds until the next try where the server says nothing else (`retry:`), where it is full, and where it has no streams.
RETRY, FULL, NONE = 5.0, 60.0, 3600.0
#: The server says its first word at once. Where it does not come within so many seconds, long polls of WAIT seconds are made
#: for POLLS_FOR seconds, then a stream is tried again.
FIRST, WAIT, POLLS_FOR = 10.0, 50.0, 86400.0
#: No line of a stream is longer, bytes.
_LINE = 4096


class Ear:
    """Calls `heard` at each notice, until closed. Lost streams are taken up again, with jitter; every stream begins with a
    notice, so that nothing is missed. A stream that opens and stays silent is held back by a proxy: then it polls."""

    def __init__(self, place: Place, heard: Callable[[], None]) -> None:
        self._place = place
        self._bell = Bell(heard)
        self._retry = RETRY
        self._event = ""
        self._polls_until = 0.0
        self._had = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more; a read that waits ends with the process."""
        self._ended.set()
        self._bell.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            wait = self._retry
            with suppress(OSError, ValueError):
                polling = time.monotonic() < self._polls_until
                wait = self._poll() if polling else self._stream()
            self._ended.wait(wait * (0.75 + 0.5 * draw()))

    def _ask(self, timeout: float, more: Mapping[str, str], tries: int = SIGNED_TRIES) -> tuple[Connection, Response]:
        link = connection(self._place, timeout)
        path = f"/{quote(self._place.tenant)}/neurath/v1/{quote(self._place.terminal)}/events"
        auth, used = self._place.credentials("GET", path, None)
        try:
            link.request("GET", path, headers={"Accept": "text/event-stream"} | dict(more) | auth)
            answer = link.getresponse()
        except BaseException:
            link.close()
            raise
        if tries and self._place.again(answer, used):
            link.close()
            return self._ask(timeout, more, tries - 1)
        return link, answer

    def _stream(self) -> float:
        """One stream to its end; seconds until the next."""
        try:
            link, answer = self._ask(FIRST, {})
        except TimeoutError:
            return self._held_back()
        try:
            if answer.status != 200:
                return FULL if answer.status in (401, 403, 429, 503) else NONE
            first = answer.readline(_LINE)
            if link.sock is not None:
                link.sock.settimeout(SILENCE)
            line = first
            while not self._ended.is_set() and line:
                self._take(line.strip())
                line = answer.readline(_LINE)
        except TimeoutError:
            if not self._had:
                return self._held_back()
        finally:
            link.close()
        return self._retry

    def _held_back(self) -> float:
        """It opened, and not even the first event came, which the server sends at once: somebody between waits for the end."""
        self._polls_until = time.monotonic() + POLLS_FOR
        return 0.0

    def _poll(self) -> float:
        """One event, or none in time."""
        more = {"Prefer": f"wait={WAIT:.0f}"} | ({"Last-Event-ID": "p"} if self._had else {})
        link, answer = self._ask(WAIT + FIRST, more)
        try:
            if answer.status not in (200, 204):
                return FULL if answer.status in (401, 403, 429, 503) else NONE
            for line in answer.read(_LINE).splitlines():
                self._take(line.strip())
        finally:
            link.close()
        self._had = True
        return 0.0

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.strip()
        if name == b"event":
            self._event = value.decode("latin-1")
        elif name == b"data" and self._event == "check":
            self._event = ""
            self._bell.ring(within(value))
        elif name == b"retry" and value.isdigit():
            self._retry = min(max(int(value[:9]) / 1000, 1.0), 600.0)
        self._had = True
