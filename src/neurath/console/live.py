"""Tells open pages that something changed, so that they fetch themselves again. It knows when the store was written to, by
whichever process; it must never carry a figure itself: there is one way to render a page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from neurath.errors import NeurathError
from neurath.server.store import Store

#: How often the store is looked at while somebody watches, seconds; pages are told at most once in APART.
EVERY = 0.5
APART = 1.0
#: Once more so long after the last change: by then figures that are kept for a moment are made anew.
AFTER = 3.0
KEEP_ALIVE = 15.0
#: Silence is told by the clock and not by a write: pages are refreshed at least this often.
AT_LEAST = 30.0
MAX_VIEWERS = 200
CHANGE = b"event: change\ndata: {}\n\n"


class Live:
    """The stream of one console. Looks at the store only while somebody watches; one look serves all viewers."""

    def __init__(self, store: Store, every: float = EVERY) -> None:
        self._store = store
        self._every = every
        self._viewers: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def respond(self) -> Response:
        """The answer to `GET /live`."""
        if self._closed or len(self._viewers) >= MAX_VIEWERS:
            return PlainTextResponse("too many open pages\n", 503, {"Retry-After": "60"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self.stream(), media_type="text/event-stream", headers=headers)

    async def stream(self) -> AsyncIterator[bytes]:
        """One viewer's events: a change at once (the page may be old by now), then whenever there is one."""
        ring = asyncio.Event()
        self._viewers.add(ring)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        refreshed = time.monotonic()
        try:
            yield b"retry: 2000\n\n" + CHANGE
            while not self._closed:
                try:
                    await asyncio.wait_for(ring.wait(), KEEP_ALIVE)
                except TimeoutError:
                    if time.monotonic() - refreshed < AT_LEAST:
                        yield b": keep-alive\n\n"
                        continue
                ring.clear()
                refreshed = time.monotonic()
                yield CHANGE
        finally:
            self._viewers.discard(ring)

    def close(self) -> None:
        """Ends every stream."""
        self._closed = True
        self._ring()

    def _ring(self) -> None:
        for ring in self._viewers:
            ring.set()

    async def _look(self) -> None:
        """Asks the store for its change number until nobody watches."""
        seen: int | None = None
        owed, told, again = False, 0.0, 0.0
        with self._store.changes() as number:
            while self._viewers and not self._closed:
                with suppress(NeurathError):  # busy: asked again
                    found = await asyncio.to_thread(number)
                    now = time.monotonic()
                    owed |= seen is not None and found != seen
                    if owed and now - told >= min(APART, 2 * self._every):
                        self._ring()
                        owed, told, again = False, now, now + AFTER
                    elif again and now >= again:
                        self._ring()
                        told, again = now, 0.0
                    seen = found
                await asyncio.sleep(self._every)
