"""The agent of a terminal: a dull loop that asks the machine, has its actions done, and tells it what came of them. It must
never decide, and it holds nothing that a power cut would miss."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from neurath.terminal.acts import Acts, Ending, Parts, wanted_of
from neurath.terminal.heart import Heart
from neurath.terminal.machine import Machine, Policy, Step
from neurath.terminal.machine import events as ev

#: Steps in which bytes of a file are what people want to see.
_COUNTING = frozenset({Step.RECEIVING, Step.PARKED, Step.CHECKING_FILE})
#: Steps in which the heart beats: the rest of the time the link is busy, or no image runs.
_BEATING = frozenset({Step.IDLE, Step.WAITING_FOR_USER, Step.WAITING_FOR_USE_END})
#: Check-ins without an answer that a run of one session makes: the server may still be building the file.
PATIENCE = 60


class Agent:
    """One terminal. `now` is its clock, `sleep` how it waits; both are the world's."""

    def __init__(
        self,
        parts: Parts,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.parts = parts
        self.machine = Machine(policy)
        self.acts = Acts(parts, clock, self.show)
        self._clock = clock
        self._sleep = sleep
        self._events: deque[ev.Event] = deque()

    def power_up(self, *, fault: bool = False) -> None:
        """Power comes: what the flash says is all there is."""
        self._events.clear()
        self._events.append(self.acts.start(fault=fault))
        self.settle()

    def settle(self) -> None:
        """Hears events until there are none."""
        while self._events:
            self.hear(self._events.popleft())

    def hear(self, event: ev.Event) -> None:
        """One event and what follows from it at once."""
        before = self.machine.phase
        self.machine, actions = self.machine.handle(event, self._clock())
        if self.machine.phase is not before:
            self.show()
        for action in actions:
            outcome = self.acts.perform(action, self.machine)
            if outcome is not None:
                self._events.append(outcome)
            if isinstance(outcome, ev.LinkLost | ev.LinkRefused):
                return  # what was to follow needs the link; the machine says what instead

    def wait(self, longest: float = 3600.0) -> None:
        """Until the machine's next moment or a word from another thread, `longest` seconds at most; then a tick."""
        end = min(self.machine.due, self._clock() + longest)
        wire, bell, heart = self.parts.wire, self.parts.bell, self.parts.heart
        beats = heart is not None and self.machine.step in _BEATING
        if heart is not None and beats:
            end = min(end, heart.due)
        ears = ([] if wire is None else [wire.heard]) + ([] if bell is None else [bell])
        while (left := end - self._clock()) > 0:
            if said := next((ear.get() for ear in ears if not ear.empty()), None):
                self._events.append(said)
                break
            self._sleep(min(left, 0.05 if ears else left))
        self._events.append(ev.Tick())
        self.settle()
        if heart is not None and beats and self._clock() >= heart.due:
            self._beat(heart)

    def _beat(self, heart: Heart) -> None:
        notice, words = heart.beat(self._clock())
        if words:
            self.parts.trace.note("heartbeat", **words)
            self.parts.trace.show("task_progress", **words)
        if notice is not None:
            self._events.append(notice)
            self.settle()

    def run(self, *, once: bool = False) -> Ending:
        """Powers up and goes on for ever, or, `once`, until one session has ended."""
        self.power_up()
        polls, good = 0, None
        while True:
            self.wait()
            ending = self.acts.pop_ending()
            if not once or ending is None or not self._rests():
                continue
            if self.parts.heart is not None and ending.code == 3 and good is None:
                continue  # what it waits for has yet to trickle in
            polls += 1
            soon = self.machine.step is Step.IDLE and self.machine.due - self._clock() <= 1.5 and polls < PATIENCE
            if ending.code == 0:
                good = ending  # what remains is to let the server know
            if not soon or ending.code not in (0, 3) or (good and ending.code == 3):
                return good or ending

    def _rests(self) -> bool:
        waiting = self.machine.step in (Step.WAITING_FOR_USER, Step.WAITING_FOR_USE_END)
        wired = self.machine.step is Step.RESTORING and self.parts.wire is None
        # A new image that does not reach its server stays a candidate; the next run tries again.
        return self.machine.step in (Step.IDLE, Step.CONTACTING) or waiting or wired

    def show(self, **more: object) -> None:
        """True progress: phase, bytes, time left by the measured rate."""
        fields: dict[str, object] = {"phase": self.machine.phase.value}
        wanted, transfer = wanted_of(self.machine), self.parts.transfer
        if wanted is not None and self.machine.step in _COUNTING:
            fields |= {"done": transfer.held, "total": wanted.size}
            if transfer.rate:
                left = round((wanted.size - transfer.held) / transfer.rate, 1)
                fields |= {"rate": transfer.rate, "left_s": left}
        self.parts.trace.show("task_progress", **(fields | more))
