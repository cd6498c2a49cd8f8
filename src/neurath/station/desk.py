"""A restoration station's desk: several ports side by side, each with its machine; the label that was read last; what the
shift has done. It knows which port has which terminal; it must never decide what is written to one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from neurath.errors import NeurathError
from neurath.station import ports
from neurath.station.line import Line
from neurath.station.machine import Machine, Step, Verdict
from neurath.station.ports import Trouble
from neurath.station.run import Bench, Pace
from neurath.station.select import Wish
from neurath.station.stock import Stock
from neurath.wire.smp import Identity

#: Seconds between two looks at the ports from outside, and after a fault of this machine (a full disk).
LOOK, AGAIN = 1.0, 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """What every port of a station shares."""

    stock: Stock
    name: str = "station"
    wish: Wish | None = None
    baud: int = 115200


@dataclass(slots=True, eq=False)
class Seat:
    """One port: its machine's state, and why it cannot be used where it cannot."""

    port: str
    state: Machine = field(default_factory=Machine)
    pace: Pace = field(default_factory=Pace)
    #: What is, or was last, written at it.
    version: str = ""
    troubles: tuple[Trouble, ...] = ()


class Desk:
    """All ports of one station. `changed` is called with the port of which a screen would say something new."""

    def __init__(self, job: Job, names: Sequence[str]) -> None:
        self.job = job
        self.seats = tuple(Seat(name) for name in names)
        #: The label that was read or typed last: the next terminal has to be this one.
        self.label = ""
        #: How the work on each terminal of this shift ended.
        self.shift: Counter[Verdict] = Counter()
        self.begun = time.time()
        self.changed: Callable[[Seat], None] = lambda _seat: None

    async def run(self, once: bool = False) -> None:
        """Serves every port until it is cancelled; with `once`, until each has served one terminal."""
        looking = asyncio.create_task(self._look())
        try:
            await asyncio.gather(*(self._serve(seat, once) for seat in self.seats))
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    def scan(self, label: str) -> None:
        """A label was read by a scanner or typed, in any thread; an empty one means: whichever comes."""
        self.label = label.strip()

    async def _serve(self, seat: Seat, once: bool) -> None:
        """One port; what goes wrong at it holds up no other."""
        bench = self._bench(seat)
        while True:
            try:
                await bench.run(once)
                return
            except (NeurathError, OSError) as fault:
                why = fault.why if isinstance(fault, NeurathError) else str(fault)
                hint = fault.hint if isinstance(fault, NeurathError) else "neurath doctor names the cure"
                self._troubled(seat, (Trouble("the station itself failed", f"{fault}: {why}", hint),))
                if once:
                    return
            await asyncio.sleep(AGAIN)
            bench = self._bench(seat)

    def _bench(self, seat: Seat) -> Bench:
        def show(state: Machine, pace: Pace) -> None:
            if state.step is Step.UNPLUG and seat.state.step is not Step.UNPLUG:
                self.shift[state.verdict] += 1
            seat.state, seat.pace = state, pace
            if state.step is not Step.CONNECT:  # it is being used, so it can be
                seat.troubles = ()
            seat.version = state.choice.version if state.choice else "" if state.step is Step.CONNECT else seat.version
            self.changed(seat)

        job = self.job
        return Bench(
            job.stock, Line(seat.port, job.baud), show, job.wish, job.name, doubt=lambda identity: self._doubt(seat, identity)
        )

    def _doubt(self, seat: Seat, identity: Identity) -> str:
        """Why this cannot be the terminal that is meant: the label, or another port, says so."""
        if not identity.enrolled:
            return ""
        for other in self.seats:
            if other is seat or other.state.step is Step.CONNECT:  # it may have been carried over from there
                continue
            if other.state.identity is not None and other.state.identity.id == identity.id:
                return f"{other.port} has a terminal of this name too: one of the two is a copy, read both labels"
        if self.label and self.label != identity.id:
            return f"the label says {self.label}, the device says {identity.id}"
        self.label = ""
        return ""

    async def _look(self) -> None:
        """Ports on which nobody works are looked at from outside."""
        while True:
            for seat in self.seats:
                found = await asyncio.to_thread(ports.look, seat.port)
                if seat.state.step is Step.CONNECT:
                    self._troubled(seat, found)
            await asyncio.sleep(LOOK)

    def _troubled(self, seat: Seat, troubles: tuple[Trouble, ...]) -> None:
        if troubles != seat.troubles:
            seat.troubles = troubles
            self.changed(seat)
