"""Tells terminals that it is time to check in, over one embedded stream of server-sent events a terminal. It knows who
listens now; it must never say more than "check in": what is offered, and to whom, is decided at the check-in alone, so that
a lost, late or doubled notice changes nothing. Spec: docs/spec/push.md."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from neurath.errors import LinkError
from neurath.ids import TerminalId
from neurath.units import Seconds

KEEP_ALIVE = Seconds(15.0)
POLL = Seconds(0.5)
NO_JITTER = Seconds(0.0)
#: A terminal whose stream broke tries again after this; the browser's and our agent's clients both obey it.
HELLO = b"retry: 5000\n\n"
CHECK = b"event: check\ndata: {}\n\n"
PULSE = b": keep-alive\n\n"


class Push(Protocol):
    """The seam: whatever carries notices (this stream, a broker, a telephone) is asked the same way."""

    def notify(self, terminals: Iterable[TerminalId]) -> int:
        """Tells those of the terminals that can be reached to check in; gives how many those are. Never waits."""


class Feed(Protocol):
    """Where notices come from that other processes wrote (`neurath rollout start` beside a running server)."""

    def since(self, mark: int) -> tuple[int, Sequence[TerminalId]]:
        """The terminals to tell since the mark, and the new mark. Mark 0 is the beginning; called in a thread. Raises
        LinkError when the store cannot be asked just now."""


class _Listener:
    """One open stream: a queue of length one, because two notices say no more than one."""

    __slots__ = ("ended", "ring")

    def __init__(self) -> None:
        self.ring = asyncio.Event()
        self.ended = False

    def end(self) -> None:
        self.ended = True
        self.ring.set()


class StreamPush:
    """Push by server-sent events. One stream a terminal: a second one from the same terminal ends the first, which is
    half open in all likelihood. `jitter` spreads the notices of one call over so many seconds; `limit` bounds the streams.
    Every new stream begins with a notice, so whatever was missed while away is made good at once."""

    def __init__(self, *, keep_alive: Seconds = KEEP_ALIVE, jitter: Seconds = NO_JITTER, limit: int = 10_000) -> None:
        self._listeners: dict[TerminalId, _Listener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keep_alive = keep_alive
        self._jitter = jitter
        self._limit = limit
        self._closed = False

    @property
    def listening(self) -> int:
        """How many terminals hold a stream open."""
        return len(self._listeners)

    @property
    def full(self) -> bool:
        return self._closed or len(self._listeners) >= self._limit

    def notify(self, terminals: Iterable[TerminalId]) -> int:
        """Rings each listening terminal once; from any thread."""
        heard = [t for t in dict.fromkeys(terminals) if t in self._listeners]
        if heard and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring, heard)
        return len(heard)

    def _ring(self, terminals: list[TerminalId]) -> None:
        for terminal in terminals:
            if self._jitter and self._loop is not None:
                self._loop.call_later(self._jitter * random.random(), self._ring_one, terminal)
            else:
                self._ring_one(terminal)

    def _ring_one(self, terminal: TerminalId) -> None:
        if listener := self._listeners.get(terminal):
            listener.ring.set()

    async def stream(self, terminal: TerminalId) -> AsyncIterator[bytes]:
        """The bytes of the terminal's stream until either side ends it."""
        self._loop = asyncio.get_running_loop()
        if earlier := self._listeners.get(terminal):
            earlier.end()
        own = self._listeners[terminal] = _Listener()
        try:
            yield HELLO + CHECK
            while True:
                try:
                    await asyncio.wait_for(own.ring.wait(), self._keep_alive)
                except TimeoutError:
                    yield PULSE
                    continue
                own.ring.clear()
                if own.ended:
                    return
                yield CHECK
        finally:
            if self._listeners.get(terminal) is own:
                del self._listeners[terminal]

    def respond(self, terminal: TerminalId) -> Response:
        """The answer to `GET /{tenant}/neurath/v1/{id}/events` of a terminal that has shown who it is."""
        if self.full and terminal not in self._listeners:
            return PlainTextResponse("too many streams; poll instead\n", 503, {"Retry-After": "60"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self.stream(terminal), media_type="text/event-stream", headers=headers)

    def close(self) -> None:
        """Ends every stream, so that a server that stops does not wait for them."""
        self._closed = True
        for listener in list(self._listeners.values()):
            listener.end()


async def follow(
    feed: Feed, act: Callable[[Iterable[TerminalId]], object], every: Seconds = POLL, wake: asyncio.Event | None = None
) -> None:
    """Hands on what other processes wrote, until cancelled. What was written before the first look is old news: every
    stream began with a notice. A feed that fails (database locked) is asked again. `wake`: this process wrote something."""
    wake = wake or asyncio.Event()
    mark: int | None = None
    while True:
        try:
            latest, terminals = await asyncio.to_thread(feed.since, mark or 0)
        except (OSError, LinkError):
            pass  # asked again in half a second; nothing is lost, the mark stays
        else:
            if mark is not None and terminals:
                act(terminals)
            mark = latest
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), every)
        wake.clear()
