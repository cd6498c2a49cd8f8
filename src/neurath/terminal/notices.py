"""Words to people: on the desktops of those who have one, else on the terminals of those who are logged in. It knows programs
that show text, each under a time limit and in a thread of its own; it must never hold the agent up."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from neurath.terminal.consent import ASKED, Answer, Word
from neurath.terminal.gate import Wish
from neurath.terminal.software.hooks import run

#: A program that shows something has so many seconds.
LIMIT = 3.0
#: The standard notification service, and how it is called.
PLACE = "org.freedesktop.Notifications"
CALL = ["gdbus", "call", "--session", "--timeout", "2", "--dest", PLACE, "--object-path", "/org/freedesktop/Notifications"]
CALL += ["--method"]
BUTTONS = {
    Answer.NOW: "Close and update",
    Answer.HOUR: "In 1 hour",
    Answer.TONIGHT: "Tonight",
    Answer.NO: "Not now",
}
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


def question(wish: Wish) -> str:
    """What people read above buttons that say the answers."""
    if wish.component == "restart":
        return f"{wish.version} is installed and counts from the next start of this machine. If you do nothing, it waits."
    what = f"{wish.component} {wish.version}".strip()
    return (
        f"An update is ready: {what}. {wish.component} has to be closed for it. If you do nothing, it waits; nothing is lost."
    )


class Notices:
    """Shows notices to whoever is there. `folder` has one directory a user with a session bus. `answered` hears what somebody
    chose, with the component's name."""

    def __init__(self, folder: Path = Path("/run/user"), *, silent: bool = False) -> None:
        self._folder = folder
        self._silent = silent
        self._open: dict[str, list[_Question]] = {}
        self.answered: Callable[[str, Answer], None] = lambda _component, _answer: None

    def __call__(self, word: Word, wish: Wish, reason: str, deadline: float) -> None:
        if not self._silent:
            threading.Thread(target=self._everywhere, args=(word, wish, reason, deadline), daemon=True).start()

    def _everywhere(self, word: Word, wish: Wish, reason: str, deadline: float) -> None:
        text = text_of(word, wish, reason, deadline)
        self._close(wish.component)
        buttons = word is Word.ASK and _on_the_path("notify-send")
        buses = sorted(self._folder.glob("*/bus"))
        shown = [self._asked(bus, wish) if buttons else self._told(bus, text) for bus in buses]
        if not any(shown) and _on_the_path("wall"):
            run(["wall", "--timeout", "2", text], LIMIT)

    def _asked(self, bus: Path, wish: Wish) -> bool:
        """A question with buttons on one user's desktop; whether it could be shown. It stays until it is answered."""
        component = str(wish.component)
        labels = {**BUTTONS, Answer.NOW: "Restart now"} if component == "restart" else BUTTONS
        actions = [f"--action={answer.value}={label}" for answer, label in labels.items()]
        # Line by line: its number is wanted while it waits.
        words = ["stdbuf", "-oL", "notify-send", "--print-id", "--app-name=Neurath", "--icon=system-software-update"]
        words += ["--expire-time=0", *actions]
        found = _session(bus)
        if found is None:
            return False
        process = subprocess.Popen(
            [*found.words, *words, "Software update", question(wish)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | found.more,
        )  # fmt: skip
        asked = _Question(found, process)
        self._open.setdefault(component, []).append(asked)
        threading.Thread(target=self._wait, args=(asked, component), daemon=True).start()
        asked.known.wait(LIMIT)
        return bool(asked.number)

    def _wait(self, asked: _Question, component: str) -> None:
        """notify-send says the number of what it shows, and in the end what was pressed."""
        assert asked.process.stdout is not None
        asked.number = asked.process.stdout.readline().decode(errors="replace").strip()
        asked.known.set()
        chosen = asked.process.stdout.read().decode(errors="replace").strip()
        asked.process.wait()
        if chosen in {answer.value for answer in Answer}:
            self._close(component)
            self.answered(component, Answer(chosen))

    def _close(self, component: str) -> None:
        """Takes back the questions about a component: there is a newer word, or somebody has answered one of them."""
        for asked in self._open.pop(component, []):
            asked.known.wait(LIMIT)
            if asked.process.poll() is None:
                asked.process.terminate()
                run([*asked.session.words, *CALL, f"{PLACE}.CloseNotification", asked.number], LIMIT, asked.session.more)

    def _told(self, bus: Path, text: str) -> bool:
        """Words on one user's desktop, by the standard notification service; as that user, for a bus answers nobody else."""
        words = [*CALL, f"{PLACE}.Notify", "Neurath", "0", "system-software-update", "Software update", text, "[]", "{}", "0"]
        found = _session(bus)
        return found is not None and run([*found.words, *words], LIMIT, found.more).good


@dataclass(slots=True)
class _Question:
    """One question on one desktop: who shows it, and the number by which it can be taken back."""

    session: _Session
    process: subprocess.Popen[bytes]
    number: str = ""
    known: threading.Event = field(default_factory=threading.Event)


class _Session(NamedTuple):
    """How a program is run in a user's session: what stands before it, and its environment."""

    words: list[str]
    more: dict[str, str]


def _session(bus: Path) -> _Session | None:
    try:
        owner = bus.stat().st_uid
    except OSError:
        return None
    more = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}", "XDG_RUNTIME_DIR": str(bus.parent)}
    other = os.geteuid() == 0 and owner != 0
    return _Session(["setpriv", f"--reuid={owner}", "--clear-groups"] if other else [], more)


def _on_the_path(program: str) -> bool:
    return any(os.access(Path(folder) / program, os.X_OK) for folder in os.get_exec_path())
