"""The agent of a terminal: the dull loop that gives each component its turn. One session goes over the link at a time; a
component that waits for people holds up no other. It must never decide."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from neurath.terminal.acts import Ending
from neurath.terminal.life import Life
from neurath.terminal.machine import Machine
from neurath.terminal.machine import events as ev
from neurath.terminal.parts import Parts

if TYPE_CHECKING:
    from neurath.terminal.restart import Restarts

#: A wire is looked at so often, seconds; without one nothing wakes the agent but its alarm.
LOOK = 0.05
#: A clock that went back further than this, seconds, was set.
SET_BACK = 2.0


class Agent:
    """One terminal: its components in turn. `clock` and `sleep` are the world's; with an `alarm` other threads wake it."""

    def __init__(
        self,
        lives: Sequence[Life],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        alarm: threading.Event | None = None,
    ) -> None:
        self.lives = list(lives)
        self._clock = clock
        self._sleep = sleep
        self._alarm = alarm
        self._seen = clock()
        self.closing: list[Callable[[], None]] = []
        self.restarts: Restarts | None = None

    # ---- of a terminal with one component ---------------------------------------------------------------------------

    @property
    def parts(self) -> Parts:
        return self.lives[0].parts

    @property
    def machine(self) -> Machine:
        return self.lives[0].machine

    def hear(self, event: ev.Event) -> None:
        self.lives[0].hear(event)

    def settle(self) -> None:
        self.lives[0].settle()

    # ---- all of them ------------------------------------------------------------------------------------------------

    def power_up(self, *, fault: bool = False) -> None:
        """Power comes: what the flash and the records say is all there is."""
        for life in self.lives:
            life.power_up(fault=fault)

    def wait(self, longest: float = 3600.0) -> None:
        """Until somebody's next moment or a word from another thread, `longest` seconds at most; then everybody ticks whose
        moment it is."""
        restarts = [] if self.restarts is None else [self.restarts]
        end = min([self._clock() + longest, *(life.due for life in self.lives)])
        wired = any(life.parts.wire is not None for life in self.lives)
        heard: list[Life] = []
        while not (heard := [life for life in self.lives if life.listen()]):
            left = min([end, *(one.due for one in restarts)]) - self._clock()
            if left <= 0 or self._was_set_back():
                break
            self._pause(min(left, LOOK) if wired else left)
        now = self._clock()
        for life in self.lives:
            if life in heard or now >= life.due or len(self.lives) == 1:
                life.tick()
        for one in restarts:
            one.tick(self._clock())

    def _pause(self, seconds: float) -> None:
        if self._alarm is None:
            self._sleep(seconds)
        elif self._alarm.wait(min(seconds, 60.0)):
            self._alarm.clear()

    def _was_set_back(self) -> bool:
        """A clock that jumps forward makes things due; one that jumps back would put them off for years."""
        now, before = self._clock(), self._seen
        self._seen = now
        if now > before - SET_BACK:
            return False
        for life in self.lives:
            life.hasten()
        if self.restarts is not None:
            self.restarts.hasten()
        return True

    def run(self, *, once: bool = False) -> Ending:
        """Powers up and goes on for ever, or, `once`, until each component has ended one session."""
        self.power_up()
        endings: dict[str, Ending] = {}
        while not once or len(endings) < len(self.lives):
            self.wait()
            for life in self.lives if once else ():
                if life.name not in endings and (ending := life.ended()) is not None:
                    endings[life.name] = ending
        return max(endings.values(), key=lambda ending: (ending.code not in (0, 3), ending.code == 0))

    def close(self) -> None:
        for close in reversed(self.closing):
            close()
