"""The gate of a component that people use: who uses it now, what they said, what holds it back. It knows processes, a pure
consent and where it is kept; it must never wait for an answer, nor forget one that was given. Contract: contracts/gate.py."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurath.errors import RefusedError
from neurath.ids import ComponentName
from neurath.terminal.consent import Answer, Consent, Decided, Seen, Word, decide
from neurath.terminal.gate import Wish
from neurath.terminal.inuse import InUse, reason_of
from neurath.terminal.machine.events import MayInstall, MayNot
from neurath.terminal.setup import Asking
from neurath.terminal.software.fs import Fs

#: tell(word, wish, reason, deadline): says it to people, at once and without waiting; `deadline` 0: there is none.
Tell = Callable[[Word, Wish, str, float], None]


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody who knows says that it must not be installed just now: why, and until when at most."""

    why: str
    until: float


class Holds:
    """What programs say over the control socket: busy with one component, or with everything ("")."""

    def __init__(self) -> None:
        self._holds: dict[tuple[str, str], Hold] = {}
        self._lock = threading.Lock()

    def put(self, who: str, component: str, hold: Hold) -> None:
        with self._lock:
            self._holds[who, component] = hold

    def drop(self, who: str, component: str | None = None) -> bool:
        """One hold of somebody, or (None) all of them; whether there was any."""
        with self._lock:
            found = [key for key in self._holds if key[0] == who and component in (None, key[1])]
            for key in found:
                del self._holds[key]
        return bool(found)

    def of(self, component: str, now: float) -> str:
        """Why it must not be installed now; "" where nobody minds."""
        with self._lock:
            self._holds = {key: hold for key, hold in self._holds.items() if hold.until > now}
            found = [hold.why for (_, about), hold in self._holds.items() if about in ("", component)]
        return f"in use: {found[0]}" if found else ""


class AskingGate:
    """May it be installed? `changed` is called when the answer may be another one; `keep` is where what people said
    survives a restart."""

    def __init__(self, rules: Asking, inuse: InUse | None, keep: Path | None, tell: Tell, holds: Holds) -> None:
        self._rules = rules
        self._inuse = inuse
        self._keep = keep
        self._tell = tell
        self._holds = holds
        self._lock = threading.RLock()
        self._state = _load(keep)
        self._words = ""
        self.wish: Wish | None = None
        self.decided = Decided(True)
        self.changed: Callable[[], None] = lambda: None

    def may_install(self, wish: Wish, now: float) -> MayInstall | MayNot:
        found = self._inuse.users() if self._inuse is not None and self._rules.consent != "none" else []
        use = self._holds.of(wish.component, now) or (reason_of(found) if found else "")
        with self._lock:
            self.wish = wish
            seen = Seen(wish.file[:16], use, now, second_of_day(now))
            state, self.decided = decide(self._state, self._rules, seen)
            self._put(state)
            decided = self.decided
        if decided.tell is not None:
            deadline = state.met + self._rules.deadline if self._rules.deadline else 0.0
            words, self._words = self._words, ""
            self._tell(decided.tell, wish, f"{words} ({decided.reason})" if words else decided.reason, deadline)
        if decided.go:
            return MayInstall()
        if found and self._inuse is not None:
            self._inuse.watch(found)
        return MayNot(decided.reason, decided.ask, max(decided.until, now + 1.0))

    def answer(self, answer: Answer, now: float) -> None:
        """Somebody answered; RefusedError where nothing was asked."""
        with self._lock:
            if self.wish is None or not self._state.wish:
                raise RefusedError("nobody was asked about this", "nothing waits to be installed", "neurath agent status")
            self._put(self._state.answered(answer, now, second_of_day(now), self._rules.again))
        self.changed()

    def remind(self, text: str = "") -> None:
        """The operator, or somebody here, wants people to be asked again; his words go with the question."""
        with self._lock:
            if not self._state.wish:
                return
            self._words = text
            self._put(self._state.reminded())
        self.changed()

    def forget(self, component: ComponentName) -> None:
        with self._lock:
            self.wish, self.decided = None, Decided(True)
            self._put(Consent())

    def shown(self) -> dict[str, Any]:
        """What there is to show of it."""
        with self._lock:
            state, decided = self._state, self.decided
            waits = self.wish is not None and not decided.go
            return {
                "version": self.wish.version if self.wish else "",
                "waits": decided.reason if waits else "",
                "asked": waits and decided.ask,
                "answer": state.answer.value if state.answer else "",
                "until": decided.until if waits else 0.0,
                "deadline": state.met + self._rules.deadline if state.wish and self._rules.deadline else 0.0,
            }

    def _put(self, state: Consent) -> None:
        if state == self._state:
            return
        self._state = state
        if self._keep is not None:
            try:
                self._keep.parent.mkdir(parents=True, exist_ok=True)
                Fs().put(self._keep, json.dumps(_plain(state)).encode())
            except OSError:
                return  # it holds as long as the agent lives


def second_of_day(now: float) -> int:
    """The second of the local day."""
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec


def _plain(state: Consent) -> dict[str, object]:
    return {
        "wish": state.wish.hex(),
        "met": state.met,
        "told": state.told,
        "word": state.word.value if state.word else "",
        "answer": state.answer.value if state.answer else "",
        "until": state.until,
        "warned": state.warned,
    }


def _load(path: Path | None) -> Consent:
    """What was kept; nothing where there is nothing, or nothing that makes sense: then somebody is asked again."""
    try:
        found = json.loads(path.read_text()) if path is not None else {}
        return Consent(
            wish=bytes.fromhex(found["wish"]),
            met=float(found["met"]),
            told=float(found["told"]),
            word=Word(found["word"]) if found["word"] else None,
            answer=Answer(found["answer"]) if found["answer"] else None,
            until=float(found["until"]),
            warned=bool(found["warned"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Consent()
