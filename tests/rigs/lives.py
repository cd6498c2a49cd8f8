"""A server with many lives: one process has loaded everything and holds the listening socket; each life is forked from it,
serves as `neurath serve` does, and is killed. It knows processes; it must never kill one that is not a life of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The descriptor that systemd would hand over.
HELD = 3


@dataclass(slots=True)
class Lives:
    """One at a time, each on what `words` say; `pid` is the present life's."""

    mother: subprocess.Popen[str]
    port: int
    words: tuple[str, ...] = ()
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def life(self, *words: str) -> Iterator[None]:
        """One on what these words say, and others after it, until the end of the block."""
        self.words = words
        self.begin()
        try:
            yield
        finally:
            self.kill()

    def begin(self) -> None:
        """Another life, as soon as it serves."""
        assert self.mother.stdin is not None
        self.mother.stdin.write(json.dumps(self.words) + "\n")
        self.mother.stdin.flush()
        self.pid = int(self._said("pid"))
        self._said("url")

    def kill(self) -> None:
        """-9, and until the process is gone."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._said("ended") == -signal.SIGKILL

    def _said(self, name: str) -> int | str:
        assert self.mother.stdout is not None
        line = self.mother.stdout.readline()
        if not line:
            raise RuntimeError("the server's mother is gone")
        said = json.loads(line)
        assert name in said, said
        return said[name]  # type: ignore[no-any-return]


@contextlib.contextmanager
def lives(log: Path) -> Iterator[Lives]:
    """None has begun; the last one ends with the block. What they complain of goes to the log."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        held = listener.fileno()
        line = [sys.executable, "-m", "tests.rigs.lives", str(held)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with log.open("ab") as complaints:
            mother = subprocess.Popen(line, **pipes, stderr=complaints, cwd=ROOT, pass_fds=[held])
        port = listener.getsockname()[1]
    try:
        yield Lives(mother, port)
    finally:
        assert mother.stdin is not None
        mother.stdin.close()
        mother.wait(60)


def _mother(listener: int) -> None:
    """Forks a life for each line that comes, and says how each ended. When there are no more lines, the last one ends too."""
    if listener != HELD:
        os.dup2(listener, HELD, inheritable=False)  # before anything else is opened there
    # Whatever a life would import when it begins. No thread may run here: they do not survive a fork.
    import neurath.cli.serving
    import neurath.console.live
    import neurath.console.pages
    import neurath.server.app  # noqa: F401

    living: list[int] = []

    def end(_signal: int, _frame: object) -> None:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended:
            living.remove(ended)  # its number may be another's by now
            _say({"ended": os.waitstatus_to_exitcode(status)})

    signal.signal(signal.SIGCHLD, end)
    while line := sys.stdin.readline():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        life = os.fork()
        if not life:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            os._exit(_life(json.loads(line)))
        living.append(life)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for life in living:
        os.kill(life, signal.SIGKILL)


def _life(words: list[str]) -> int:
    from neurath.cli.main import main

    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    _say({"pid": os.getpid()})
    return main(["serve", *words, "--json"])


def _say(what: dict[str, object]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    _mother(int(sys.argv[1]))
