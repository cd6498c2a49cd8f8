"""The control socket of an agent: one JSON object a line in, one a line out, for the people and programs of this machine. It
knows a Unix socket and who asked what; it must never decide, nor be reachable over a network. Spec: docs/spec/control.md."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurath.errors import DataError, LinkError, NeurathError

#: No line of a request is longer, bytes; no more connections at a time.
MOST = 4096
CONNECTIONS = 32

#: ask(who, request) -> what is answered; NeurathError for a no. `who` names the connection.
Ask = Callable[[str, Mapping[str, Any]], Mapping[str, object]]


class Control:
    """Serves the socket in threads of its own; `gone(who)` is called when a connection ends."""

    def __init__(self, path: Path, ask: Ask, gone: Callable[[str], None], group: str = "") -> None:
        self._path = path
        self._ask = ask
        self._gone = gone
        self._ended = threading.Event()
        self._listeners: dict[str, queue.Queue[Mapping[str, object]]] = {}
        self._count = 0
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(old)
        if group:
            import grp  # an agent without such a group is smaller by it

            os.chown(path, -1, grp.getgrnam(group).gr_gid)
            path.chmod(0o660)
        self._socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def tell(self, event: Mapping[str, object]) -> None:
        """Says something to everybody who listens; whoever does not read misses it."""
        for listener in list(self._listeners.values()):
            with contextlib.suppress(queue.Full):
                listener.put_nowait(event)

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                link.close()
                continue
            self._count += 1
            threading.Thread(target=self._talk, args=(link, f"link {self._count}"), daemon=True).start()

    def _talk(self, link: socket.socket, who: str) -> None:
        try:
            with link, link.makefile("rb") as lines:
                while line := lines.readline(MOST):
                    self._answer(link, who, line)
        except OSError:
            return  # it went away
        finally:
            self._listeners.pop(who, None)
            self._gone(who)
            self._room.release()

    def _answer(self, link: socket.socket, who: str, line: bytes) -> None:
        try:
            request = _request(line)
            if request["do"] == "listen":
                self._listen(link, who)
                return
            answer: Mapping[str, object] = {"ok": True} | dict(self._ask(who, request))
        except NeurathError as fault:
            answer = {"ok": False, "error": fault.id, "what": fault.what, "why": fault.why, "try": fault.hint}
        _say(link, answer)

    def _listen(self, link: socket.socket, who: str) -> None:
        """From now on every event, until the connection ends."""
        mine = self._listeners.setdefault(who, queue.Queue(256))
        _say(link, {"ok": True})
        while not self._ended.is_set():
            try:
                _say(link, mine.get(timeout=15))
            except queue.Empty:
                _say(link, {"event": "alive"})


def _request(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("do"), str) or not line.endswith(b"\n"):
        raise DataError("this is not a request", "one JSON object a line, with `do`", "see docs/spec/control.md", id="NRT-289")
    return found


def _say(link: socket.socket, words: Mapping[str, object]) -> None:
    link.sendall(json.dumps(words).encode() + b"\n")


def request(path: Path, words: Mapping[str, object], seconds: float = 10.0) -> dict[str, Any]:
    """Asks a running agent; its answer. LinkError where none answers, and its own error where it says no."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(seconds)
            link.connect(str(path))
            _say(link, words)
            with link.makefile("rb") as lines:
                line = lines.readline(1 << 20)
    except (OSError, ValueError) as fault:
        hint = "is `neurath agent run` running here?"
        raise LinkError(f"no agent answers at {path}", str(fault), hint, id="NRT-424") from None
    answer = dict(json.loads(line or b"{}"))
    if not answer.get("ok"):
        what, why, hint = (str(answer.get(key, "")) for key in ("what", "why", "try"))
        raise NeurathError(
            what or "the agent ended the talk", why, hint, id=str(answer.get("error") or NeurathError.default_id)
        )
    return answer
