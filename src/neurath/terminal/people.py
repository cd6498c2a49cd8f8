"""People and programs of a terminal's machine, as one agent meets them: notices on their screens, what they say holds it back,
the desk where they ask. It is loaded only where a setup leaves room for somebody; it must never decide when something is
installed (gates do)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from neurath.terminal.asking import AskingGate, Holds
from neurath.terminal.consent import Word
from neurath.terminal.desk import Desk
from neurath.terminal.gate import Wish
from neurath.terminal.inuse import InUse
from neurath.terminal.life import Life
from neurath.terminal.notices import Notices, text_of
from neurath.terminal.restart import Restarts
from neurath.terminal.setup import Asking


class People:
    """Whom an agent may ask, and who may ask it. `seen` hears of each word to them."""

    def __init__(self, seen: Callable[[str, dict[str, object]], None], *, silent: bool) -> None:
        self._seen = seen
        self._holds = Holds()
        self._notices = Notices(silent=silent)

    def desk(self, lives: Sequence[Life], restarts: Restarts | None) -> Desk:
        """Where they ask; what they answer on a notice's buttons comes to it too."""
        desk = Desk(lives, self._holds, restarts)
        self._notices.answered = desk.answered
        return desk

    def gate(self, rules: Asking, inuse: InUse | None, keep: Path) -> AskingGate:
        """One that asks them; what they said survives a restart in `keep`."""
        return AskingGate(rules, inuse, keep, self._prompt, self._holds)

    def _prompt(self, word: Word, wish: Wish, reason: str, deadline: float) -> None:
        what = {"component": wish.component, "version": wish.version, "reason": reason, "deadline": deadline}
        self._seen("prompt", {"word": word.value, "text": text_of(word, wish, reason, deadline)} | what)
        self._notices(word, wish, reason, deadline)
