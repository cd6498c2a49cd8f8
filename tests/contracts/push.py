"""What every push carrier promises; a carrier's test module subclasses PushContract and says how to open one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from neurath.ids import TerminalId
from neurath.server.delivery.push import Push

#: Promised is 1 s; a test machine under load is given ten.
PATIENCE = 10.0


class Ear(Protocol):
    """A terminal's end: each item is one notice."""

    def listen(self, terminal: TerminalId) -> AsyncIterator[str]: ...


@dataclass(frozen=True)
class Opened:
    push: Push
    ear: Ear


class PushContract:
    """Subclass and give `open`: an async context that yields a running carrier and the ear of its terminals."""

    def open(self) -> AbstractAsyncContextManager[Opened]:
        raise NotImplementedError

    async def _next(self, notices: AsyncIterator[str]) -> str:
        return await asyncio.wait_for(anext(notices), PATIENCE)

    def test_a_notice_reaches_the_terminal_it_names_and_no_other(self) -> None:
        async def story() -> None:
            async with self.open() as opened:
                one, two = opened.ear.listen(TerminalId("t1")), opened.ear.listen(TerminalId("t2"))
                assert await self._next(one) == "check"  # whoever connects checks in
                assert await self._next(two) == "check"
                assert opened.push.notify([TerminalId("t1"), TerminalId("absent")]) == 1
                assert await self._next(one) == "check"
                with_patience = asyncio.ensure_future(anext(two))
                await asyncio.sleep(0.3)
                assert not with_patience.done()
                opened.push.notify([TerminalId("t2")])
                assert await asyncio.wait_for(with_patience, PATIENCE) == "check"

        asyncio.run(story())

    def test_what_was_missed_while_away_is_one_notice_at_the_return(self) -> None:
        async def story() -> None:
            async with self.open() as opened:
                for _ in range(100):
                    opened.push.notify([TerminalId("t1")])
                back = opened.ear.listen(TerminalId("t1"))
                assert await self._next(back) == "check"
                more = asyncio.ensure_future(anext(back))
                await asyncio.sleep(0.3)
                assert not more.done()
                more.cancel()

        asyncio.run(story())

    def test_a_thousand_notices_to_a_terminal_that_does_not_read_become_few(self) -> None:
        async def story() -> None:
            async with self.open() as opened:
                slow = opened.ear.listen(TerminalId("t1"))
                assert await self._next(slow) == "check"
                for _ in range(1000):
                    opened.push.notify([TerminalId("t1")])
                await asyncio.sleep(0.3)
                opened.push.notify([TerminalId("t1")])
                await asyncio.wait_for(anext(slow), 60)  # the first of them, however busy this machine is
                count = 1
                with contextlib.suppress(TimeoutError):
                    while count <= 10:
                        await asyncio.wait_for(anext(slow), 0.5)
                        count += 1
                assert count <= 10

        asyncio.run(story())
