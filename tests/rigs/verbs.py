"""Verbs started by a process that has loaded what they need: each runs in a child of its own, as from a shell, without the
second that loading takes. It must never run one in the test's own process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

#: Loaded once: what most verbs import, nothing that starts a thread.
LOADED = "neurath.server.app neurath.server.software.catalog neurath.delta neurath.station.stock neurath.sim.power alembic"
#: The process itself: for each request a child with its own words, directory, limit of file sizes and voices.
READY = f"""
import importlib, json, os, resource, signal, socket, sys
sys.dont_write_bytecode = True
from neurath.cli.main import main
for name in {LOADED!r}.split():
    importlib.import_module(name)
def child(asked, fds):
    os.setsid()
    os.chdir(asked["folder"])
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

    def run(self, words: list[str], folder: Path, disk: int | None = None, seconds: float = 120) -> Done:
        """The verb, in this directory; with `disk`, no file may grow beyond so many bytes, as on a full disk."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        pipes = [os.pipe(), os.pipe()]
        asked = {"words": words, "folder": str(folder), "disk": disk}
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
        self._line.close()
        self._process.wait()
