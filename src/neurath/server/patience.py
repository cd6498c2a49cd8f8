"""How long is waited for what a client has begun to send: less where many are waited for at once, so that who is slow on
purpose go faster than they come (docs/decisions/0403-less-patience-with-a-crowd.md). It counts; it must never know whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Where more than so many are waited for in a worker, each is given so many seconds.
CROWD, HURRIED = 500, 4.0


class Patience:
    """What is waited for of one kind, in one worker. Used in its event loop only."""

    def __init__(self) -> None:
        self._waited = 0

    def begin(self, usual: float) -> float:
        """One more is waited for: so many seconds."""
        self._waited += 1
        return usual if self._waited <= CROWD else min(usual, HURRIED)

    def end(self) -> None:
        self._waited -= 1

    @contextmanager
    def waiting(self, usual: float) -> Iterator[float]:
        try:
            yield self.begin(usual)
        finally:
            self.end()


#: For the heads of requests, and for their bodies.
HEADS, BODIES = Patience(), Patience()
