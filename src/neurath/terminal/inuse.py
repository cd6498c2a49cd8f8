"""Is the software in use at this moment? A gate that looks at real processes: who runs a file, has it mapped or open, who
holds a lock, what an operator's command says. It knows /proc and nothing of updates; it must never end, stop or touch a
process. What it cannot see: docs/how-to/in-use.md."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from neurath.ids import ComponentName
from neurath.terminal.gate import Wish
from neurath.terminal.machine.events import MayInstall, MayNot
from neurath.terminal.setup import Uses

#: Uses that end without the end of a process (a file closed, a lock let go) are noticed so soon, seconds.
LOOK = 0.5
#: An operator's command answers within this, seconds, or counts as "in use".
COMMAND_TIME = 2.0
#: A use whose end nobody could notice is asked about again after this, seconds.
AGAIN = 60.0
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True, order=True)
class User:
    """Who uses it: a process (`pid` 0: one that cannot be named), its name, and how it does."""

    pid: int
    name: str
    how: str


class Subject(Protocol):
    """Something that may be in use."""

    def users(self, among: Collection[int] | None = None) -> list[User]:
        """Who uses it now; `among`: only these processes are of interest (an exact answer about others is not needed)."""
        ...


class FileInUse:
    """A file, or everything below a directory: run, mapped or open, also by the name it had before it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = os.path.realpath(path)

    def users(self, among: Collection[int] | None = None) -> list[User]:
        mark = self._mark()
        found = []
        for pid in _pids() if among is None else sorted(among):
            if pid == os.getpid():
                continue
            # Gone meanwhile, or another user's: what cannot be seen is not counted.
            with suppress(OSError):
                how = self._how(pid, mark)
                if how:
                    found.append(User(pid, _name(pid), how))
        return found

    def _mark(self) -> tuple[int, int] | None:
        """(device, inode) of what lies there now; hard links and other mounts lead to the same."""
        with suppress(OSError):
            found = os.stat(self._path)
            return found.st_dev, found.st_ino
        return None

    def _how(self, pid: int, mark: tuple[int, int] | None) -> str:
        if self._is(f"/proc/{pid}/exe", mark):
            return "runs it"
        if self._mapped(pid, mark):
            return "maps it"
        folder = f"/proc/{pid}/fd"
        return "has it open" if any(self._is(f"{folder}/{fd}", mark) for fd in os.listdir(folder)) else ""

    def _is(self, link: str, mark: tuple[int, int] | None) -> bool:
        with suppress(FileNotFoundError):
            target = os.readlink(link)
            if self._named(target):
                return True
            if mark is not None and target.startswith("/") and not target.startswith("/dev/"):
                found = os.stat(link)
                return (found.st_dev, found.st_ino) == mark
        return False

    def _named(self, text: str) -> bool:
        plain = text.removesuffix(_DELETED)
        return plain == self._path or plain.startswith(self._path.rstrip("/") + "/")

    def _mapped(self, pid: int, mark: tuple[int, int] | None) -> bool:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as source:
            text = source.read()
        inode = f" {mark[1]} " if mark else "\0"
        if self._path not in text and inode not in text:
            return False
        for line in text.splitlines():
            parts = line.split(None, 5)
            if len(parts) == 6 and (self._named(parts[5]) or (mark is not None and _same(parts[3], parts[4], mark))):
                return True
        return False


class LockInUse:
    """A lock file: somebody holds flock() or a POSIX lock on it. To find out, the lock is taken and let go at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def users(self, among: Collection[int] | None = None) -> list[User]:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as fault:
            return [User(0, str(self._path), f"cannot be looked at ({fault.strerror})")]
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(handle, fcntl.LOCK_UN)
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self._holders(os.fstat(handle).st_ino)
        finally:
            os.close(handle)
        return []

    def _holders(self, inode: int) -> list[User]:
        """Who holds it; a holder in another PID namespace has no number here."""
        found = set()
        with suppress(OSError), open("/proc/locks", encoding="ascii") as source:
            for line in source:
                parts = line.split()
                if "->" not in parts and parts[5].rsplit(":", 1)[-1] == str(inode) and int(parts[4]) > 0:
                    found.add(User(int(parts[4]), _name(int(parts[4])), f"has locked {self._path.name}"))
        return sorted(found) or [User(0, "somebody", f"has locked {self._path.name}")]


class CommandInUse:
    """An operator's command: exit code 0 means in use, its first line says by whom. One that cannot be asked counts as yes."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def users(self, among: Collection[int] | None = None) -> list[User]:
        try:
            done = subprocess.run(
                self._words, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIME, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            return [User(0, self._words[0], f"cannot be asked ({type(fault).__name__})")]
        if done.returncode != 0:
            return []
        said = done.stdout.decode(errors="replace").strip().splitlines()
        return [User(0, self._words[0], f"says: {said[0][:100]}" if said else "says that it is in use")]


class UnitInUse:
    """A systemd unit that is active."""

    def __init__(self, unit: str) -> None:
        self._unit = unit

    def users(self, among: Collection[int] | None = None) -> list[User]:
        words = ["systemctl", "show", "--property=ActiveState,MainPID", "--value", self._unit]
        try:
            done = subprocess.run(words, capture_output=True, timeout=COMMAND_TIME, check=False, text=True)
        except (OSError, subprocess.TimeoutExpired) as fault:
            return [User(0, self._unit, f"cannot be asked about ({type(fault).__name__})")]
        said = done.stdout.split()
        pid = next((int(word) for word in said if word.isdigit()), 0)
        if done.returncode != 0:
            return [User(0, self._unit, f"cannot be asked about (systemctl ended with {done.returncode})")]
        busy = bool({"active", "activating", "reloading", "deactivating"} & set(said))
        return [User(pid, self._unit, "is active")] if busy else []


def subjects(uses: Uses) -> list[Subject]:
    """What has to end, out of a setup."""
    found: list[Subject] = [FileInUse(path) for path in uses.paths]
    found += [LockInUse(path) for path in uses.locks]
    found += [UnitInUse(unit) for unit in uses.units]
    return found + [CommandInUse(words) for words in uses.commands]


class InUse:
    """The gate. No while anybody uses any of the subjects; `ended` is called, from a thread of its own, when that has ended:
    at the exit of a process at once (pidfd), else within LOOK."""

    def __init__(self, subjects: Sequence[Subject], ended: Callable[[], None] = lambda: None) -> None:
        self._subjects = list(subjects)
        self._ended = ended
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._stop = threading.Event()

    def users(self, among: Collection[int] | None = None) -> list[User]:
        """Everybody who uses any of it."""
        return sorted({one for subject in self._subjects for one in subject.users(among)})

    def may_install(self, wish: Wish, now: float) -> MayInstall | MayNot:
        found = self.users()
        if not found:
            return MayInstall()
        self.watch(found)
        return MayNot(reason_of(found), until=now + AGAIN)

    def forget(self, component: ComponentName) -> None:
        """Nothing was kept."""

    def remind(self, text: str) -> None:
        """Nobody is asked."""

    def close(self) -> None:
        """Watches no more."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join(LOOK + COMMAND_TIME * len(self._subjects) + 1)

    def watch(self, found: list[User]) -> None:
        """Calls `ended` when these, and whoever follows them, have ended their use."""
        with self._lock:
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._until_free, args=(found,), daemon=True)
                self._watcher.start()

    def _until_free(self, found: list[User]) -> None:
        while found and not self._stop.is_set():
            pids = {one.pid for one in found if one.pid}
            with _Exits(pids) as exits:
                # Those known are watched closely; everybody is looked at again only when they are done.
                while found and not self._stop.is_set():
                    exits.wait(LOOK)
                    found = self.users(pids)
            found = self.users()
        if not self._stop.is_set():
            self._ended()


class _Exits:
    """Waits for the exit of any of these processes."""

    def __init__(self, pids: Collection[int]) -> None:
        self._poll = select.poll()
        self._handles: set[int] = set()
        for pid in pids:
            with suppress(OSError):  # gone already, or a kernel before 5.3: the next look tells
                handle = os.pidfd_open(pid)
                self._handles.add(handle)
                self._poll.register(handle, select.POLLIN)

    def __enter__(self) -> _Exits:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            os.close(handle)

    def wait(self, seconds: float) -> None:
        for handle, _ in self._poll.poll(seconds * 1000):
            self._poll.unregister(handle)


def reason_of(found: Sequence[User]) -> str:
    """Who uses it, in a person's words."""
    named = [_plain(one) for one in found]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"in use: {', '.join(named[:3])}{more}; it goes on when that has ended"


def _plain(one: User) -> str:
    return f"{one.name}{f' (pid {one.pid})' if one.pid else ''} {one.how}"


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() or "a process"
    except OSError:
        return "a process"


def _same(device: str, inode: str, mark: tuple[int, int]) -> bool:
    """Whether a line of maps is about this file."""
    major, minor = (int(part, 16) for part in device.split(":"))
    return inode == str(mark[1]) and os.makedev(major, minor) == mark[0]
