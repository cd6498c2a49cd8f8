"""Words to people: on the desktops of those who have one, else on the terminals of those who are logged in. It knows programs
that show text, each under a time limit and in a thread of its own; it must never hold the agent up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from neurath.terminal.consent import ASKED, Word
from neurath.terminal.gate import Wish
from neurath.terminal.software.hooks import run

#: A program that shows something has so many seconds.
LIMIT = 3.0
ANSWERS = "now, hour (in 1 hour), tonight or no"


def text_of(word: Word, wish: Wish, reason: str, deadline: float) -> str:
    """What people read."""
    what = f"{wish.component} {wish.version}".strip()
    say = f"neurath agent answer {wish.component} ANSWER, which is {ANSWERS}"
    if wish.component == "restart":
        what, say = f"Restart for {wish.version}", f"neurath agent answer restart ANSWER, which is {ANSWERS}"
        match word:
            case Word.ASK:
                return f"{what}: it is installed and counts from the next start of this machine. Restart now? {say}"
            case Word.CLOSE:
                return f"{what} waits: {reason}. Please end it; the machine restarts by itself."
            case _:
                when = time.strftime("%H:%M", time.localtime(deadline))
                return f"Last warning: this machine restarts at {when} for {wish.version}. Please save your work."
    match word:
        case Word.ASK:
            words = f"{reason}: " if reason not in ("", ASKED) else ""
            return f"{words}Update {what} is here. Close {wish.component} and install it? {say}"
        case Word.CLOSE:
            return f"Update {what} waits: {reason}. Please end it; the update goes on by itself."
        case _:
            when = time.strftime("%H:%M", time.localtime(deadline))
            return f"Last warning: update {what} is installed at {when}. Please save your work and end {wish.component}."


class Notices:
    """Shows notices to whoever is there. `folder` has one directory a user with a session bus."""

    def __init__(self, folder: Path = Path("/run/user"), *, show: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._show = show or self._everywhere

    def __call__(self, word: Word, wish: Wish, reason: str, deadline: float) -> None:
        text = text_of(word, wish, reason, deadline)
        threading.Thread(target=self._show, args=(text,), daemon=True).start()

    def _everywhere(self, text: str) -> None:
        shown = [self._desktop(bus, text) for bus in sorted(self._folder.glob("*/bus"))]
        if not any(shown) and _on_the_path("wall"):
            run(["wall", "--timeout", "2", text], LIMIT)

    def _desktop(self, bus: Path, text: str) -> bool:
        """One user's desktop, by the standard notification service; as that user, for a bus answers nobody else."""
        words = [
            "gdbus", "call", "--session", "--timeout", "2", "--dest", "org.freedesktop.Notifications",
            "--object-path", "/org/freedesktop/Notifications", "--method", "org.freedesktop.Notifications.Notify",
            "Neurath", "0", "system-software-update", "Software update", text, "[]", "{}", "0",
        ]  # fmt: skip
        try:
            owner = bus.stat().st_uid
        except OSError:
            return False
        more = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}", "XDG_RUNTIME_DIR": str(bus.parent)}
        if os.geteuid() == 0 and owner != 0:
            words = ["setpriv", f"--reuid={owner}", "--clear-groups", *words]
        return run(words, LIMIT, more).good


def _on_the_path(program: str) -> bool:
    return any(os.access(Path(folder) / program, os.X_OK) for folder in os.get_exec_path())
