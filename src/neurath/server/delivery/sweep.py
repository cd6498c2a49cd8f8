"""Tells many terminals without drowning the server in them: notices leave at a steady pace, each says how much time there is
for the check-in, who was told is written down in batches, and who could not be reached is told again. It knows terminals by
name and number; it must never decide whom a release is for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from neurath.errors import NeurathError
from neurath.ids import TerminalId
from neurath.server.delivery.push import Push, Turns
from neurath.server.delivery.streams import CHECK_INS
from neurath.server.fleet.reach import Told
from neurath.units import Seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """`slice` notices every `pause` seconds, while no carrier has more than `under_way`; check-ins a second that they may lead
    to; who was told is written every `write` seconds, `batch` at a time; who was not reached is told again after `repeat`
    seconds, twice as many each time, at most `longest`. A `batch` is put in line at once, then everything else has a turn."""

    slice: int = 100
    pause: float = 0.01
    under_way: int = 200
    check_ins: float = CHECK_INS
    write: float = 0.5
    batch: int = 1000
    repeat: float = 60.0
    longest: float = 3600.0


class Sweep:
    """One server's notices on their way out. `note` writes down who was told; `missing` gives whom nobody told yet; both are
    called in a thread."""

    def __init__(
        self,
        carriers: Sequence[Push],
        note: Callable[[Sequence[Told]], None],
        missing: Callable[[], Sequence[Told]],
        pace: Pace | None = None,
    ) -> None:
        self._carriers = carriers
        self._note = note
        self._missing = missing
        self._pace = pace or Pace()
        self._coming: deque[tuple[Sequence[Told], Seconds]] = deque()
        self._came = asyncio.Event()
        # Those who are known to listen go before those who may not.
        self._listening: dict[TerminalId, tuple[Told, Seconds]] = {}
        self._others: dict[TerminalId, tuple[Told, Seconds]] = {}
        self._turns = Turns(self._pace.check_ins)
        self._stir = asyncio.Event()
        self._reached: deque[Told] = deque()
        self._again = 0.0
        self._wait = self._pace.repeat

    @property
    def waiting(self) -> int:
        """How many notices have not left yet."""
        return len(self._listening) + len(self._others) + sum(len(told) for told, _ in self._coming)

    def tell(self, told: Sequence[Told]) -> None:
        """Takes these on; in the event loop's thread. Something new is afoot: repeats begin anew."""
        self._take(told)
        self._wait = self._pace.repeat
        self._again = time.monotonic() + self._wait

    def again(self) -> None:
        """A carrier is back: whoever was not reached is told now. From any thread."""
        self._wait, self._again = self._pace.repeat, 0.0

    def _take(self, told: Sequence[Told]) -> None:
        within = self._turns.within(len(told), time.monotonic())
        size = self._pace.batch
        self._coming += [(told[first : first + size], within) for first in range(0, len(told), size)]
        self._came.set()

    async def _line_up(self) -> None:
        """Puts those who came in line, a part at a time: with a broker they are the whole fleet."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._coming:
                self._put(*self._coming.popleft())
                await asyncio.sleep(0)
            self._stir.set()  # only now is it known who goes first

    def _put(self, told: Sequence[Told], within: Seconds) -> None:
        for one in told:
            if one.channel in self._listening or any(carrier.hears(one.channel) for carrier in self._carriers):
                self._others.pop(one.channel, None)
                self._listening.setdefault(one.channel, (one, within))
            else:
                self._others[one.channel] = one, within

    def _next(self) -> list[tuple[Told, Seconds]]:
        """The next slice, out of line."""
        found: list[tuple[Told, Seconds]] = []
        for line in (self._listening, self._others):
            names = list(islice(line, self._pace.slice - len(found)))
            found += [line.pop(name) for name in names]
        return found

    async def run(self) -> None:
        """Until cancelled."""
        self._again = time.monotonic() + self._pace.repeat
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._line_up())
                group.create_task(self._send())
                group.create_task(self._write())
                group.create_task(self._repeat())
        finally:
            self._stir.clear()
            self._came.clear()

    async def _send(self) -> None:
        while True:
            await self._stir.wait()
            self._stir.clear()
            while self._listening or self._others:
                if any(carrier.under_way > self._pace.under_way for carrier in self._carriers):
                    await asyncio.sleep(self._pace.pause)
                    continue
                began = time.monotonic()
                self._send_slice(self._next())
                # However slow telling is, two thirds of the time are for everything else.
                await asyncio.sleep(max(self._pace.pause, 2 * (time.monotonic() - began)))

    def _send_slice(self, part: Sequence[tuple[Told, Seconds]]) -> None:
        # Terminals of one slice were asked together but for the seam of two sweeps: the longer time is true for both.
        within = max(time_ for _, time_ in part)
        by_name = {one.channel: one for one, _ in part}

        def reached(name: TerminalId) -> None:
            self._reached.append(by_name[name])

        for carrier in self._carriers:
            carrier.notify(by_name, within, reached)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(self._pace.write)
            while self._reached:
                batch = [self._reached.popleft() for _ in range(min(len(self._reached), self._pace.batch))]
                try:
                    await asyncio.to_thread(self._note, batch)
                except NeurathError as fault:
                    self._reached.extendleft(reversed(batch))
                    log.warning("who was told waits: %s (%s)", fault.what, fault.why)
                    break

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if time.monotonic() < self._again:
                continue
            try:
                left = await asyncio.to_thread(self._missing)
            except NeurathError as fault:
                log.warning("who is still to be told is not known: %s (%s)", fault.what, fault.why)
                left = ()
            self._take(left)
            self._wait = min(self._wait * 2, self._pace.longest)
            self._again = time.monotonic() + self._wait
