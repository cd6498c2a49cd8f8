"""Verbs started by a process that has loaded what they need: each runs in a child of its own, as from a shell, without the
second that loading takes. `verb` is what a test says for whom a verb prepares or looks; who shows how the program starts, or
counts what it costs, starts it itself (neurath.sim.processes). It must never run one in the test's own process."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from neurath.sim import processes

#: Loaded once: what most verbs import, nothing that starts a thread.
LOADED = "neurath.server.app neurath.server.software.catalog neurath.delta neurath.station.stock neurath.sim.power alembic"
#: Seconds within which it ends by itself.
END = 30.0
#: The process itself: for each request a child with its own words, directory, limit of file sizes and voices.
READY = f"""
import faulthandler, importlib, json, os, resource, signal, socket, sys
faulthandler.enable()
sys.dont_write_bytecode = True
from neurath.cli.main import main
for name in {LOADED!r}.split():
    importlib.import_module(name)
def child(asked, fds):
    os.setsid()
    os.chdir(asked["folder"])
    if asked["env"] is not None:
        os.environ.clear()
        os.environ.update(asked["env"])
    for number, fd in zip((0, 1, 2), fds):
        os.dup2(fd, number)
    os.closerange(3, 64)
    if asked["disk"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["disk"], asked["disk"]))
    try:
        code = main(asked["words"])
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 1
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)
line = socket.socket(fileno=int(sys.argv[1]))
while True:
    raw, fds, _, _ = socket.recv_fds(line, 1 << 16, 3)
    if not raw:
        break
    pid = os.fork()
    if pid == 0:
        child(json.loads(raw), fds)
    for fd in fds:
        os.close(fd)
    line.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    line.send(str(os.waitstatus_to_exitcode(status)).encode())
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a verb said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


class Verbs:
    """One such process; it ends with `close`."""

    def __init__(self) -> None:
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {name: value for name, value in os.environ.items() if not name.startswith("NEURATH_")}
        words = [sys.executable, "-c", READY, str(far.fileno())]
        self._process = subprocess.Popen(words, pass_fds=[far.fileno()], env=env)
        far.close()

    def run(
        self,
        words: list[str],
        folder: Path,
        disk: int | None = None,
        seconds: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """The verb, in this directory; with `disk`, no file may grow beyond so many bytes, as on a full disk; with `env`, in
        this environment."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        pipes = [os.pipe(), os.pipe()]
        asked = {"words": words, "folder": str(folder), "disk": disk, "env": None if env is None else dict(env)}
        socket.send_fds(self._line, [json.dumps(asked).encode()], [nothing, pipes[0][1], pipes[1][1]])
        for fd in (nothing, pipes[0][1], pipes[1][1]):
            os.close(fd)
        pid = int(self._line.recv(64))
        late = threading.Timer(seconds, os.killpg, (pid, 9))
        late.start()
        heard = ["", ""]

        def hear(at: int) -> None:
            with open(pipes[at][0], encoding="utf-8", errors="replace") as voice:
                heard[at] = voice.read()

        ears = [threading.Thread(target=hear, args=(at,)) for at in (0, 1)]
        for one in ears:
            one.start()
        code = int(self._line.recv(64))
        late.cancel()
        for one in ears:
            one.join()
        return Done(code, *heard)

    def close(self) -> None:
        # Not by closing our end alone: whatever was forked here in between has that end too.
        self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # it says where it stood; what it did for tests was done
            self._process.wait()


#: The network a process of this test's would be in: another one than at first while the test has entered a namespace.
NETWORK = Path("/proc/thread-self/ns/net")
HOME = NETWORK.readlink()
_busy = threading.Lock()


@cache
def _ready() -> Verbs:
    """One for all tests of this process."""
    made = Verbs()
    atexit.register(made.close)
    return made


def verb(*words: str | Path) -> list[Mapping[str, Any]]:
    """As neurath.sim.processes.verb. In another network, and beside a verb that has not ended, it is a process from the
    start."""
    if NETWORK.readlink() != HOME or not _busy.acquire(blocking=False):
        return processes.verb(*words)
    try:
        done = _ready().run([*map(str, words), "--json"], Path.cwd(), seconds=processes.VERB_TIME, env=os.environ)
    finally:
        _busy.release()
    return processes.results(words, done.returncode, done.stdout, done.stderr)
