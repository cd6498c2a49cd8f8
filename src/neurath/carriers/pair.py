"""The heartbeat of a high-availability pair over UDP: one node of the two, which asks the other and answers it, takes over
when it falls silent, and carries pieces on its answers. It knows one socket, one key and two addresses; it must never send
more because something is under way. Spec: docs/spec/pair.md."""

from __future__ import annotations

import contextlib
import logging
import queue
import shlex
import socket
import subprocess
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.base import Descriptor, Riding, Seen
from neurath.carriers.http import Place
from neurath.carriers.pair_roles import MISSES, Member
from neurath.clock import agreed
from neurath.errors import DataError, LinkError, RefusedError, UsageError
from neurath.wire import pair
from neurath.wire.pair import ROOM, Beat, Role

log = logging.getLogger(__name__)

#: Seconds until a heartbeat without an answer is lost.
PATIENCE = 1.0
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Settings:
    """One node's file. `terminal`: who the other one is on the server, "" where nothing is to ride to it; the commands run
    when this node takes over and when it stands back."""

    node: int
    address: Address
    peer: Address
    key: bytes
    misses: int = MISSES
    patience: float = PATIENCE
    terminal: str = ""
    tenant: str = "DEFAULT"
    on_active: str = ""
    on_standby: str = ""


class Node:
    """A running node. `beat` is its heartbeat; the other one's is answered in a thread, with what `riding` gives."""

    descriptor = Descriptor("pair", ROOM, "dynamic", False, True)

    def __init__(self, settings: Settings, riding: Riding | None = None) -> None:
        self.settings = settings
        self.member = Member(settings.node, settings.misses)
        self._riding = riding
        self._number = 0
        self._heard = 0
        self._answers: queue.SimpleQueue[Beat] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(settings.address)
        except OSError as fault:
            self._socket.close()
            place = ":".join(map(str, settings.address))
            raise RefusedError(f"cannot listen at {place}", fault.strerror or str(fault), "is it running already?") from None
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="pair", daemon=True)
        self._thread.start()

    @property
    def role(self) -> Role:
        return self.member.role

    def beat(self, state: bytes) -> bytes:
        """One heartbeat, one answer. LinkError where none comes: after some of them this node takes over."""
        # Never the same number twice, nor one that was foreseen: what was recorded answers nothing.
        self._number = max(self._number + 1, time.time_ns())
        with contextlib.suppress(queue.Empty):
            while True:
                self._answers.get_nowait()
        sent = Beat(self.settings.node, self.role, self.member.term, self._number, riding=state)
        with contextlib.suppress(OSError):  # no way there is no answer
            self._socket.sendto(pair.encode(sent, self.settings.key), self.settings.peer)
        answer = self._answer()
        self._is(self.member.silent() if answer is None else self.member.answered(answer))
        if answer is None:
            raise LinkError("the other half does not answer", f"{self.member.missed} heartbeats in a row", "is it running?")
        return answer.riding

    def _answer(self) -> Beat | None:
        end = time.monotonic() + self.settings.patience
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                found = self._answers.get(timeout=left)
                if found.number == self._number:
                    return found
        return None

    def _is(self, member: Member) -> None:
        before, self.member = self.member, member
        if member.role is before.role:
            return
        log.warning("node %s is %s now, term %s", member.node, member.role.name.lower(), member.term)
        command = self.settings.on_active if member.role is Role.ACTIVE else self.settings.on_standby
        if command:
            try:
                subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, start_new_session=True)
            except OSError as fault:
                log.error("%s cannot be run: %s", command, fault)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                data, whence = self._socket.recvfrom(4096)
                beat = pair.decode(data, self.settings.key)
            except (TimeoutError, ConnectionError):
                continue
            except DataError as fault:
                log.info("not our other half's: %s", fault.why)
                continue
            except OSError:
                return
            if beat.node == self.settings.node:
                continue  # our own, sent back to us
            if beat.answer:
                self._answers.put(beat)
            elif beat.number > self._heard:
                self._heard = beat.number
                self._reply(beat, whence)

    def _reply(self, beat: Beat, whence: Address) -> None:
        riding = b""
        if self._riding is not None and self.settings.terminal:
            seen = Seen(self.settings.terminal, "pair", f"{whence[0]}:{whence[1]}", self.settings.tenant)
            riding = self._riding.answer(seen, beat.riding or None, ROOM, agreed())
        told = Beat(self.settings.node, self.role, self.member.term, beat.number, True, riding if len(riding) <= ROOM else b"")
        with contextlib.suppress(OSError):
            self._socket.sendto(pair.encode(told, self.settings.key), whence)

    def close(self) -> None:
        """Answers no more. The role ends with it: a node that comes back begins as a standby."""
        self._ended.set()
        self._thread.join()
        self._socket.close()


def settings(path: str | Path) -> Settings:
    """Reads one node's file; UsageError with the field's name."""
    try:
        told = tomllib.loads(Path(path).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} is no TOML", str(fault), "docs/spec/pair.md shows one") from None
    made: dict[str, object] = {}
    for name, kind in _FIELDS.items():
        if name in told:
            made[name] = kind(path, name, told[name])
    unknown = set(told) - set(_FIELDS)
    missing = {"node", "address", "peer", "key"} - set(told)
    if unknown or missing:
        why = f"unknown: {sorted(unknown)}" if unknown else f"missing: {sorted(missing)}"
        raise UsageError(f"{path} is not a node's file", why, "docs/spec/pair.md shows one")
    return Settings(**made)  # type: ignore[arg-type]  # each was checked by its kind


def _wrong(path: str | Path, name: str, wanted: str) -> UsageError:
    return UsageError(f"{path}: {name} must be {wanted}", "it is not", "docs/spec/pair.md shows one")


def _text(path: str | Path, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(path, name, "a text")
    return value


def _number(path: str | Path, name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (name == "node" and value > 2):
        raise _wrong(path, name, "1 or 2" if name == "node" else "a number above 0")
    return value


def _seconds(path: str | Path, name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise _wrong(path, name, "seconds")
    return float(value)


def _place(path: str | Path, name: str, value: object) -> Address:
    host, _, port = _text(path, name, value).rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise _wrong(path, name, "HOST:PORT")
    return host, int(port)


def _key(path: str | Path, name: str, value: object) -> bytes:
    try:
        found = bytes.fromhex(_text(path, name, value))
    except ValueError:
        found = b""
    if len(found) < pair.MIN_KEY:
        raise _wrong(path, name, f"{pair.MIN_KEY} bytes or more in hexadecimal")
    return found


_FIELDS = {
    "node": _number, "address": _place, "peer": _place, "key": _key, "misses": _number, "patience": _seconds,
    "terminal": _text, "tenant": _text, "on_active": _text, "on_standby": _text,
}  # fmt: skip


def rides(spec: str, place: Place) -> Node:
    """`pair:FILE.toml`: this node of the pair, its heartbeat the terminal's."""
    return Node(settings(spec.partition(":")[2]))
