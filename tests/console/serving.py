"""The console of a store on a real HTTP server on loopback, beside the test."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from neurath.console.board import Memory, Why
from neurath.console.live import Live
from neurath.console.pages import Desk, routes
from neurath.server.access.gate import Gate
from neurath.server.access.paths import Rights
from neurath.server.fleet.census import Census
from neurath.server.store import Store
from neurath.units import Seconds


def application(
    store: Store, why: Why = lambda *_: "", live: Live | None = None, clock: Callable[[], float] = time.time
) -> ASGIApp:
    desk = Desk(store, why, clock, Memory(Census(Seconds(900.0))))  # the story's silent one was heard 90 minutes ago
    inside = Starlette(routes=routes(desk, live))
    return Gate(inside, store, Rights.of(inside.routes), "the-stations-token")


def visitor(store: Store, why: Why = lambda *_: "") -> TestClient:
    """A browser on this machine."""
    return TestClient(application(store, why), base_url="http://127.0.0.1", client=("127.0.0.1", 50000))


def proof(client: httpx.Client, page: str = "/software") -> str:
    """What a form of a page holds, as a browser would send it; the client keeps the cookie it belongs to."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
    assert found is not None, "the page has no form"
    return found[1]


@contextmanager
def served(
    store: Store,
    why: Why = lambda *_: "",
    clock: Callable[[], float] = time.time,
    around: Callable[[ASGIApp], ASGIApp] = lambda inside: inside,
) -> Iterator[str]:
    """Gives the console's address; `around` stands between it and the visitors."""
    live = Live(store, every=0.1)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(around(application(store, why, live, clock)), log_level="error", timeout_graceful_shutdown=3)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        live.close()
        server.should_exit = True
        thread.join(15)
        listener.close()
