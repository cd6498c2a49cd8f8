"""Push over one embedded stream of server-sent events a terminal, or, behind a proxy that holds streams back, over long polls.
It knows who listens now and keeps as little as it can of each; it must never say more than "check in". Spec:
docs/spec/push.md."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from neurath.ids import TerminalId
from neurath.server.delivery.push import AT_ONCE, Reached, Turns, payload
from neurath.units import Seconds

KEEP_ALIVE = Seconds(15.0)
#: A terminal whose stream broke tries again after this; the browser's and our agent's clients both obey it.
RETRY = Seconds(5.0)
#: No long poll is held for longer; whoever polls is remembered for so long after an answer.
LONGEST_POLL, LINGER = Seconds(55.0), Seconds(120.0)
#: Check-ins a second that notices may lead to, where nothing else is said.
CHECK_INS = 200.0
PULSE = b": keep-alive\n\n"
_HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class _Listener:
    """One terminal that listens: at most one notice waits for it, because two say no more than one."""

    __slots__ = ("due", "ended", "loop", "reached", "waiter", "within")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due = False
        self.ended = False
        self.within = 0.0
        self.reached: list[Reached] = []
        self.waiter: asyncio.Future[None] | None = None

    def ring(self, within: float, reached: Reached) -> None:
        self.within = min(within, self.within) if self.due else within
        self.due = True
        self.reached.append(reached)
        self.stir()

    def end(self) -> None:
        self.ended = True
        self.stir()

    def stir(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def wait(self, limit: float) -> bool:
        """Until a notice is due or it is over; False after `limit` seconds of neither."""
        if not (self.due or self.ended):
            self.waiter = self.loop.create_future()
            timer = self.loop.call_later(limit, self.stir)
            try:
                await self.waiter
            finally:
                timer.cancel()
                self.waiter = None
        return self.due or self.ended

    def take(self) -> tuple[bytes, list[Reached]]:
        """The notice that is due, and who wants to know that it left."""
        event = b"event: check\ndata: " + payload(self.within) + b"\n\n"
        told, self.reached, self.due = self.reached, [], False
        return event, told


class StreamPush:
    """Push by server-sent events. One stream a terminal: a second one from the same terminal ends the first, which is
    half open in all likelihood. `limit` bounds those who listen. Every new stream begins with a notice, so whatever was missed
    while away is made good at once, or, where many come back together, in turn."""

    def __init__(self, *, keep_alive: Seconds = KEEP_ALIVE, limit: int = 10_000, check_ins: float = CHECK_INS) -> None:
        self._listeners: dict[TerminalId, _Listener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.keep_alive = keep_alive
        self._limit = limit
        self._closed = False
        self._check_ins = check_ins
        self._turns = Turns(check_ins)

    @property
    def listening(self) -> int:
        """How many terminals listen."""
        return len(self._listeners)

    def names(self) -> list[TerminalId]:
        """Who listens; from any thread."""
        return list(self._listeners)

    @property
    def full(self) -> bool:
        return self._closed or len(self._listeners) >= self._limit

    def notify(self, terminals: Iterable[TerminalId], within: Seconds = AT_ONCE, reached: Reached = lambda _: None) -> int:
        """Rings each listening terminal once; from any thread. A terminal is reached when its notice was written."""
        heard = [t for t in dict.fromkeys(terminals) if t in self._listeners]
        if heard and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring, heard, within, reached)
        return len(heard)

    def hears(self, terminal: TerminalId) -> bool:
        return terminal in self._listeners

    @property
    def under_way(self) -> int:
        """None: a notice is in its stream, or waits for a reader that is slow and nobody's concern."""
        return 0

    def _ring(self, terminals: list[TerminalId], within: float, reached: Reached) -> None:
        for terminal in terminals:
            if listener := self._listeners.get(terminal):
                listener.ring(within, reached)

    def respond(self, terminal: TerminalId, poll: float | None = None, again: bool = False) -> Response:
        """The answer to `GET /{tenant}/neurath/v1/{id}/events` of a terminal that has shown who it is. `poll`: it asks for one
        event, and would wait so many seconds for it; `again`: it has had the answer to a poll before."""
        if self.full and terminal not in self._listeners:
            return PlainTextResponse("too many streams; poll instead\n", 503, {"Retry-After": "60"})
        if poll is not None:
            return _LongPoll(self, terminal, Seconds(min(poll, LONGEST_POLL)), again)
        return _Stream(self, terminal)

    def close(self) -> None:
        """Ends every stream, so that a server that stops does not wait for them."""
        self._closed = True
        for listener in list(self._listeners.values()):
            listener.end()

    # ---- for the answers ---------------------------------------------------------------------------------------------

    def enter(self, terminal: TerminalId, *, first: bool) -> _Listener:
        """A new listener in place of any earlier; `first`: it has missed who knows what, and is told at once."""
        self._loop = asyncio.get_running_loop()
        if earlier := self._listeners.get(terminal):
            earlier.end()
        own = self._listeners[terminal] = _Listener(self._loop)
        own.ended = self._closed
        if first:
            own.within, own.due = self._turns.within(1, time.monotonic()), True
        return own

    def leave(self, terminal: TerminalId, own: _Listener) -> None:
        if self._listeners.get(terminal) is own:
            del self._listeners[terminal]

    def lingering(self, terminal: TerminalId) -> _Listener | None:
        """Who polls has a place between two polls: what is told meanwhile waits there."""
        return self._listeners.get(terminal)

    def retry(self) -> bytes:
        """When to come back after a break: if this process ends, all come back at once."""
        return b"retry: %d\n" % max(RETRY * 1000, len(self._listeners) / self._check_ins * 1000)


class _Stream(Response):
    """One stream. No task group and no generator: thousands of these lie idle."""

    def __init__(self, push: StreamPush, terminal: TerminalId) -> None:
        self.push = push
        self.terminal = terminal
        self.status_code = 200
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        own = self.push.enter(self.terminal, first=True)
        gone = asyncio.ensure_future(_disconnected(receive))
        gone.add_done_callback(lambda _: own.end())
        before = self.push.retry() + b"\n"
        try:
            while not own.ended:
                if own.due:
                    event, told = own.take()
                    await send({"type": "http.response.body", "body": before + event, "more_body": True})
                    before = b""
                    for reached in told:
                        reached(self.terminal)
                elif not await own.wait(self.push.keep_alive):
                    await send({"type": "http.response.body", "body": self.push.retry() + PULSE, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self.push.leave(self.terminal, own)


class _LongPoll(Response):
    """One event or 204, with its length before it: no proxy has a reason to hold it back."""

    def __init__(self, push: StreamPush, terminal: TerminalId, limit: Seconds, again: bool) -> None:
        self.push = push
        self.terminal = terminal
        self.limit = limit
        self.again = again
        self.status_code = 200
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = self.push.lingering(self.terminal) if self.again else None
        if own is None or own.ended or own.waiter is not None:
            own = self.push.enter(self.terminal, first=True)
        gone = asyncio.ensure_future(_disconnected(receive))
        gone.add_done_callback(lambda _: own.stir())
        try:
            await own.wait(self.limit)
            if gone.done():
                return
            event, told = own.take() if own.due else (b"", [])
            length = (b"content-length", b"%d" % len(event))
            head = [*_HEAD, length] if event else _HEAD[1:2]
            await send({"type": "http.response.start", "status": 200 if event else 204, "headers": head})
            await send({"type": "http.response.body", "body": event, "more_body": False})
            for reached in told:
                reached(self.terminal)
        finally:
            gone.cancel()
            own.loop.call_later(LINGER, self._forget, own)

    def _forget(self, own: _Listener) -> None:
        """Gone for good, unless a later poll waits: that one has its own hour."""
        if own.waiter is None:
            self.push.leave(self.terminal, own)


async def _disconnected(receive: Receive) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
