"""The heartbeat of a terminal: when it is due, what the line has to spare, and what came with the answer. It knows a carrier
and a session of trickle delivery; it must never send more packets because something is under way (but where an administrator
allowed it), nor begin an update."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from neurath.carriers.base import Rides
from neurath.errors import NeurathError
from neurath.terminal.foreground import Foreground, Unseen
from neurath.terminal.machine import events as ev
from neurath.terminal.staging.trickle import Session
from neurath.wire import trickle
from neurath.wire.trickle import Ask

#: Seconds between two words to the machine about the same complete file.
AGAIN = 600.0
#: Seconds by which a round trip may vary without anybody having disturbed it, and the share of the floor besides.
SLACK, RISE = 0.005, 1.1
#: While something is under way, one heartbeat in so many (the second of a life first) leaves no room for pieces: it measures
#: the floor. Never the first one: a terminal whose lives are short gets on all the same.
MEASURE = 64
#: The first empty answer may have been slow for reasons of its own: two more follow it early.
EARLY = (2, 4, 8)
#: A period that was shortened leaves so much over what the pieces of an answer take of their share: the next one is as full.
OVER = 1.1
#: A difference below so many seconds is not measurable: the rate is at least this good.
FINEST = 0.001


@dataclass(frozen=True, slots=True)
class Spare:
    """The spare rate of a line in bytes a second (0: not known), from how much longer a loaded answer takes than the quickest
    one, `floor` seconds. Source: docs/spec/trickle.md 5."""

    rate: float = 0.0
    floor: float = 0.0

    def heard(self, count: int, took: float) -> Spare:
        """An answer with `count` bytes of pieces took `took` seconds."""
        if self.floor == 0:
            return self if count else replace(self, floor=took)
        if count and took < self.floor:
            # The empty answer was slow for reasons of its own. That says nothing of the rate: a narrow line would look wide.
            return replace(self, floor=took)
        # Only an empty answer lets the floor rise, by a quarter of the way: the terminal may have moved to a slower network,
        # or this one waited for others.
        floor = min(took, self.floor) if count or took < self.floor else self.floor + (took - self.floor) / 4
        expected = self.floor + (count / self.rate if self.rate else took)
        if took > expected * RISE + SLACK:
            return Spare(self.rate / 2, floor)
        if not count:
            return replace(self, floor=floor)
        each = max(took - floor, FINEST) / count
        # Seconds a byte are what adds up: one answer that was quick by chance must not make a narrow line look wide.
        return Spare(1 / each if self.rate == 0 else 1 / (1 / self.rate + (each - 1 / self.rate) / 4), floor)

    def pressed(self) -> Spare:
        """Other traffic fares worse: half of it is taken for spare."""
        return replace(self, rate=max(self.rate / 2, 1.0)) if self.rate else self


class Heart:
    """Beats every `period` seconds; what rides on the answers, for any component, gathers in the session. `least`: where room
    alone holds pieces back, an administrator allows it to beat as often as that; 0: never more often."""

    def __init__(
        self, carrier: Rides, session: Session, period: float, *, watch: Callable[[], float] = time.monotonic
    ) -> None:
        self._carrier = carrier
        self.session = session
        self.period = period
        self.least = 0.0
        self.due = 0.0
        self.beats = 0
        self.spare = Spare()
        #: Who sees how other traffic fares.
        self.foreground: Foreground = Unseen()
        #: Whom a complete file concerns, by component; who is not here is told by what beat() gives.
        self.bells: dict[str, Callable[[ev.Notice], None]] = {}
        self._watch = watch
        self._told: dict[bytes, float] = {}
        self._pace = period

    def beat(self, now: float) -> tuple[ev.Notice | None, dict[str, object]]:
        """One heartbeat: "check in" when a file is complete, and what is worth a word. A heartbeat that is lost is lost."""
        self.due = now + self.period
        self.beats += 1
        pressed = self.session.active is not None and self.foreground.rise() > RISE
        if pressed:
            self.spare = self.spare.pressed()
        room = self._carrier.descriptor.reply_room
        state = self.session.state(room, trickle.link_class(self.spare.rate))
        if state.ask is Ask.PIECES and (self.beats % MEASURE == 2 or self.beats in EARLY):
            state = replace(state, room=trickle.REPLY_HEADER)
        began = self._watch()
        try:
            data = self._carrier.beat(trickle.encode_state(state))
        except NeurathError as fault:
            return None, {"reason": f"no heartbeat: {fault.what}"}
        count, took = max(0, len(data) - trickle.REPLY_HEADER), max(self._watch() - began, FINEST / 1000)
        heard = self.spare.heard(count, took)
        # A line that is busy teaches nothing but how quick it can be.
        self.spare = heard if not pressed or heard.rate < self.spare.rate else replace(self.spare, floor=heard.floor)
        came = self.session.accept(data)
        if self.least:
            self._hurry(now, count, came.new, pressed=pressed, measured=state.room == trickle.REPLY_HEADER)
        words = self._words(came.new)
        if came.called:
            return self._ring(*self.bells), {"reason": "an operator asks for a check-in"}
        complete = came.complete
        if complete is None or (now < self._told.get(complete.file, -AGAIN) + AGAIN and not came.new):
            return None, words
        self._told = {complete.file: now} | {file: at for file, at in self._told.items() if now < at + AGAIN}
        return self._ring(str(complete.component)), words

    def _hurry(self, now: float, count: int, new: int, *, pressed: bool, measured: bool) -> None:
        """Beats sooner where the share of the line is more than an answer has room for (docs/spec/trickle.md 5)."""
        active, room = self.session.active, self._carrier.descriptor.reply_room
        if not measured:
            full = active is not None and new and room < trickle.REPLY_HEADER + count + active.plan.piece
            wanted = OVER * count / (trickle.SHARE * self.spare.rate) if full and self.spare.rate else self.period
            self._pace = min(self.period, max(self.least, wanted))
        self.due = now + (self.period if pressed else self._pace)

    def _ring(self, *components: str) -> ev.Notice | None:
        """Tells those whom it concerns; the notice itself where nobody is known to."""
        known = [self.bells[name] for name in components if name in self.bells]
        for bell in known:
            bell(ev.Notice())
        return None if known else ev.Notice()

    def _words(self, new: int) -> dict[str, object]:
        active = self.session.active
        if active is None or not new:
            return {}
        return {
            "phase": "downloading",
            "program": active.program.hex(),
            "done": active.plan.held(active.sync),
            "total": active.plan.size,
            "pieces": new,
        }
