"""An LwM2M server half over a shelf, its event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from neurath.carriers.base import Riding
from neurath.carriers.datagram import free
from neurath.carriers.lwm2m_half import Registry, listening


@dataclass
class Running:
    registry: Registry
    port: int


@contextlib.contextmanager
def served(riding: Riding, *, text: bool = False, port: int = 0) -> Iterator[Running]:
    registry = Registry(riding, text=text)
    port = free("127.0.0.1", port)
    loop, ended, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def live() -> None:
        async with listening("127.0.0.1", port, registry):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Running(registry, port)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        assert not thread.is_alive()
