"""A server that answers over CoAP, for tests: the world of tests/server/world.py, its event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.base import Riding
from neurath.server.app import Server
from neurath.server.coap import hosted
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import Policy
from neurath.server.fleet import access, actions
from tests.contracts.delivery import NEW, OLD
from tests.server.world import World, open_world


@dataclass
class CoapServer:
    world: World
    server: Server
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def enrol(self, name: str, tenant: str = "DEFAULT") -> str:
        """A terminal's token."""
        with self.world.store.write() as db:
            return access.register(db, access.Enrolment(name, "phone", tenant), 0.0)

    def begun(self) -> str:
        """The token of t1, for which a rollout of version 2.0 has begun."""
        token = self.enrol("t1")
        with self.world.store.read() as db:
            terminal = access.find(db, "t1")
        self.world.start(self.world.release("2.0", NEW, 2), terminal)
        return token

    def secured(self, action: str) -> int:
        with self.world.store.read() as db:
            return actions.by_id(db, int(action)).secured


@contextlib.contextmanager
def serving(directory: Path, policy: Policy | None = None, riding: Riding | None = None) -> Iterator[CoapServer]:
    world = open_world(directory)
    world.now = time.time()
    server = Server(world.store, world.delivery.deltas, world.delivery, StreamPush(), policy or Policy(300))
    if riding is not None:
        server.riding = riding  # type: ignore[assignment]
    ready = threading.Event()
    ended = asyncio.Event()
    loop = asyncio.new_event_loop()
    found: list[str] = []

    async def live() -> None:
        async with hosted("127.0.0.1:0", server) as url:
            found.append(url)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield CoapServer(world, server, found[0])
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        assert not thread.is_alive()
        server.close()


@contextlib.contextmanager
def stocked(directory: Path, policy: Policy | None = None) -> Iterator[CoapServer]:
    """`serving`, with version 1.0 there, which t1 runs."""
    with serving(directory, policy) as site:
        site.world.release("1.0", OLD, 1)
        yield site
