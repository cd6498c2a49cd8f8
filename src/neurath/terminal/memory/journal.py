"""What was asked of services for the sake of an update, written down before it is done, so that it is undone whatever becomes
of the agent: at its next start, or at once by a tiny process that waits for its end. It knows how things are undone; it must
never do anything else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from neurath.terminal.software.fs import Fs
from neurath.terminal.software.hooks import run

#: Seconds a command that starts a service again may take.
LIMIT = 60.0
#: What the guard runs when the agent has ended.
_UNDO = "import sys, pathlib; from neurath.terminal.memory import journal as j; j.Journal(pathlib.Path(sys.argv[1])).undo()"


@dataclass(frozen=True, slots=True)
class Undo:
    """One thing to be undone for a service: a text into a file, or a command."""

    service: str
    file: str = ""
    text: str = ""
    words: tuple[str, ...] = ()

    def do(self) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # the group is gone: there is nothing to undo
                Path(self.file).write_text(self.text)
        if self.words:
            run(self.words, LIMIT)


class Journal:
    """The list of what is to be undone, on its medium; and, while it is not empty, the process that waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fs = Fs()
        self._guard: subprocess.Popen[bytes] | None = None

    def read(self) -> list[Undo]:
        try:
            found = json.loads(self._path.read_text())
            return [Undo(str(o["service"]), str(o["file"]), str(o["text"]), tuple(map(str, o["words"]))) for o in found]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def write(self, undos: list[Undo]) -> None:
        """On the medium when this returns; the guard stands as long as there is anything to undo."""
        if not undos:
            self._fs.remove(self._path)
            self._dismiss()
            return
        self._fs.mkdir(self._path.parent, 0o700)
        rows = [{"service": one.service, "file": one.file, "text": one.text, "words": one.words} for one in undos]
        self._fs.put(self._path, json.dumps(rows).encode())
        if self._guard is None:
            self._guard = _guard(self._path)

    def undo(self) -> list[str]:
        """Undoes everything, the last first; names of the services. Harmless when there is nothing."""
        undos = self.read()
        for one in reversed(undos):
            one.do()
        if undos:
            self._fs.remove(self._path)
        self._dismiss()
        return [one.service for one in undos]

    def _dismiss(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.write(b"\n")
                self._guard.stdin.close()
            self._guard.wait(10)
            self._guard = None


def _guard(path: Path) -> subprocess.Popen[bytes]:
    """A shell that waits for a word. The end of the agent is the end of its input, and then all is undone."""
    words = ["sh", "-c", 'read -r word || exec "$@"', "neurath-guard", sys.executable, "-c", _UNDO, str(path)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True, env=dict(os.environ))
