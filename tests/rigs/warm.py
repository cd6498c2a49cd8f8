"""A process that has loaded everything `neurath` may need, inside one network, and forks for each command that is typed: pages
of a hundred commands run in seconds. It knows argument lists and exit codes; it must never run a command itself."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What verbs load when they run, and not before.
HEAVY = ("neurath.server.app", "neurath.console.pages", "neurath.cli.serving", "neurath.station.run", "neurath.terminal.agent")
HEAVY += ("neurath.carriers.coap", "neurath.carriers.mqtt", "uvicorn", "httpx")
_NEWNET = 0x40000000


@dataclass
class Warm:
    """The near end. `start` gives a process id; `wait` its exit code, below 0 where a signal ended it."""

    process: subprocess.Popen[str]
    _codes: dict[int, int] = field(default_factory=dict)

    def start(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path, text: str = "", *, net: str = ""
    ) -> int:
        """`text` is what somebody types into it; `net` the name of the network that it runs in, where that is another."""
        assert self.process.stdin is not None
        order = {"argv": list(argv), "cwd": str(cwd), "env": dict(env), "log": str(log), "text": text, "net": net}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        while (said := self._hear()) is not None and "begun" not in said:
            self._codes[said["pid"]] = said["code"]
        assert said is not None, "the warm process is gone"
        return said["begun"]

    def wait(self, pid: int) -> int:
        while pid not in self._codes:
            said = self._hear()
            assert said is not None, "the warm process is gone"
            self._codes[said["pid"]] = said["code"]
        return self._codes[pid]

    def over(self, pid: int) -> bool:
        """Whether it has ended already."""
        return not Path(f"/proc/{pid}").exists()

    def _hear(self) -> dict[str, int] | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None


@contextlib.contextmanager
def running(within: Sequence[str]) -> Iterator[Warm]:
    """A warm process, begun by the words that enter its network; its children end with it."""
    words = [*within, sys.executable, "-m", "tests.rigs.warm"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            yield Warm(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _child(order: Mapping[str, object]) -> int:
    """The command, as a process that was started for it has it."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    if order["net"]:
        _moves(Path("/run/netns", str(order["net"])))
    os.chdir(str(order["cwd"]))
    os.environ.clear()
    os.environ.update(order["env"])  # type: ignore[arg-type]
    given, end = os.pipe()
    os.write(end, str(order["text"]).encode())
    os.close(end)
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, place in enumerate((given, log, log)):
        os.dup2(place, number)
    argv = [str(word) for word in order["argv"]]  # type: ignore[attr-defined]
    sys.argv = ["neurath", *argv]
    from neurath.cli.main import main

    try:
        return main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 99


def _moves(net: Path) -> None:
    """Into another network from now on."""
    with net.open() as inside:
        if ctypes.CDLL(None, use_errno=True).setns(inside.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", str(net))


def _serve() -> None:
    """Reads orders, forks, and says who ended; ends what is left when nobody gives orders any more."""
    living: dict[int, int] = {}  # file descriptors of processes, and their numbers
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    held = b""
    while True:
        for key, _ in waiting.select():
            if key.fd in living:
                waiting.unregister(key.fd)
                pid = living.pop(key.fd)
                os.close(key.fd)
                _say(pid=pid, code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            elif block := os.read(0, 65536):
                *lines, held = (held + block).split(b"\n")
                for line in lines:
                    pid = _forked(json.loads(line))
                    waiting.register(handle := os.pidfd_open(pid), selectors.EVENT_READ)
                    living[handle] = pid
                    _say(begun=pid)
            else:
                for pid in living.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                return


def _forked(order: Mapping[str, object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = _child(order)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return pid


def _say(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    from neurath.cli.main import VERBS

    for verb, _ in VERBS.values():
        importlib.import_module(f"neurath.cli.{verb}")
    for name in HEAVY:
        importlib.import_module(name)
    _serve()
