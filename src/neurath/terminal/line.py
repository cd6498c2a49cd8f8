"""Does the line have room for a download ahead of time, and how fast may it flow? It knows counters of a network interface and
a threshold; it must never open a link, nor count what the agent itself receives as somebody's traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from neurath.terminal.machine.events import MayFetch, MayNotFetch

#: Seconds over which traffic is measured before the first byte, and between two looks at a busy line.
LOOK = 1.0
AGAIN = 5.0
#: Traffic is low again at this share of the threshold: without the gap a line at the threshold would flap.
LOW = 0.8


class Line(Protocol):
    """Asked before a download ahead, and as its bytes come."""

    def may_fetch(self, now: float) -> MayFetch | MayNotFetch: ...

    def came(self, held: int, now: float) -> MayFetch | MayNotFetch:
        """`held` bytes are here. May wait a little, so that the download flows no faster than it should."""
        ...


class Free:
    """A line that is nobody else's."""

    def may_fetch(self, now: float) -> MayFetch | MayNotFetch:
        return MayFetch()

    def came(self, held: int, now: float) -> MayFetch | MayNotFetch:
        return MayFetch()


@dataclass(frozen=True, slots=True)
class Meter:
    """Traffic of others, bytes a second, out of counters: two readings and what was one's own between them. `busy` has
    hysteresis: it begins above `most` and ends below LOW x `most`. Pure."""

    most: float
    at: float = 0.0
    count: int = 0
    rate: float = 0.0
    busy: bool = False

    def read(self, count: int, own: int, now: float) -> Meter:
        """The counters say `count`, of which `own` bytes since the last reading are the agent's."""
        if not self.at or now <= self.at or count < self.count:
            return replace(self, at=now, count=count)  # the first reading, or the interface is another one
        rate = max(0, count - self.count - own) / (now - self.at)
        limit = self.most * LOW if self.busy else self.most
        return replace(self, at=now, count=count, rate=rate, busy=rate > limit)


class Quiet:
    """Waits until others send and receive less than `most` bytes a second on an interface ("" all but lo), and takes no more
    than `rate` bytes a second itself (0: no bound). `overhead` is what a byte of file costs on the wire."""

    def __init__(
        self,
        interface: str,
        most: float = 0.0,
        rate: float = 0.0,
        *,
        read: Callable[[str], int] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interface = interface
        self._rate = rate
        self._meter = Meter(most)
        self._read = read or counters
        self._sleep = sleep
        self._began: tuple[float, int] | None = None
        self._held = 0

    def may_fetch(self, now: float) -> MayFetch | MayNotFetch:
        self._began = None
        if not self._meter.most:
            return MayFetch()
        begin = self._read(self._interface)
        self._meter = replace(self._meter, at=now, count=begin)
        self._sleep(LOOK)
        self._meter = self._meter.read(self._read(self._interface), 0, now + LOOK)
        return self._said(now)

    def came(self, held: int, now: float) -> MayFetch | MayNotFetch:
        if self._began is None:
            self._began, self._held = (now, held), held
        self._bound(held, now)
        if not self._meter.most or now - self._meter.at < LOOK:
            return MayFetch()
        own = int((held - self._held) * OVERHEAD)
        self._meter, self._held = self._meter.read(self._read(self._interface), own, now), held
        return self._said(now)

    def _bound(self, held: int, now: float) -> None:
        assert self._began is not None
        began, first = self._began
        early = (held - first) / self._rate - (now - began) if self._rate else 0.0
        if early > 0:
            self._sleep(early)

    def _said(self, now: float) -> MayFetch | MayNotFetch:
        meter = self._meter
        if not meter.busy:
            return MayFetch()
        where = self._interface or "the network"
        reason = f"{meter.rate:,.0f} bytes/s of other traffic on {where}, more than {meter.most:,.0f}; it waits"
        return MayNotFetch(reason, now + AGAIN)


#: Bytes on the wire for a byte of file: headers of TCP, IP and Ethernet, and the acknowledgements that go back.
OVERHEAD = 1.12


def counters(interface: str) -> int:
    """Bytes received and sent so far on an interface; "": on all but the loopback. 0 for one that is not there."""
    total = 0
    with open("/proc/net/dev", encoding="ascii") as source:
        for line in source:
            name, colon, rest = line.partition(":")
            if colon and (name.strip() == interface or (not interface and name.strip() != "lo")):
                fields = rest.split()
                total += int(fields[0]) + int(fields[8])
    return total
