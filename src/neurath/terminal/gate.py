"""May this be installed now? The seam that "is it in use", a person's consent, hours and a reboot's veto fill. It knows
a question and its answers; it must never install anything. Contract: tests/contracts/gate.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neurath.ids import FIRMWARE, ComponentName
from neurath.terminal.machine.events import MayInstall, MayNot


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be installed: a component, the update file's digest, the version as people say it; `here`: the file was
    downloaded ahead, so that nothing but this answer is in the way. Else `size` bytes are to be fetched, at `rate` bytes a
    second (0: not measured yet)."""

    component: ComponentName = FIRMWARE
    file: bytes = b""
    version: str = ""
    here: bool = False
    size: int = 0
    rate: float = 0.0


class Gate(Protocol):
    """Answers at once; it never waits for anybody."""

    def may_install(self, wish: Wish, now: float) -> MayInstall | MayNot:
        """Yes; or no with a reason in a person's words, whether a person may be asked, and a time after `now` (seconds since
        1970) at which it is worth asking again."""
        ...

    def forget(self, component: ComponentName) -> None:
        """The wish has come to an end, installed or not: what was asked about it is of no meaning any more."""
        ...

    def remind(self, text: str) -> None:
        """The operator wants people to be asked again, in these words."""
        ...


class Open:
    """The dull gate: always yes."""

    def may_install(self, wish: Wish, now: float) -> MayInstall | MayNot:
        return MayInstall()

    def forget(self, component: ComponentName) -> None:
        """Nothing was kept."""

    def remind(self, text: str) -> None:
        """Nobody is asked."""


class Closed:
    """No, for `wait` seconds at a time: an operator's hold, and what tests use."""

    def __init__(self, reason: str, *, ask: bool = False, wait: float = 60.0) -> None:
        self._answer = (reason, ask, wait)

    def may_install(self, wish: Wish, now: float) -> MayInstall | MayNot:
        reason, ask, wait = self._answer
        return MayNot(reason, ask, now + wait)

    def forget(self, component: ComponentName) -> None:
        """Nothing was kept."""

    def remind(self, text: str) -> None:
        """Nobody is asked."""
