"""A NOR flash as a network block device: an emulator that uses it as its flash sends every erase and every program here, one
after the other, and its processor stands still until it is answered. It knows NBD and how a torn operation may end; it must
never let a bit go from 0 to 1 but by an erase without counting it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

Tear = Literal["before", "early", "late", "after", "random"]
TEARS: tuple[Tear, ...] = ("before", "early", "late", "after", "random")

_OPTION = struct.Struct(">QII")
_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_ANSWER = struct.Struct(">IIQ")
_OPTION_MAGIC = 0x49484156454F5054
_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFO_REPLY, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Operation:
    """One erase or program as the chip saw it: `at` is its flash address, `length` its bytes, `when` the time of a clock that
    only grows, `data` what a program brought."""

    kind: Literal["erase", "program"]
    at: int
    length: int
    when: float = field(default=0.0, compare=False)
    data: bytes = field(default=b"", compare=False, repr=False)

    @property
    def new(self) -> bytes:
        """What the cells hold afterwards."""
        return self.data if self.kind == "program" else b"\xff" * self.length


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes at operation `number` (from 1), which ends like this."""

    number: int
    tear: Tear = "early"
    seed: int = 0


def left(flash: bytes, operations: Sequence[Operation], cut: Cut) -> bytes:
    """What this cut leaves of a flash that would have seen these operations: the bytes as if the power had gone there, and
    nothing has to be lived through again."""
    data = bytearray(flash)
    for operation in operations[: cut.number - 1]:
        data[operation.at : operation.at + operation.length] = operation.new
    last = operations[cut.number - 1]
    old = bytes(data[last.at : last.at + last.length])
    data[last.at : last.at + last.length] = torn(cut.tear, old, last.new, random.Random(cut.seed))
    return bytes(data)


def torn(tear: Tear, old: bytes, new: bytes, dice: random.Random) -> bytes:
    """What the cells of an operation that was cut hold."""
    half = len(new) // 2
    match tear:
        case "before":
            return old
        case "early":
            return new[:half] + old[half:]
        case "late":
            return old[:half] + new[half:]
        case "after":
            return new
    # Any bit on its way may stand anywhere between what it was and what it was to be.
    drawn = dice.randbytes(len(new))
    return bytes((o & ~d | n & d) & 0xFF for o, n, d in zip(old, new, drawn, strict=True))


class FlashDisk:
    """The flash of one machine, in memory. `cut` is set the moment the power went: from then on nothing is answered, and the
    bytes are what a restart finds. `illegal` counts programs that would have set a bit; a chip cannot."""

    def __init__(self, path: Path, data: bytes, sector: int, cut: Cut | None = None) -> None:
        self.path = path
        self.data = bytearray(data)
        self.operations: list[Operation] = []
        self.illegal = 0
        self.cut = threading.Event()
        self._sector = sector
        self._at = cut
        self._dice = random.Random(0 if cut is None else cut.seed)
        path.unlink(missing_ok=True)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen(1)
        self._link: socket.socket | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def cut_at(self, cut: Cut) -> None:
        """The power goes at this operation, counted from now."""
        self._dice = random.Random(cut.seed)
        self._at = replace(cut, number=len(self.operations) + cut.number)

    def close(self) -> None:
        self._door.close()
        if self._link is not None:
            self._link.close()
        self.path.unlink(missing_ok=True)

    # ---- the protocol (docs: NetworkBlockDevice/nbd, doc/proto.md) ---------------------------------------------------

    def _run(self) -> None:
        """One emulator after the other; a cut ends it."""
        while not self.cut.is_set():
            try:
                self._link, _ = self._door.accept()
            except OSError:
                return  # closed
            with contextlib.suppress(EOFError, OSError):
                if self._agree(self._link):
                    while self._serve(self._link):
                        pass

    def _take(self, link: socket.socket, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            part = link.recv(count - len(found))
            if not part:
                raise EOFError
            found += part
        return bytes(found)

    def _agree(self, link: socket.socket) -> bool:
        link.sendall(b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, 3))
        self._take(link, 4)
        while True:
            _, option, length = _OPTION.unpack(self._take(link, _OPTION.size))
            self._take(link, length)
            if option == _EXPORT_NAME:
                link.sendall(struct.pack(">QH", len(self.data), 1))
                return True
            if option in (_INFO, _GO):
                self._reply(link, option, _INFO_REPLY, struct.pack(">HQH", 0, len(self.data), 1))
                self._reply(link, option, _INFO_REPLY, struct.pack(">HIII", 3, 1, 512, 32 << 20))
                self._reply(link, option, _ACK)
                if option == _GO:
                    return True
            else:
                self._reply(link, option, _ACK if option == _ABORT else _UNSUPPORTED)
                if option == _ABORT:
                    return False

    def _reply(self, link: socket.socket, option: int, kind: int, body: bytes = b"") -> None:
        link.sendall(_REPLY.pack(_REPLY_MAGIC, option, kind, len(body)) + body)

    def _serve(self, link: socket.socket) -> bool:
        _, _, kind, handle, at, length = _REQUEST.unpack(self._take(link, _REQUEST.size))
        good = _ANSWER.pack(_ANSWER_MAGIC, 0, handle)
        if kind == _DISCONNECT:
            return False
        if kind == _READ:
            link.sendall(good + self.data[at : at + length])
            return True
        if kind == _WRITE:
            self._write(at, self._take(link, length))
            if self.cut.is_set():
                return False  # no answer: the processor never goes on
        link.sendall(good)
        return True

    # ---- the chip -----------------------------------------------------------------------------------------------------

    def _write(self, at: int, new: bytes) -> None:
        old = bytes(self.data[at : at + len(new)])
        erase = len(new) >= self._sector and new.count(0xFF) == len(new)
        if not erase:
            changed = [i for i in range(len(new)) if new[i] != old[i]]
            if not changed:
                return  # the emulator writes whole blocks; no cell is touched
            at, old, new = at + changed[0], old[changed[0] : changed[-1] + 1], new[changed[0] : changed[-1] + 1]
            self.illegal += any(n & ~o & 0xFF for n, o in zip(new, old, strict=True))
        self.operations.append(
            Operation("erase" if erase else "program", at, len(new), time.monotonic(), b"" if erase else bytes(new))
        )
        if self._at is not None and len(self.operations) == self._at.number:
            new = torn(self._at.tear, old, new, self._dice)
            self.data[at : at + len(new)] = new
            self.cut.set()
            return
        self.data[at : at + len(new)] = new
