"""The server's process while it runs: HTTP and console on one listener, carriers' server halves beside them, and the order in
which all of it ends. It knows uvicorn and signals; it must never know what is served. Its imports are heavy: only `serve`
imports it, when it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from neurath.cli.carrier import Half
from neurath.server.app import Server
from neurath.server.door import Door

log = logging.getLogger(__name__)

#: So many connections are taken in at a time: asyncio takes as many as its `backlog`, 2,048 of uvicorn's, and answers nobody
#: until it has. The same number is the length of the kernel's queue, which is to be long.
AT_ONCE, WAITING = 64, 4096

#: Certificate and its key, or neither.
Tls = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Process:
    """What one process runs. `ends`: what is closed before the server is, the last one first; `ready` is told where each
    carrier's half is as soon as messages are answered; `drain`: seconds that requests under way have at the end."""

    server: Server
    app: ASGIApp
    listener: socket.socket
    tls: Tls
    ready: Callable[[dict[str, str]], None]
    halves: tuple[Half, ...] = ()
    ends: tuple[Callable[[], object], ...] = field(default=())
    drain: int = 5

    def run(self) -> None:
        """Serves until it is told to stop."""
        asyncio.run(self._whole())

    async def _whole(self) -> None:
        places: dict[str, str] = {}
        async with contextlib.AsyncExitStack() as beside:
            for close in self.ends:
                beside.callback(close)
            for half in self.halves:
                places[half.name] = await beside.enter_async_context(half.hosted(half.rest, self.server))
            running = Running(configuration(self.app, self.tls, self.drain), lambda: self.ready(places), beside.aclose)
            await running.serve(sockets=[self.listener])


def configuration(app: ASGIApp, tls: Tls, drain: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Door,
        log_config=None,
        access_log=False,
        backlog=AT_ONCE,
        server_header=False,
        proxy_headers=False,  # server.proxy knows whom to believe what
        timeout_graceful_shutdown=drain,
        ws="none",
        ssl_certfile=tls[0],
        ssl_keyfile=tls[1],
    )


class Running(uvicorn.Server):
    """Streams end first: a server that stops does not wait for them. Being told to stop is no failure: exit code 0."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], first: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._ready = ready
        self._first = first

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listener in sockets or ():
                listener.listen(WAITING)
            log.info("serves")
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("ends: requests under way have %s s", self.config.timeout_graceful_shutdown)
        await self._first()
        await super().shutdown(sockets)
