"""Several processes that serve behind one listening socket: begun, begun again when one ends by itself, and ended together.
It knows processes and signals; it must never know what they serve. It forks before anything heavy is imported or any thread
runs."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: A worker that ended by itself begins again after this, seconds.
AGAIN = 1.0
#: What says that it is ready, and where its carriers are.
Ready = Callable[[dict[str, str]], None]
#: The work of the n-th worker; gives its exit code.
Work = Callable[[int, Ready], int]


@dataclass(slots=True)
class Crew:
    """`count` workers; `said` is called once when all of them are ready the first time."""

    count: int
    work: Work
    said: Ready
    _workers: dict[int, int] = field(default_factory=dict)  # process -> number
    _ready: set[int] = field(default_factory=set)
    _places: dict[str, str] = field(default_factory=dict)
    _over: bool = False

    def run(self) -> int:
        """Until SIGINT or SIGTERM, or until a worker ends before it was ready once: its exit code then."""
        news, tell = os.pipe()
        alive, held = os.pipe()  # whoever reads learns when this process is gone, however it ended
        for told in (signal.SIGINT, signal.SIGTERM):
            signal.signal(told, self._end)
        for number in range(self.count):
            self._begin(number, (news, tell, alive, held))
        failed = 0
        with selectors.DefaultSelector() as waiting:
            waiting.register(news, selectors.EVENT_READ)
            while self._workers:
                if waiting.select(0.2):
                    self._hear(os.read(news, 65536))
                failed = self._reap((news, tell, alive, held)) or failed
        return failed

    def _end(self, *_signal: object) -> None:
        self._over = True
        for process in self._workers:
            os.kill(process, signal.SIGTERM)

    def _hear(self, data: bytes) -> None:
        before = len(self._ready) == self.count
        for line in data.splitlines():  # each was one write below PIPE_BUF: it is whole
            number, places = json.loads(line)
            self._ready.add(number)
            self._places |= places
        if not before and len(self._ready) == self.count:
            self.said(self._places)

    def _reap(self, pipes: tuple[int, int, int, int]) -> int:
        """Begins again what ended; the exit code of one that never was ready, and so ends all, else 0."""
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return 0
            number = self._workers.pop(process)
            code = os.waitstatus_to_exitcode(status)
            if self._over:
                continue
            if number not in self._ready:
                self._end()
                return code if code > 0 else 1
            sys.stderr.write(f"worker {number} ended ({code}); it begins again\n")
            time.sleep(AGAIN)
            self._begin(number, pipes)
        return 0

    def _begin(self, number: int, pipes: tuple[int, int, int, int]) -> None:
        news, tell, alive, held = pipes
        process = os.fork()
        if process:
            self._workers[process] = number
            return
        code = 1
        try:
            for own in (signal.SIGINT, signal.SIGTERM):
                signal.signal(own, signal.SIG_DFL)
            os.close(news)
            os.close(held)
            threading.Thread(target=_follow, args=(alive,), daemon=True).start()
            code = self.work(number, lambda places: _tell(tell, number, places))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _tell(pipe: int, number: int, places: dict[str, str]) -> None:
    os.write(pipe, json.dumps([number, places]).encode() + b"\n")


def _follow(alive: int) -> None:
    """Ends this process in an orderly way when the first one is gone."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
