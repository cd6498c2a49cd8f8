"""The console of a store on a real HTTP server on loopback, beside the test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from neurath.console.board import Why
from neurath.console.live import Live
from neurath.console.pages import Desk, routes
from neurath.server.store import Store


def application(store: Store, why: Why = lambda *_: "", live: Live | None = None) -> Starlette:
    return Starlette(routes=routes(Desk(store, why), live))


@contextmanager
def served(store: Store, why: Why = lambda *_: "") -> Iterator[str]:
    """Gives the console's address."""
    live = Live(store, every=0.1)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(store, why, live), log_level="error", timeout_graceful_shutdown=3))
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
