"""Figures of a server's processes, kept where all of them see them: requests by plane and outcome, how long they took, bytes,
builds. It knows numbers; it must never hold up the request that it counts."""

from __future__ import annotations

import mmap
import struct
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the first process, which only forks, goes without
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Who is asked: terminals' routes, scripts, people.
PLANES = ("device", "management", "console")
OUTCOMES = ("1xx", "2xx", "3xx", "4xx", "5xx")
#: Upper ends of the classes of times, seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
#: What each process says of itself from time to time.
SAID = ("builds", "build_failures", "streams", "notices_waiting")
_PER_PLANE = len(OUTCOMES) + len(BOUNDS) + 1 + 2
_SLOTS = len(PLANES) * _PER_PLANE + len(SAID)
_SLOT = struct.Struct("=d")


class Board:
    """Memory that processes forked after it was made share: a row of numbers each, written by its process alone, so that
    nobody waits. Any of them answers for all, and a process that begins again goes on where its row was."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._memory = mmap.mmap(-1, workers * _SLOTS * _SLOT.size)

    def row(self, worker: int = 0) -> Row:
        return Row(self._memory, worker * _SLOTS * _SLOT.size)

    def sums(self) -> list[float]:
        """Each number, over all processes."""
        every = struct.unpack(f"={self.workers * _SLOTS}d", self._memory[:])
        return [sum(every[slot::_SLOTS]) for slot in range(_SLOTS)]


@dataclass(slots=True)
class Row:
    """One process's numbers."""

    _memory: mmap.mmap
    _start: int

    def add(self, slot: int, count: float) -> None:
        at = self._start + slot * _SLOT.size
        _SLOT.pack_into(self._memory, at, _SLOT.unpack_from(self._memory, at)[0] + count)

    def say(self, name: str, value: float) -> None:
        """One of SAID, as it is now."""
        slot = len(PLANES) * _PER_PLANE + SAID.index(name)
        _SLOT.pack_into(self._memory, self._start + slot * _SLOT.size, value)

    def request(self, plane: int, status: int, seconds: float, sent: int) -> None:
        first = plane * _PER_PLANE
        self.add(first + min(max(status // 100, 1), 5) - 1, 1)
        self.add(first + len(OUTCOMES) + bisect_left(BOUNDS, seconds), 1)
        self.add(first + _PER_PLANE - 2, seconds)
        self.add(first + _PER_PLANE - 1, sent)


class Counted:
    """Before everything else: each request is counted when its answer has left."""

    def __init__(self, app: ASGIApp, row: Row) -> None:
        self.app = app
        self.row = row

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, sent = time.perf_counter(), 500, 0

        async def counting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            self.row.request(_plane(scope["path"]), status, time.perf_counter() - began, sent)


def _plane(path: str) -> int:
    if path.startswith("/api/"):
        return 1
    return 0 if "/controller/v1/" in path or "/neurath/v1/" in path else 2


def lines(board: Board) -> Iterator[str]:
    """What the processes counted, as Prometheus reads it (text format 0.0.4)."""
    sums = board.sums()
    yield "# TYPE neurath_workers gauge\n" + f"neurath_workers {board.workers}\n"
    yield "# HELP neurath_requests_total Requests answered.\n# TYPE neurath_requests_total counter\n"
    for number, plane in enumerate(PLANES):
        for place, outcome in enumerate(OUTCOMES):
            yield _line("requests_total", sums[number * _PER_PLANE + place], plane=plane, code=outcome)
    yield "# HELP neurath_request_seconds From the request's head to the end of its answer.\n"
    yield "# TYPE neurath_request_seconds histogram\n"
    for number, plane in enumerate(PLANES):
        first, total = number * _PER_PLANE + len(OUTCOMES), 0.0
        for place, bound in enumerate((*BOUNDS, float("inf"))):
            total += sums[first + place]
            yield _line("request_seconds_bucket", total, plane=plane, le="+Inf" if bound > BOUNDS[-1] else str(bound))
        yield _line("request_seconds_sum", sums[(number + 1) * _PER_PLANE - 2], plane=plane)
        yield _line("request_seconds_count", total, plane=plane)
    yield "# HELP neurath_response_bytes_total Bytes of answers.\n# TYPE neurath_response_bytes_total counter\n"
    for number, plane in enumerate(PLANES):
        yield _line("response_bytes_total", sums[(number + 1) * _PER_PLANE - 1], plane=plane)
    for place, name in enumerate(SAID):
        counter = name.startswith("build")
        called = f"{name}_total" if counter else name
        yield f"# TYPE neurath_{called} {'counter' if counter else 'gauge'}\n"
        yield _line(called, sums[len(PLANES) * _PER_PLANE + place])


def gauge(name: str, helps: str, values: dict[str, float], label: str = "") -> Iterator[str]:
    """One gauge: a value for each word of its label, or one alone under ""."""
    yield f"# HELP neurath_{name} {helps}\n# TYPE neurath_{name} gauge\n"
    for word, value in values.items():
        yield _line(name, value, **({label: word} if label else {}))


def _line(name: str, value: float, **labels: str) -> str:
    said = ",".join(f'{key}="{word}"' for key, word in labels.items())
    return f"neurath_{name}{'{' + said + '}' if said else ''} {value:.17g}\n"
