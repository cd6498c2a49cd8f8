"""Section 13 of docs/spec/delta.md, slowly: what profile 5 has beside profile 2, as the specification words it, for tests.
Production never calls it; it shares no code with the core."""

from __future__ import annotations

from neurath.delta.match import Segment
from neurath.delta.oracle import AHEAD, M32, Bit, Field, Map, Model

FROM, LONG = 8, 32


class Quick(Model):
    """One group, or the control table."""

    def __init__(self, code: Bit, map_: Map) -> None:
        super().__init__(code, map_)
        self.quiet = self.fine = 0

    def here(self, segment: Segment) -> None:
        super().here(segment)
        self.quiet = self.fine = 0

    def copied(self, old: bytes, at: int, source: int, part: tuple[int, int]) -> int:
        if not self.quiet and self.run >= FROM and not self.fine:
            n = min(part[1] - source, LONG)
            if self.numbers[0].bit(self.code, 64 + 4 * (self._grade() - 6)):
                self.quiet = n
            else:
                self.fine = n
        if self.quiet:
            self.quiet -= 1
            return self._still(old, at, source, part[1])
        byte = super().copied(old, at, source, part)
        self.fine = max(0, self.fine - 1) if self.run else 0
        return byte

    def _still(self, old: bytes, at: int, source: int, end: int) -> int:
        if not self.field.data:
            self.field = self.predictor.predict(old[source : min(end, source + AHEAD)], source, at)
            self.field_at, self.fresh = at, bytearray()
        byte = self.field.data[len(self.fresh)] if self.field.data else old[source]
        self.run += 1
        self.history = self.history << 1 & M32
        self.last = [byte, *self.last[:2]]
        if self.field.data:
            self.fresh.append(byte)
            if len(self.fresh) == len(self.field.data):
                self.predictor.learn(self.field, self.field_at, bytes(self.fresh))
                self.field = Field()
        return byte
