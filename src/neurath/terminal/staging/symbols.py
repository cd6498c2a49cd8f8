"""Coded symbols that wait until they suffice: one staging for each segment of a stream, filled in the order of arrival. It
knows names and segments; it must never hold a segment in RAM but to decode it. Spec: docs/spec/trickle.md 7."""

from __future__ import annotations

from collections.abc import Mapping

from neurath.errors import DataError
from neurath.terminal.staging.area import Staging
from neurath.terminal.staging.place import CODED, Known, Place, coded
from neurath.wire import rateless
from neurath.wire.piece import Piece
from neurath.wire.rateless import Segments
from neurath.wire.trickle import NAME, SIZES

#: More symbols than pieces are kept by so many: that all of them are there and do not suffice is less likely than 256^-8.
SLACK = 8
#: The staging of symbols among the names of programs: program, CODED, segment, count, piece size, and zeros.
_ZEROS = bytes(6)


def marked(label: bytes) -> tuple[bytes, Segments] | None:
    """(program, segments) that a staging of this name is about; None: it is something else."""
    if not coded(label) or label[9] >= len(SIZES):
        return None
    try:
        return label[:4], Segments(int.from_bytes(label[6:9], "big"), SIZES[label[9]])
    except DataError:
        return None


class Symbols:
    """The symbols of one program's stream that wait."""

    def __init__(self, program: bytes, segments: Segments, place: Place) -> None:
        self.program = program
        self.segments = segments
        self._place = place
        self._kept: dict[int, Staging] = {}
        self._numbers: dict[int, dict[int, int]] = {}  # segment -> number of a symbol -> where it lies

    def open(self, segment: int) -> None:
        """Takes up what lies there of this segment. RefusedError where there is no room for it."""
        if segment in self._kept:
            return
        count, size = self.segments.count.to_bytes(3, "big"), bytes([SIZES.index(self.segments.piece)])
        label = self.program + bytes([CODED, segment]) + count + size + _ZEROS
        step = NAME + self.segments.piece
        whole = (self.segments.length(segment) + SLACK) * step
        staging = Staging(label, whole, self._place.open(Known(label, whole, step)), piece=step, sync_every=1 << 30)
        self._kept[segment] = staging
        self._numbers[segment] = {}
        for slot in range(staging.count):
            if staging.has(slot):
                _, number, _ = rateless.named(staging.read(slot * step, step), self.segments)
                self._numbers[segment][number] = slot

    def take(self, data: bytes) -> bool:
        """Keeps a symbol with its name; whether it was new. DataError, RefusedError where it cannot be kept."""
        segment, number, _ = rateless.named(data, self.segments)
        self.open(segment)
        known, staging = self._numbers[segment], self._kept[segment]
        if number in known:
            return False
        if len(known) == staging.count:
            # It may be that nobody could try yet: the file has no place before its header is whole.
            raise DataError("more symbols than a segment needs", str(segment), "it is dropped", id="NRT-274")
        slot = next(free for free in range(staging.count) if not staging.has(free))
        staging.feed(Piece(self.program, slot * len(data), data))
        known[number] = slot
        return True

    def count(self, segment: int) -> int:
        return len(self._numbers.get(segment, ()))

    def full(self, segment: int) -> bool:
        """Whether there is no room for another symbol of a segment: if they do not suffice, one of them is false."""
        return self.count(segment) == self.segments.length(segment) + SLACK

    def solve(self, segment: int, pieces: Mapping[int, bytes]) -> list[bytes] | None:
        """The pieces of a segment out of those that are known and the symbols that wait; None: they do not suffice yet."""
        staging, step = self._kept.get(segment), NAME + self.segments.piece
        found = dict(pieces)
        for number, slot in self._numbers.get(segment, {}).items():
            assert staging is not None
            found[number] = staging.read(slot * step + NAME, self.segments.piece)
        return rateless.solve(self.segments.length(segment), self.segments.piece, found)

    def settle(self) -> None:
        """Makes durable what can be."""
        for staging in self._kept.values():
            staging.sync()

    def drop(self, segment: int) -> None:
        """Forgets a segment's symbols: they were used, or one of them was false."""
        if segment in self._kept:
            self._kept.pop(segment).drop()
            self._numbers.pop(segment)

    def drop_all(self) -> None:
        for segment in list(self._kept):
            self.drop(segment)
