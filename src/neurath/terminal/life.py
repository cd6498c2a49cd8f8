"""The life of one component: its machine, the deeds of that machine, and the events between them. It knows one component and
holds nothing that a power cut would miss; it must never decide, and never wait (the agent does, for all components)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from neurath.terminal.acts import Acts, Ending, wanted_of
from neurath.terminal.machine import Machine, Policy, Step
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.state import NEVER, WAITS
from neurath.terminal.parts import Parts

#: Steps in which bytes of a file are what people want to see.
_COUNTING = frozenset({Step.RECEIVING, Step.PARKED, Step.CHECKING_FILE})
#: Steps in which the heart beats: the rest of the time the link is busy, or no image runs.
_BEATING = frozenset({Step.IDLE, Step.WAITING_FOR_USER, Step.WAITING_FOR_USE_END})
#: Steps of one session's end, besides waiting.
_RESTING = frozenset({Step.IDLE, Step.CONTACTING, Step.WAITING_FOR_USER, Step.WAITING_FOR_USE_END, Step.WAITING_FOR_QUIET})
#: Check-ins without an answer that a run of one session makes: the server may still be building the file.
PATIENCE = 60


class Bell:
    """What other threads want a machine to hear. Whoever waits for the alarm wakes; one alarm may serve several bells."""

    def __init__(self, alarm: threading.Event | None = None) -> None:
        self._heard: deque[ev.Event] = deque()
        self._alarm = alarm or threading.Event()

    def put(self, event: ev.Event) -> None:
        """From any thread. What waits to be heard already is not said twice."""
        if event not in self._heard:
            self._heard.append(event)
        self._alarm.set()

    def take(self) -> ev.Event | None:
        return self._heard.popleft() if self._heard else None


class Life:
    """One component of a terminal. `clock` is the world's."""

    def __init__(self, parts: Parts, policy: Policy, clock: Callable[[], float]) -> None:
        self.parts = parts
        self.machine = Machine(policy)
        self.acts = Acts(parts, clock, self.show)
        self._clock = clock
        self._events: deque[ev.Event] = deque()
        self._polls = 0
        self._good: Ending | None = None

    @property
    def name(self) -> str:
        return str(self.parts.installer.component)

    @property
    def due(self) -> float:
        """When it wants to be called without having heard anything."""
        heart = self.parts.heart
        beats = heart is not None and self.machine.step in _BEATING
        return min(self.machine.due, heart.due) if beats and heart is not None else self.machine.due

    def power_up(self, *, fault: bool = False) -> None:
        """Power comes: what the flash or the record of what is installed says is all there is."""
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

    def listen(self) -> bool:
        """Takes one word of another thread, if there is one."""
        wire, bell = self.parts.wire, self.parts.bell
        said: ev.Event | None = None
        if wire is not None and not wire.heard.empty():
            said = wire.heard.get()
        elif bell is not None:
            said = bell.take()
        if said is not None:
            self._events.append(said)
        return said is not None

    def tick(self) -> None:
        """What was heard, and that time passed; a heartbeat where one is due."""
        heart = self.parts.heart
        beats = heart is not None and self.machine.step in _BEATING
        self._events.append(ev.Tick())
        self.settle()
        if heart is None or not beats or self._clock() < heart.due:
            return
        notice, words = heart.beat(self._clock())
        if words:
            self.parts.trace.note("heartbeat", **words)
            self.parts.trace.show("task_progress", **words)
        if notice is not None:
            self._events.append(notice)
            self.settle()

    def hasten(self) -> None:
        """The clock was set back: whatever waited for a moment waits no more."""
        if self.machine.due != NEVER:
            self.machine = replace(self.machine, due=min(self.machine.due, self._clock()))

    def ended(self) -> Ending | None:
        """How a run of one session ended, once it has."""
        ending = self.acts.pop_ending()
        if self.machine.step is Step.RESTARTING:
            return Ending(5, WAITS, "the new software is in place and counts from then on", "restart it")
        if ending is None or not self._rests():
            return None
        if self.parts.heart is not None and ending.code == 3 and self._good is None:
            return None  # what it waits for has yet to trickle in
        self._polls += 1
        soon = self.machine.step is Step.IDLE and self.machine.due - self._clock() <= 1.5 and self._polls < PATIENCE
        if ending.code == 0:
            self._good = ending  # what remains is to let the server know
        if not soon or ending.code not in (0, 3) or (self._good and ending.code == 3):
            return self._good or ending
        return None

    def _rests(self) -> bool:
        wired = self.machine.step is Step.RESTORING and self.parts.wire is None
        # A new image that does not reach its server stays a candidate; the next run tries again.
        return self.machine.step in _RESTING or wired

    def show(self, **more: object) -> None:
        """True progress: component, phase, bytes, time left by the measured rate."""
        fields: dict[str, object] = {"component": self.name, "phase": self.machine.phase.value}
        wanted, transfer = wanted_of(self.machine), self.parts.transfer
        if wanted is not None and self.machine.step in _COUNTING:
            fields |= {"done": transfer.held, "total": wanted.size}
            if transfer.rate:
                left = round((wanted.size - transfer.held) / transfer.rate, 1)
                fields |= {"rate": transfer.rate, "left_s": left}
        self.parts.trace.show("task_progress", **(fields | more))
