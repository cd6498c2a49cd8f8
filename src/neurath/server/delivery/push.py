"""Telling terminals that it is time to check in: what every carrier of notices promises, and where notices come from. It must
never say more than "check in": what is offered, and to whom, is decided at the check-in alone, so that a lost, late or
doubled notice changes nothing. Spec: docs/spec/push.md."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from neurath.errors import LinkError
from neurath.ids import TerminalId
from neurath.units import Seconds

POLL = Seconds(0.5)
AT_ONCE = Seconds(0.0)
#: Called with a terminal as soon as it was told, from any thread.
Reached = Callable[[TerminalId], object]


def _nobody(_terminal: TerminalId) -> None:
    pass


class Push(Protocol):
    """The seam: whatever carries notices (streams, a broker, a telephone) is asked the same way."""

    def notify(self, terminals: Iterable[TerminalId], within: Seconds = AT_ONCE, reached: Reached = _nobody) -> int:
        """Tells those of the terminals that can be reached to check in at a moment of their own choice `within` so many
        seconds; gives how many it took on, which is an upper bound; `reached` is called for each that was told for sure.
        Never waits."""

    def hears(self, terminal: TerminalId) -> bool:
        """Whether the terminal is known to listen now: then it is told before those that may not."""

    @property
    def under_way(self) -> int:
        """How many notices this carrier has taken on and not brought to an end yet."""


def payload(within: float) -> bytes:
    """What a notice says beside "check in": nothing, or how much time there is for it."""
    return b"{}" if within < 1 else b'{"within": %d}' % min(round(within), 86400)


class Turns:
    """Moments for check-ins so that no more than `rate` a second come of the asking, however many are asked at once."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self._next = 0.0

    def within(self, count: int, now: float) -> Seconds:
        """Takes turns for `count` terminals; the last of them comes this many seconds from now."""
        self._next = max(self._next, now) + count * self._gap
        return Seconds(self._next - now)


T_co = TypeVar("T_co", covariant=True)


class Feed(Protocol, Generic[T_co]):
    """Where notices come from that other processes wrote (`neurath rollout start` beside a running server)."""

    def since(self, mark: int) -> tuple[int, Sequence[T_co]]:
        """Whom to tell since the mark, and the new mark. Mark 0 is the beginning; called in a thread. Raises LinkError when
        the store cannot be asked just now."""


T = TypeVar("T")


async def follow(
    feed: Feed[T], act: Callable[[Sequence[T]], object], every: Seconds = POLL, wake: asyncio.Event | None = None
) -> None:
    """Hands on what other processes wrote, until cancelled. What was written before the first look is old news: every
    stream began with a notice. A feed that fails (database locked) is asked again. `wake`: this process wrote something."""
    wake = wake or asyncio.Event()
    mark: int | None = None
    while True:
        try:
            latest, terminals = await asyncio.to_thread(feed.since, mark or 0)
        except (OSError, LinkError):
            pass  # asked again in half a second; nothing is lost, the mark stays
        else:
            if mark is not None and terminals:
                act(terminals)
            mark = latest
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), every)
        wake.clear()
