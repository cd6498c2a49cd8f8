"""May this be installed now? The seam that later parts fill with "is it in use", opening hours, battery. It knows a question
and its answers; it must never install anything. Contract: tests/contracts/gate.py."""

from __future__ import annotations

from typing import Protocol

from neurath.ids import ComponentName
from neurath.terminal.machine.events import MayInstall, MayNot


class Gate(Protocol):
    """Answers at once; it never waits for anybody."""

    def may_install(self, component: ComponentName, now: float) -> MayInstall | MayNot:
        """Yes; or no with a reason in a person's words, whether a person may be asked, and a time after `now` (seconds since
        1970) at which it is worth asking again."""
        ...


class Open:
    """The dull gate: always yes."""

    def may_install(self, component: ComponentName, now: float) -> MayInstall | MayNot:
        return MayInstall()


class Closed:
    """No, for `wait` seconds at a time: an operator's hold, and what tests use."""

    def __init__(self, reason: str, *, ask: bool = False, wait: float = 60.0) -> None:
        self._answer = (reason, ask, wait)

    def may_install(self, component: ComponentName, now: float) -> MayInstall | MayNot:
        reason, ask, wait = self._answer
        return MayNot(reason, ask, now + wait)
