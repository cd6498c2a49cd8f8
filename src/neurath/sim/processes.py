"""Real processes of the command line, started and ended by id. It knows how a verb is run and how its lines are read; it
must never end a process that it did not start."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurath.errors import NeurathError

COMMAND = (sys.executable, "-m", "neurath.cli.main")
#: Seconds that one short verb may take.
VERB_TIME = 120
#: First and last port that Linux gives to whoever asks for any, or connects (ip(7)).
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES = 200
_given: set[int] = set()


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a process: what it said as JSON, or the end of the process with its exit code."""

    who: str
    record: Mapping[str, Any]
    ended: int | None = None


def verb(*words: str | Path) -> list[Mapping[str, Any]]:
    """Runs a short verb with --json to its end; its result lines (docs/spec/lines.md). A failed verb raises what it said."""
    argv = [*COMMAND, *map(str, words), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=VERB_TIME, check=False)
    return results(words, done.returncode, done.stdout, done.stderr)


def results(words: Sequence[str | Path], code: int, stdout: str, stderr: str) -> list[Mapping[str, Any]]:
    """The result lines of a verb that ended with this code and said this."""
    if code:
        raise failure(" ".join(map(str, words[:2])), code, stderr)
    records = [record for line in stdout.splitlines() if (record := _record(line)) is not None]
    return [record for record in records if "event" not in record]


def failure(what: str, code: int, stderr: str) -> NeurathError:
    """What a verb that ended with this code said, as an error of ours."""
    lines = stderr.strip().splitlines()
    said = _record(lines[-1]) if lines else None
    if said and "what" in said:
        return NeurathError(
            f"{what}: {said['what']}", str(said.get("why", "")), str(said.get("try", "")), id=str(said["error"])
        )
    return NeurathError(f"`neurath {what}` ended with {code}", lines[-1] if lines else "it said nothing", "see its log")


def _record(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Running:
    """One long-lived process; what it says goes to a queue and, with its errors, to a log file."""

    def __init__(self, who: str, words: Sequence[str | Path], log: Path, heard: queue.Queue[Said]) -> None:
        self.who = who
        self.log = log
        self._heard = heard
        self._errors = log.open("ab")
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # Ctrl-C is for the one who tells the story; the others are ended by it, in order.
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                record = _record(line)
                if record is not None:
                    self._heard.put(Said(self.who, record))
        self._heard.put(Said(self.who, {}, ended=self.process.wait()))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self, seconds: float = 5) -> None:
        """Asks the process to end, then ends it."""
        if self.alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        if self.alive:
            self.process.kill()
            self.process.wait()
        self._reader.join(2)
        self._errors.close()

    def last_words(self) -> str:
        """The last line of the log, for an error message."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][:300] if lines else "it said nothing"


def was_killed(code: int | None) -> bool:
    """True when a process ended as by a power cut."""
    return code == -signal.SIGKILL


def free_port() -> int:
    """A port of loopback at which nothing listens, TCP or UDP: another one at each call. The kernel never hands it to a
    program that only asks for any port, or only connects; so it stays free, and a server that ends can listen at it again."""
    for port in random.SystemRandom().sample(_ports(), TRIES):
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("127.0.0.1", port))
            datagrams.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise NeurathError("no port is free", f"{TRIES} were tried", "end what holds so many; `ss -lntup` shows it", id="NRT-412")


def _ports() -> range:
    """Those that no privilege is needed for and that the kernel gives nobody by itself; where there are none such, all."""
    try:
        low = int(LOCAL_PORTS.read_text().split()[0])
    except OSError:
        low = 32768
    return range(10_000, low) if low > 10_000 + TRIES else range(10_000, 1 << 16)
