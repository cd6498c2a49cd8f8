"""Which of two machines does the work, as a value. It knows what the other one answered and what it did not; it must never
look at a clock, nor act on anything but answers to its own heartbeats. Spec: docs/spec/pair.md."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurath.wire.pair import Beat, Role

#: Heartbeats in a row without an answer after which the standby takes over.
MISSES = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One of the two. `node` is 1 or 2; `term` the highest take-over seen; `missed` heartbeats in a row without an answer,
    `idle` answers in a row in which neither was active."""

    node: int
    misses: int = MISSES
    role: Role = Role.STANDBY
    term: int = 0
    missed: int = 0
    idle: int = 0

    def answered(self, beat: Beat) -> Member:
        """The other one answered."""
        heard = replace(self, missed=0, idle=0)
        if beat.role is Role.STANDBY:
            heard = replace(heard, term=max(self.term, beat.term)) if self.role is Role.STANDBY else heard
            if self.role is Role.ACTIVE:
                return heard
            # Both wait: the lower number begins, when it has seen for a while that the other one does not.
            waiting = replace(heard, idle=min(self.idle + 1, self.misses))
            return waiting._takes_over() if self.node == 1 and waiting.idle >= self.misses else waiting
        if self.role is Role.STANDBY:
            return replace(heard, term=max(self.term, beat.term))
        # Both are active: the cable was cut, or one stood still. The later take-over stays, then the lower number.
        yields = (beat.term, -beat.node) > (self.term, -self.node)
        return replace(heard, role=Role.STANDBY, term=beat.term) if yields else heard

    def silent(self) -> Member:
        """The other one did not answer."""
        lost = replace(self, missed=self.missed + 1, idle=0)
        return lost._takes_over() if self.role is Role.STANDBY and lost.missed >= self.misses else lost

    def _takes_over(self) -> Member:
        return replace(self, role=Role.ACTIVE, term=self.term + 1, idle=0)
