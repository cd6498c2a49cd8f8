"""When a terminal asks for newer key lists: before it weighs an offer, and once a day. It knows an installer that goes by
lists and a carrier that has them; it must never let a list that does not come, or is none, hold up the check-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from neurath.carriers.base import Answer, Lists
from neurath.errors import LinkError, NeurathError

if TYPE_CHECKING:
    from neurath.terminal.keyring import Source
    from neurath.terminal.parts import Parts

#: Seconds between two looks where nothing is offered: a key that was revoked is known a day later.
DAY = 86400.0


@runtime_checkable
class Learns(Protocol):
    """An installer that goes by key lists."""

    def learn(self, source: Source) -> int:
        """Takes the lists that came since; how many. Fails as the source does, or as a list that is none."""
        ...


@dataclass(slots=True)
class Lessons:
    """One terminal's looks."""

    at: float | None = None

    def learn(self, parts: Parts, now: float, answer: Answer) -> bool:
        """Whether anything was learnt. LinkError: the link went, and the check-in with it."""
        installer, carrier = parts.installer, parts.carrier
        due = self.at is None or abs(now - self.at) >= DAY
        if not (due or answer.offer is not None) or not isinstance(installer, Learns) or not isinstance(carrier, Lists):
            return False
        taken = 0
        try:
            with parts.lock:
                taken = installer.learn(carrier.key_list)
        except LinkError:
            raise
        except NeurathError as fault:
            parts.trace.note("key list refused", what=fault.what, why=fault.why)
        except OSError as fault:
            parts.trace.note("key list not kept", why=fault.strerror or str(fault))
        self.at = now
        if taken:
            parts.trace.note("key lists", taken=taken)
        return taken > 0
