"""A fleet that comes at once without having been told when, as after a power cut: arrivals over real connections, each at a
moment that was drawn before, whatever became of the others; and when they will come again if they do as they were told. It
knows sockets and answers; it must never know whose server it is."""

from __future__ import annotations

import asyncio
import json
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

#: They come from so many addresses of this machine.
ADDRESSES = 50
#: Seconds after which one that was not answered counts as lost.
LOST = 60.0


@dataclass(slots=True)
class Came:
    """Of each: when it came, seconds from the first, how long it waited from the moment it was to come, and how long it was
    told to sleep. `lost`: who had no good answer."""

    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    sleeps: list[int] = field(default_factory=list)
    lost: int = 0

    def share(self, part: float) -> float:
        """Within how many milliseconds so many of a hundred were answered."""
        return sorted(self.took)[min(len(self.took) - 1, int(len(self.took) * part / 100))] * 1000

    def again(self, within: float, usual: int, rounds: int) -> list[float]:
        """The busiest stretch of `within` seconds in each of so many usual periods from now on, in multiples of what a fleet
        that is spread evenly brings."""
        every = []
        for first, sleep in zip(self.at, self.sleeps, strict=True):
            every += [first + n * sleep for n in range(2 * rounds)]
        every.sort()
        fair = len(self.at) * within / usual
        found = [0.0] * rounds
        for n, start in enumerate(every):
            period = int(start // usual)
            if period < rounds:
                found[period] = max(found[period], (bisect_right(every, start + within) - n) / fair)
        return found


def herd(port: int, request: Callable[[int], bytes], count: int, within: float, seed: int = 27) -> Came:
    """So many terminals come within so many seconds, each over a connection of its own."""
    drawn = random.Random(seed)
    moments = sorted(drawn.uniform(0, within) for _ in range(count))
    order = drawn.sample(range(count), count)
    return asyncio.run(_whole(port, [request(n) for n in order], moments))


async def _whole(port: int, requests: Sequence[bytes], moments: Sequence[float]) -> Came:
    came, begun = Came(), time.perf_counter()

    async def one(n: int) -> None:
        try:
            async with asyncio.timeout(LOST):
                sleep = await _poll(port, f"127.0.2.{n % ADDRESSES + 1}", requests[n])
        except (OSError, ValueError, KeyError, TimeoutError):
            came.lost += 1
            return
        came.at.append(moments[n])
        came.took.append(time.perf_counter() - begun - moments[n])
        came.sleeps.append(sleep)

    async with asyncio.TaskGroup() as all_of_them:
        for n, moment in enumerate(moments):
            if (left := begun + moment - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            all_of_them.create_task(one(n))
    return came


async def _poll(port: int, address: str, request: bytes) -> int:
    """One poll; how long its answer says to sleep."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head[:15]:
            raise ValueError(head[:100])
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        hours, minutes, seconds = json.loads(await reader.readexactly(length))["config"]["polling"]["sleep"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    finally:
        writer.close()
