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

from neurath.terminal.consent import ASKED, NIGHT, Answer, Word
from neurath.terminal.gate import Wish
from neurath.terminal.software.hooks import run

#: A program that shows something has so many seconds.
LIMIT = 3.0
#: The standard notification service, and how it is called.
PLACE = "org.freedesktop.Notifications"
CALL = ["gdbus", "call", "--session", "--timeout", "2", "--dest", PLACE, "--object-path", "/org/freedesktop/Notifications"]
CALL += ["--method"]
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


@dataclass(frozen=True, slots=True)
class Tongue:
    """What a desktop shows, in one language. `amount` is filled in with KiB, `minutes` with their number."""

    title: str
    ready: str
    installed: str
    buttons: dict[Answer, str]
    restart: str
    much: str
    amount: str
    minutes: str

    def question(self, wish: Wish) -> str:
        """What people read above buttons that say the answers."""
        if wish.component == "restart":
            return self.installed.format(version=wish.version)
        what = f"{wish.component} {wish.version}".strip()
        return self.ready.format(what=what, name=wish.component, much=self._much(wish))

    def labels(self, wish: Wish) -> dict[Answer, str]:
        return {**self.buttons, Answer.NOW: self.restart} if wish.component == "restart" else self.buttons

    def _much(self, wish: Wish) -> str:
        """How much is to be fetched and how long that takes; nothing where it is here already."""
        if wish.here or not wish.size:
            return ""
        said = self.amount.format(-(-wish.size // 1024))
        minutes = max(1, round(wish.size / wish.rate / 60)) if wish.rate else 0
        return self.much.format(said + (self.minutes.format(minutes, "" if minutes == 1 else "s") if minutes else ""))


_NIGHT = f"{NIGHT // 3600:02}:00"
ENGLISH = Tongue(
    title="Software update",
    ready="An update for {what} is ready{much}. {name} must close first. If you do nothing, it waits until {name} is closed; "
    "nothing is lost.",
    installed="{version} is installed and counts from the next start of this machine. If you do nothing, it waits.",
    buttons={
        Answer.NOW: "Close and update",
        Answer.HOUR: "In 1 hour",
        Answer.TONIGHT: f"Tonight {_NIGHT}",
        Answer.NO: "Not now",
    },
    restart="Restart now",
    much=" ({})",
    amount="{:,} KiB",
    minutes=", about {} minute{}",
)
JAPANESE = Tongue(
    title="ソフトウェアの更新",
    ready="{what} の更新があります{much}。更新するには {name} を終了してください。"
    "何もしなければ、終了されるまで待ちます。データは失われません。",
    installed="{version} をインストールしました。次にこの機械を起動したときから有効になります。何もしなければ待ちます。",
    buttons={
        Answer.NOW: "終了して更新",
        Answer.HOUR: "1時間後",
        Answer.TONIGHT: f"今夜{_NIGHT}",
        Answer.NO: "今はしない",
    },
    restart="再起動",
    much="（{}）",
    amount="{:,} KiB",
    minutes="、約{}分",
)


def tongue() -> Tongue:
    """The machine's, as its service manager hands it on. Words by `wall` stay English: a console has no other letters."""
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return JAPANESE if said.startswith("ja") else ENGLISH


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
        component, words_of = str(wish.component), tongue()
        actions = [f"--action={answer.value}={label}" for answer, label in words_of.labels(wish).items()]
        # Line by line: its number is wanted while it waits.
        words = ["stdbuf", "-oL", "notify-send", "--print-id", "--app-name=Neurath", "--icon=system-software-update"]
        words += ["--expire-time=0", *actions]
        found = _session(bus)
        if found is None:
            return False
        process = subprocess.Popen(
            [*found.words, *words, words_of.title, words_of.question(wish)],
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
