"""What a narrow line does to frames: rate, one-way delay, loss, duplication, reordering, and a queue that holds so many bytes.
It knows one direction's arithmetic and draws; it must never look at a clock, nor inside a frame. The n-th frame of a direction
has the same fate in every run with the same seed."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from neurath.errors import UsageError

#: A frame that is overtaken comes later by this share of the delay, drawn evenly.
LATER = (0.3, 1.0)
#: A frame that comes twice comes again after so many seconds.
AGAIN = 0.01
#: What an Ethernet header, IPv4, ICMP and the usual 56 bytes of an echo request take on the line.
PING = 98


@dataclass(frozen=True, slots=True)
class Line:
    """A line: `rate` in bit/s, `delay` one way in seconds, shares of frames lost, duplicated and reordered, the bytes its
    queue holds in each direction, and what seeds its draws."""

    rate: float = 9600.0
    delay: float = 0.6
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    queue: int = 8192
    seed: int = 1

    def __post_init__(self) -> None:
        shares = (self.loss, self.duplicate, self.reorder)
        if not (self.rate > 0 and self.delay >= 0 and self.queue > 0 and all(0 <= share <= 1 for share in shares)):
            raise UsageError("no such line", str(self), "a rate above 0, a delay from 0 on, shares from 0 to 1, a queue")

    def round_trip(self, there: int = PING, back: int = PING) -> float:
        """Seconds from the first bit of a frame of `there` bytes to the last of its answer, on an idle line."""
        return 2 * self.delay + 8 * (there + back) / self.rate


@dataclass(slots=True)
class Counts:
    """What became of the frames of one direction."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0


@dataclass(slots=True)
class Way:
    """One direction of a line. `number` keeps the draws of the two directions apart."""

    line: Line
    number: int
    counts: Counts = field(default_factory=Counts)
    _rng: random.Random = field(init=False)
    _free: float = 0.0
    _waiting: deque[tuple[float, int]] = field(default_factory=deque)
    _backlog: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(f"{self.line.seed}/{self.number}")

    def change(self, line: Line) -> None:
        """The line is another one for the frames to come. Its draws go on, unless it has another seed."""
        again = line.seed != self.line.seed
        self.line = line
        if again:
            self.__post_init__()

    def takes(self, size: int, now: float) -> tuple[float, ...]:
        """When a frame of `size` bytes that comes now arrives: once, twice or never. Frames leave one after the other, each
        when its last bit is through."""
        lost, twice, late, by = (self._rng.random() for _ in range(4))
        while self._waiting and self._waiting[0][0] <= now:
            self._backlog -= self._waiting.popleft()[1]
        line, counts = self.line, self.counts
        counts.frames += 1
        counts.bytes += size
        if self._backlog + size > line.queue:
            counts.dropped += 1
            return ()
        self._backlog += size
        self._free = max(now, self._free) + 8 * size / line.rate
        self._waiting.append((self._free, size))
        if lost < line.loss:
            counts.lost += 1
            return ()
        arrives = self._free + line.delay
        if late < line.reorder:
            counts.reordered += 1
            arrives += line.delay * (LATER[0] + (LATER[1] - LATER[0]) * by)
        if twice < line.duplicate:
            counts.duplicated += 1
            return (arrives, arrives + AGAIN)
        return (arrives,)
