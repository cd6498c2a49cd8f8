"""What people and programs of this machine may ask an agent, and what follows. It knows the components and their gates; it
must never install anything by itself, nor say more than what is so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurath.errors import NeurathError, NotFound, UsageError
from neurath.terminal.asking import AskingGate, Hold, Holds
from neurath.terminal.consent import Answer
from neurath.terminal.life import Life
from neurath.terminal.machine import events as ev

if TYPE_CHECKING:
    from neurath.terminal.restart import Restarts

RESTART = "restart"
#: A hold that names no time ends after this, seconds; none is longer than a day.
HOLD, LONGEST = 3600.0, 86400.0


class Desk:
    """Answers requests of docs/spec/control.md 2."""

    def __init__(self, lives: Sequence[Life], holds: Holds, restarts: Restarts | None = None) -> None:
        self._lives = {life.name: life for life in lives}
        self._holds = holds
        self._restarts = restarts
        self._doing = {
            "status": self._status,
            "answer": self._answer,
            "remind": self._remind,
            "busy": self._busy,
            "free": self._free,
            "check": self._check,
        }

    def ask(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        doing = self._doing.get(request["do"])
        if doing is None:
            known = ", ".join(sorted([*self._doing, "listen"]))
            raise UsageError(f"nobody knows how to {request['do'][:40]!r}", f"there are: {known}", "see docs/spec/control.md")
        return doing(who, request)

    def answered(self, component: str, answer: Answer) -> None:
        """Somebody pressed a button; where nobody is asked any more, it is too late and nothing follows."""
        with contextlib.suppress(NeurathError):
            self.ask("desktop", {"do": "answer", "component": component, "answer": answer.value})

    def gone(self, who: str) -> None:
        """A connection has ended, and with it what it held."""
        if self._holds.drop(who):
            self._changed()

    def _life(self, request: Mapping[str, Any]) -> Life:
        name = request.get("component", "")
        if not name and len(self._lives) == 1:
            return next(iter(self._lives.values()))
        if name not in self._lives:
            raise NotFound(f"no component {str(name)[:64]!r}", f"there are: {', '.join(self._lives)}", "neurath agent status")
        return self._lives[name]

    def _is_restart(self, name: str) -> bool:
        return self._restarts is not None and name == RESTART

    def _asked(self, request: Mapping[str, Any]) -> tuple[str, AskingGate]:
        """Whom it is about: a component, or the restart of the machine."""
        if self._restarts is not None and self._is_restart(str(request.get("component", ""))):
            return RESTART, self._restarts.gate
        life = self._life(request)
        return life.name, _gate(life)

    def _status(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        restart = {} if self._restarts is None else self._restarts.shown()
        return {"components": [shown(life) for life in self._lives.values()]} | ({"restart": restart} if restart else {})

    def _answer(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        try:
            answer = Answer(request.get("answer"))
        except ValueError:
            raise UsageError("this is no answer", f"{request.get('answer')!r}", "now, hour, tonight or no") from None
        name, gate = self._asked(request)
        gate.answer(answer, time.time())
        return {"component": name, "answer": answer.value}

    def _remind(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        name, gate = self._asked(request)
        gate.remind()
        return {"component": name}

    def _busy(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        """Until the connection ends, `free` is said, or the time is over."""
        name = str(request.get("component", ""))
        if name and not self._is_restart(name):
            self._life(request)
        seconds = request.get("for", HOLD)
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST:
            raise UsageError("`for` is a number of seconds", f"more than 0, at most {LONGEST:.0f}", "leave it out")
        why = str(request.get("why", "a program asked for time"))[:100]
        self._holds.put(who, name, Hold(why, time.time() + seconds))
        return {"component": name, "for": seconds}

    def _free(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        if self._holds.drop(who, str(request.get("component", ""))):
            self._changed()
        return {}

    def _check(self, who: str, request: Mapping[str, Any]) -> Mapping[str, object]:
        for life in self._lives.values():
            if life.parts.bell is not None:
                life.parts.bell.put(ev.Notice())
        return {}

    def _changed(self) -> None:
        for life in self._lives.values():
            if life.parts.bell is not None and isinstance(life.parts.gate, AskingGate) and life.parts.gate.wish is not None:
                life.parts.bell.put(ev.UseEnded())
        if self._restarts is not None:
            self._restarts.gate.changed()


def _gate(life: Life) -> AskingGate:
    gate = life.parts.gate
    if not isinstance(gate, AskingGate):
        raise NotFound(f"nobody is asked about {life.name}", "its gate is always open", "set consent in its setup")
    return gate


def shown(life: Life) -> dict[str, object]:
    """One component as people see it."""
    machine, gate = life.machine, life.parts.gate
    fields: dict[str, object] = {"component": life.name, "phase": machine.phase.value, "step": machine.step.name.lower()}
    if machine.offer is not None:
        fields |= {"offered": str(machine.offer.version), "size": machine.offer.size, "held": life.parts.transfer.held}
    if isinstance(gate, AskingGate):
        fields |= {key: value for key, value in gate.shown().items() if value}
    last = life.parts.ledger.shown()
    return fields | ({"last": last} if last else {})
