"""A carrier inside one process, with a link that can be cut after any byte: what tests and the simulator run on. It knows
what a far end may be asked; it must never be offered to people as a way to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from neurath.carriers.base import Answer, Descriptor
from neurath.errors import LinkError, NotFound, RefusedError
from neurath.wire import check as checks
from neurath.wire import offer as offers
from neurath.wire import report as reports
from neurath.wire import trickle
from neurath.wire.check import Check
from neurath.wire.report import Phase, Report


class FarEnd(Protocol):
    """The other side, in encoded messages: what crosses the link is bytes here too."""

    def check(self, message: bytes) -> bytes: ...

    def report(self, message: bytes) -> None: ...

    def file(self, digest: bytes) -> bytes:
        """The whole file whose digest begins so; NotFound."""
        ...

    def open_actions(self) -> frozenset[str]: ...

    def heartbeat(self, message: bytes) -> bytes: ...


@dataclass
class Line:
    """The state of the link: `left` bytes pass, then it is cut until `mend` is called. None: it holds."""

    left: int | None = None
    passed: int = 0

    def carry(self, data: bytes) -> bytes:
        """As much of the data as passes; LinkError when none does."""
        if self.left is None:
            self.passed += len(data)
            return data
        through = data[: self.left]
        self.left -= len(through)
        self.passed += len(through)
        if len(through) < len(data) and not through:
            raise LinkError("the link is cut", "no byte passes", "it is tried again")
        return through

    def mend(self) -> None:
        self.left = None


_DESCRIPTOR = Descriptor("memory", 0xFFFF, "dynamic", True, True)


@dataclass
class Memory:
    """A carrier straight into a far end, `step` bytes at a time."""

    far: FarEnd
    line: Line = field(default_factory=Line)
    step: int = 256
    closed: int = 0
    descriptor: Descriptor = _DESCRIPTOR

    def check(self, check: Check) -> Answer:
        answer = self._through(self.far.check(self._through(checks.encode(check))))
        return Answer(offers.decode(answer))

    def report(self, report: Report) -> None:
        self.far.report(self._through(reports.encode(report)))

    def fetch(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        return self._stream(file, offset, length)

    def fetch_by_digest(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        return self._stream(file[:16], offset, length)

    def still_wanted(self, action: str) -> bool:
        self._through(action.encode())
        return action in self.far.open_actions()

    def beat(self, state: bytes) -> bytes:
        return self._through(self.far.heartbeat(self._through(state)))

    def close(self) -> None:
        self.closed += 1

    def _through(self, message: bytes) -> bytes:
        if len(self.line.carry(message)) < len(message):
            raise LinkError("the link is cut", "in the middle of a message", "it is tried again")
        return message

    def _stream(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        if self.line.left == 0:
            raise LinkError("the link is cut", "no byte passes", "it is tried again")
        data = self.far.file(file)[offset : offset + length]
        for at in range(0, length, self.step):
            chunk = data[at : at + self.step]
            through = self.line.carry(chunk)
            yield through
            if len(through) < len(chunk):
                raise LinkError("the link is cut", f"after {at + len(through)} of {length} bytes", "it is tried again")


@dataclass
class Shelf:
    """A far end with one offer and the files it names, faithful to the server's rule on memory: no file before a report
    `secured`. For tests of carriers and terminals."""

    offer: offers.Offer | None = None
    files: dict[bytes, bytes] = field(default_factory=dict)
    pinned: set[bytes] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    secured: int = 0
    heard: list[Check] = field(default_factory=list)
    told: list[Report] = field(default_factory=list)
    served: int = 0
    beats: int = 0
    ride: Callable[[bytes], bytes] = lambda state: trickle.encode_reply(trickle.Reply())

    def check(self, message: bytes) -> bytes:
        self.heard.append(checks.decode(message))
        offer = self.offer
        return offers.encode(None if offer is None or offer.action in self.closed else offer)

    def report(self, message: bytes) -> None:
        report = reports.decode(message)
        self.told.append(report)
        self.secured = max(self.secured, report.secured)
        if report.phase in (Phase.UPDATED, Phase.FAILED, Phase.RESTORING):
            self.closed.add(report.action)

    def file(self, digest: bytes) -> bytes:
        for known, data in self.files.items():
            if known[: len(digest)] != digest:
                continue
            if len(digest) == 32 and self.secured < len(data):
                raise RefusedError("no memory is secured for this file", "the report comes first", "report secured bytes")
            if len(digest) < 32 and known not in self.pinned:
                break
            return data
        raise NotFound("no such file", digest.hex()[:16], "check in again")

    def heartbeat(self, message: bytes) -> bytes:
        self.beats += 1
        return self.ride(message)

    def open_actions(self) -> frozenset[str]:
        return frozenset({self.offer.action} - self.closed if self.offer else ())
