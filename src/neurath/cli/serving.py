"""The server's process while it runs: HTTP and console on one listener, carriers' server halves beside them, and the order in
which all of it ends. It knows uvicorn and signals; it must never know what is served. Its imports are heavy: only `serve`
imports it, when it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from neurath.cli.carrier import Half
from neurath.clock import agreed
from neurath.errors import NeurathError
from neurath.server.access import tokens
from neurath.server.app import Server
from neurath.server.door import Door

log = logging.getLogger(__name__)

#: So many connections are taken in at a time: asyncio takes as many as its `backlog`, 2,048 of uvicorn's, and answers nobody
#: until it has. The same number is the length of the kernel's queue, which is to be long.
AT_ONCE, WAITING = 64, 4096

#: Seconds until a station's new certificate is known at the latest.
STATIONS = 5.0
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
            asking = asyncio.create_task(self._ask_stations(running.config)) if self.tls[0] else None
            await running.serve(sockets=[self.listener])
            if asking is not None:
                asking.cancel()

    async def _ask_stations(self, config: uvicorn.Config) -> None:
        """Asks for certificates as soon as a station has one, and takes those that are known: TLS lets no other in, and what
        they open is looked up with each request."""
        taken: set[bytes] = set()
        while True:
            with contextlib.suppress(NeurathError):
                known = set(await asyncio.to_thread(self._stations)) - taken
                if config.ssl is not None:
                    let_in(config.ssl, known)
                taken |= known
            await asyncio.sleep(STATIONS)

    def _stations(self) -> list[bytes]:
        with self.server.store.read() as db:
            return tokens.certificates(db, agreed())


def let_in(context: ssl.SSLContext, certificates: set[bytes]) -> None:
    """Asks clients for a certificate from now on, and takes these (DER). One that OpenSSL does not read keeps no other out."""
    for certificate in certificates:
        try:
            context.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            log.warning("a station's certificate cannot be read, and it has to come with its token: %s", error)
        else:
            context.verify_mode = ssl.CERT_OPTIONAL


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
