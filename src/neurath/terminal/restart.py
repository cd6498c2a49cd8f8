"""The restart of the machine that some software needs before it counts: which components wait for one, who may say no, and the
command that does it. It knows one start of the machine from another; it must never restart while anybody who may say no does,
nor judge what was installed (the component does, after the start). Spec: docs/spec/restart.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from neurath.ids import ComponentName
from neurath.terminal.asking import AskingGate
from neurath.terminal.gate import Wish
from neurath.terminal.machine.events import MayNot
from neurath.terminal.setup import Restart
from neurath.terminal.software.fs import Fs
from neurath.terminal.software.hooks import run

#: What the restart is called where people and programs speak of it; no component may have this name beside it.
NAME = ComponentName("restart")
#: The command has so many seconds; a machine that still runs so long after it is told again.
COMMAND_TIME, STILL_HERE = 60.0, 600.0
ALWAYS = "always"

#: note(moment, **fields): for the trace and for whoever listens.
Note = Callable[..., None]


class Waiting:
    """Whether one component waits for a restart. `rule`: always, or a file that is there when one is needed; `keep` holds the
    name of the machine's start in which it was installed, and so tells after the next start that this is another one."""

    def __init__(self, keep: Path, rule: str, boot: Path, wanted: Callable[[str], None]) -> None:
        self._keep = keep
        self._rule = rule
        self._boot = boot
        self._wanted = wanted

    def begin(self, version: str, action: str = "") -> None:
        """Before anything is changed: a cut from here on is a restart too. `action`: of whose verdict the server is to be told
        after it. OSError where it cannot be written."""
        Fs().put(self._keep, json.dumps({"boot": self._now(), "version": version, "action": action}).encode())

    def end(self) -> None:
        """What was installed is confirmed."""
        self._keep.unlink(missing_ok=True)

    def action(self) -> str:
        """What begin() was given, "" where it says nothing."""
        return str(self._kept().get("action", ""))

    def waits(self) -> bool:
        """Asked when the software is in place, and at each start of the agent."""
        kept = self._kept()
        if kept.get("boot") != self._now() or not (self._rule == ALWAYS or Path(self._rule).exists()):
            return False
        self._wanted(str(kept.get("version", "")))
        return True

    def _kept(self) -> dict[str, object]:
        try:
            found = json.loads(self._keep.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _now(self) -> str:
        try:
            return self._boot.read_text().strip()
        except OSError:
            return ""  # nothing tells the starts apart: it waits until somebody does


class Restarts:
    """The one restart that all components of a terminal share. `gate` asks people and whoever else may say no."""

    def __init__(self, rules: Restart, state: Path, gate: AskingGate, note: Note) -> None:
        self._rules = rules
        self._state = state
        self._note = note
        self._said = ""
        self.gate = gate
        self.wanted: dict[str, str] = {}
        self.due = float("inf")

    def of(self, component: str) -> Waiting | None:
        """What a component asks, None where it needs no restart."""
        rule = self._rules.components.get(component, "")
        if not rule:
            return None
        keep = self._state / f"{component}.restart"
        return Waiting(keep, rule, self._rules.boot, lambda version: self.want(component, version))

    def want(self, component: str, version: str) -> None:
        """A component cannot go on without a restart."""
        if self.wanted.get(component) != version:
            self.wanted[component] = version
            self._note("restart wanted", component=component, version=version)
        self.hasten()

    def hasten(self) -> None:
        """Somebody's mind may have changed, or the clock was set back."""
        if self.wanted:
            self.due = 0.0

    def tick(self, now: float) -> None:
        """Restarts where everybody agrees."""
        if not self.wanted or now < self.due:
            return
        version = ", ".join(f"{name} {version}".strip() for name, version in sorted(self.wanted.items()))
        wish = Wish(NAME, hashlib.sha256(version.encode()).digest(), version)
        answer = self.gate.may_install(wish, now)
        if isinstance(answer, MayNot):
            self.due = answer.until
            self._say(answer.reason)
            return
        self._note("restart", of=version)
        said = run(self._rules.command, COMMAND_TIME)
        self.due = now + STILL_HERE
        self._say("the restart is under way" if said.good else f"the restart failed: {said.text}")

    def shown(self) -> Mapping[str, object]:
        """What there is to show of it; nothing where nobody waits."""
        if not self.wanted:
            return {}
        return {"wanted": dict(self.wanted)} | {key: value for key, value in self.gate.shown().items() if value}

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._note("restart waits", reason=reason)
