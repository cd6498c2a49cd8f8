"""What one identity may take of a worker: so many requests at once, so many a second, whatever address they come from, so
that a site behind one address is not shut out for one terminal of it. And how long it may take over a body. It counts names
that were proven; it must never count a stranger, whose name anybody may say (docs/decisions/0396-shares-of-an-identity.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Message, Receive

from neurath.errors import DataError, RefusedError

#: Identities whose account is remembered; those that have all of theirs again are forgotten first.
MOST = 10_000
#: A body is here within so many seconds, and a second more for each of so many bytes.
BODY_DEADLINE, SLOWEST = 8.0, 16_384


class Overdrawn(RefusedError):  # noqa: N818 (what the account is)
    """More than this identity's share; answered with 429 and the seconds in `wait`."""

    default_id = "NRT-370"
    wait = 1.0

    def __init__(self, why: str) -> None:
        super().__init__("too many requests of one identity", why, f"again in {self.wait:.0f} s")


@dataclass(frozen=True, slots=True)
class Share:
    """Requests at once; requests a second, and how many of them may come in one go."""

    at_once: int
    rate: float
    burst: float


#: A terminal speaks in turn; a person has tabs, a script threads.
TERMINAL, OPERATOR = Share(16, 100.0, 1000.0), Share(64, 100.0, 1000.0)


@dataclass(slots=True)
class Account:
    """`left` requests may come at once, as of `at`; `open` are being answered."""

    left: float
    at: float
    open: int = 0


class Shares:
    """The accounts of one worker. Used in its event loop only."""

    def __init__(self, share: Share, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    @contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """One request of this identity, for as long as the context lasts; Overdrawn where it is one too many."""
        account = self._account(who)
        if account.open >= self.share.at_once:
            raise Overdrawn(f"{account.open} are being answered")
        if account.left < 1:
            raise Overdrawn(f"{self.share.rate:.0f} a second are answered")
        account.left -= 1
        account.open += 1
        try:
            yield
        finally:
            account.open -= 1

    def _account(self, who: str) -> Account:
        now = self._clock()
        found = self._accounts.get(who)
        if found is None:
            if len(self._accounts) >= MOST:
                self._forget(now)
            found = self._accounts[who] = Account(self.share.burst, now)
        found.left, found.at = self._left(found, now), now
        return found

    def _left(self, one: Account, now: float) -> float:
        return min(self.share.burst, one.left + (now - one.at) * self.share.rate)

    def _forget(self, now: float) -> None:
        """Those that owe nothing: they would begin anew with the same."""
        full = self.share.burst
        self._accounts = {who: one for who, one in self._accounts.items() if one.open or self._left(one, now) < full}


def timely(receive: Receive) -> Receive:
    """The same body, with an absolute deadline that only bytes which came move; DataError when it is over."""
    began, got, whole = time.monotonic(), 0, False

    async def next_part() -> Message:
        nonlocal got, whole
        if whole:
            return await receive()  # whoever listens for the end of the connection may wait for it
        left = began + BODY_DEADLINE + got / SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await receive()
        except TimeoutError:
            raise DataError("this document did not arrive in time", f"{BODY_DEADLINE:.0f} s are given", id="NRT-265") from None
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        return message

    return next_part
