"""One port of a restoration station: turns what happens on the wire into events and does what the machine says. It knows
clock, stock and line; every decision is the machine's or the rule's in select."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from neurath.errors import LinkError, NeurathError, RefusedError
from neurath.flash.results import Result
from neurath.station import aid, keylists
from neurath.station import machine as m
from neurath.station.line import WHY, Line, Sent
from neurath.station.machine import Choice, Do, Event, Machine, Step
from neurath.station.select import Selected, Wish, select
from neurath.station.stock import Stock
from neurath.wire import keylist
from neurath.wire.smp import Identity

#: Seconds between two looks at an empty port, and at a terminal that is done.
LOOK = 0.3
#: With `once`, seconds to wait for a port that can be opened.
PATIENCE = 10.0


@dataclass(slots=True)
class Pace:
    """Bytes that really went over the wire, and how long that took: what the rate on the screen is measured from."""

    begun: float = 0.0
    sent: int = 0
    seconds: float = 0.0

    def heard(self, more: int, now: float) -> None:
        self.sent += more
        self.seconds = max(now - self.begun, 1e-6)

    @property
    def rate(self) -> float:
        """Bytes a second; 0 before anything was sent."""
        return self.sent / self.seconds if self.seconds else 0.0


Show = Callable[[Machine, Pace], None]


@dataclass(slots=True)
class Bench:
    """One port, one machine, one stock."""

    stock: Stock
    line: Line
    show: Show
    wish: Wish | None = None
    name: str = "station"
    #: Why a terminal that says who it is cannot be the one that is meant; "" where nobody says so.
    doubt: Callable[[Identity], str] = lambda _identity: ""
    state: Machine = field(default_factory=Machine)
    pace: Pace = field(default_factory=Pace)
    selected: Selected | None = None

    async def run(self, once: bool = False) -> Machine:
        """Serves terminal after terminal; with `once`, until one is done or nobody answers. Ends with the state shown."""
        self.show(self.state, self.pace)
        while True:
            if not await self._connect(PATIENCE if once else None):
                return self.state
            silent = await self._serve()
            if once and (silent or self.state.step is Step.UNPLUG):
                return self.state
            await self._unplugged()

    async def _connect(self, patience: float | None) -> bool:
        """Waits for a port that opens; False when there was none for `patience` seconds."""
        begun = time.monotonic()
        while patience is None or time.monotonic() - begun < patience:
            if self.line.present:
                with contextlib.suppress(LinkError, ConnectionError):
                    await self.line.open()
                    return True
            await asyncio.sleep(LOOK)
        return False

    async def _serve(self) -> bool:
        """From plugging to the verdict; True when nobody answered or the cable went."""
        waiting = self._step(m.Plugged())
        while waiting:
            do, waiting = waiting[0], waiting[1:]
            waiting = waiting + await self._do(do)
        return self.state.step is Step.CONNECT

    def _step(self, event: Event) -> tuple[Do, ...]:
        self.state, actions = self.state.handle(event)
        self.show(self.state, self.pace)
        return actions

    async def _do(self, action: Do) -> tuple[Do, ...]:
        try:
            match action:
                case Do.ASK_IDENTITY:
                    identity = await self.line.identity()
                    reason = self.doubt(identity)
                    return self._step(m.Mistaken(identity, reason) if reason else m.Identified(identity))
                case Do.ASK_VERDICT:
                    return self._step(m.Identified(await self.line.identity()))
                case Do.SELECT:
                    return self._step(await asyncio.to_thread(self._select))
                case Do.SEND:
                    return await self._send()
                case Do.RECORD:
                    self._record()
                case Do.CLOSE:
                    await self.line.close()
        except LinkError:
            return await self._silent()
        except ConnectionError:
            return self._step(m.Pulled())
        return ()

    async def _silent(self) -> tuple[Do, ...]:
        """Whatever of a late answer is on its way would confuse the next question: the port is opened afresh."""
        self.line.shorten()
        with contextlib.suppress(LinkError):
            try:
                await self.line.open()
            except ConnectionError:
                return self._step(m.Pulled())
        return self._step(m.Silent())

    def _select(self) -> Event:
        identity = self.state.identity
        assert identity is not None
        try:
            self.selected = self._choose(identity)
            entry = self.selected.entry
            self.stock.package(entry)  # what cannot be sent is not chosen
        except NeurathError as fault:
            return m.NothingFits(f"{fault.what}: {fault.why}")
        envelope = bytes.fromhex(entry.envelope_digest)[:16]
        return m.Chosen(Choice(envelope, bytes.fromhex(entry.image), entry.version, self.selected.reason))

    def _choose(self, identity: Identity) -> Selected:
        return select(identity, self.stock.index().entries, self.stock.assigned(identity.id), self.wish)

    async def _send(self) -> tuple[Do, ...]:
        if self.selected is None:  # the choice outlived a pulled cable, this process did not
            await asyncio.to_thread(self._select)
        assert self.selected is not None
        data = await asyncio.to_thread(self.stock.package, self.selected.entry)
        await self._teach()
        small = await self._smaller(len(data))
        if small:
            self._step(m.Made(f"{len(small):,} bytes made for what its bank holds, not the {len(data):,} of the package"))
        else:
            self._step(m.Made(""))
        data = small or data
        first, before = True, 0
        self.pace.begun = time.monotonic() - self.pace.seconds
        try:
            async for held in self.line.upload(data, Sent.AID if small else Sent.PACKAGE):
                # The first answer may jump over what the terminal holds already: that was not sent.
                self.pace.heard(0 if first else max(0, held - before), time.monotonic())
                first, before = False, held
                self._step(m.Moved(held, len(data)))
        except RefusedError:
            identity = await self.line.identity()
            if not identity.open:  # the last answer was lost: it has restarted, and runs what it took
                return self._step(m.Sent())
            why = await self._why(identity.last)
            # The stock's package is whole: noise that the frame's check let through, found by a signed leaf.
            return self._step(m.Bent(why) if identity.last == Result.DIGEST and not small else m.Refused(why))
        return self._step(m.Sent())

    async def _why(self, last: int) -> str:
        """Why the terminal refused, in words; a list of keys that it misses is the cause a person can do something about."""
        if last == Result.TRUST:
            with contextlib.suppress(RefusedError, LinkError):
                _, seen, least = await self.line.believes()
                if seen < least:
                    return f"it goes by key list {least}, which this stock does not have: neurath station sync"
        return WHY[Result(last)] if last in WHY else f"core result -{last}"

    async def _teach(self) -> None:
        """The lists of keys that this terminal has not seen since its power came: its birth record may not have the key that
        signed the release. What it does not take stops nothing, for the package is judged by itself."""
        lists = await asyncio.to_thread(keylists.chain, self.stock)
        if not lists:
            return
        with contextlib.suppress(RefusedError):
            roots, seen, _ = await self.line.believes()
            if keylist.unpack(lists[0])[1].roots.digest != roots:
                return
            for one in lists[seen:]:
                async for _ in self.line.upload(one, Sent.LIST):
                    pass

    async def _smaller(self, package: int) -> bytes:
        """The file for what a cut left in this terminal, where one can be made that is smaller than its package; else b""."""
        state, selected = self.state, self.selected
        if state.whole or state.identity is None or selected is None or not aid.wanted(state.identity, selected.entry):
            return b""
        try:
            said = await self.line.held()
        except RefusedError:
            return b""
        made = await asyncio.to_thread(aid.made, self.stock, state.identity, selected.entry, said)
        return made if made and len(made) < package else b""

    def _record(self) -> None:
        state, entry = self.state, self.selected.entry if self.selected else None
        identity = state.identity
        self.stock.record(
            {
                "at": time.time(),
                "station": self.name,
                "terminal": identity.id if identity else "",
                "model": identity.model if identity else "",
                "why": identity.why.name.lower() if identity else "",
                "verdict": state.verdict.value,
                "reason": state.reason,
                "version": entry.version if entry else "",
                "envelope": entry.envelope_digest if entry else "",
                "image": entry.image if entry else "",
                "size": entry.size if entry else 0,
                "chosen": self.selected.reason if self.selected else "",
                "sent": state.aid or "the package",
                "bytes": self.pace.sent,
                "seconds": round(self.pace.seconds, 3),
            }
        )

    async def _unplugged(self) -> None:
        """Waits at a terminal that is done until it is taken away; nothing is asked of it but who it is."""
        if self.state.step is not Step.UNPLUG:
            return
        missed = 0
        while missed < 3:
            await asyncio.sleep(LOOK)
            try:
                if not self.line.present:
                    break
                await self.line.identity()
                missed = 0
            except LinkError:
                missed += 1
            except ConnectionError:
                break
        self.selected, self.pace = None, Pace()
        self.line.lengthen()
        for action in self._step(m.Pulled()):
            await self._do(action)
