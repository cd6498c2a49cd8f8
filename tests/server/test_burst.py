"""A thousand clients that connect in one moment: whoever is served already is answered between two handfuls of them, and the
queue in which the others wait is long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from pathlib import Path

from neurath.cli.serving import AT_ONCE, WAITING, Running, configuration
from neurath.server.door import Door

CROWD = 600


async def _nothing(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _queue(listener: socket.socket) -> int:
    """How many the kernel lets wait: of a listening socket that is tcpi_sacked (tcp_info of Linux)."""
    found = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=8B8I", found)[8 + 5])


def test_a_crowd_is_taken_in_by_handfuls_and_waits_in_a_long_queue(monkeypatch):
    turns: list[int] = [0]
    there = Door.connection_made
    monkeypatch.setattr(Door, "per_address", CROWD)
    monkeypatch.setattr(Door, "_open", Counter())  # those of this crowd that nobody takes leave of are nobody else's

    def made(self, transport):
        turns[-1] += 1
        there(self, transport)

    monkeypatch.setattr(Door, "connection_made", made)

    async def whole(listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()

        async def over() -> None:
            pass

        running = Running(configuration(_nothing, (None, None), 1), ready.set, over)
        serving = asyncio.create_task(running.serve(sockets=[listener]))

        def turn() -> None:
            turns.append(0)
            loop.call_soon(turn)

        turn()
        await asyncio.wait_for(ready.wait(), 20)
        queue = _queue(listener)
        async with asyncio.timeout(20):
            while sum(turns) < CROWD:
                await asyncio.sleep(0)
        running.should_exit = True
        await serving
        return queue

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    listener.setblocking(False)
    with contextlib.ExitStack() as links:
        for _ in range(CROWD):
            links.enter_context(socket.create_connection(listener.getsockname()))
        queue = asyncio.run(whole(listener))
    assert max(turns) <= AT_ONCE
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert queue == min(WAITING, most)
