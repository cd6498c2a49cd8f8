"""What every carrier offers to a terminal: check in, report, fetch, close. It knows message values and how a failed link is
named; it must never know which protocol carries them. Contract: tests/contracts/carrier.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from neurath.wire.check import Check
from neurath.wire.report import Report

if TYPE_CHECKING:
    from neurath.wire.offer import Offer


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a carrier can do.

    `reply_room` is how many bytes of piece one answer can carry, 0: bulk transfer only. `state` says whether a request
    can carry the terminal's download state, and whether it may change from request to request. `period_control` says
    whether the server can set the terminal's period. `authenticated` says whether the carrier itself vouches for the
    other side. `extra_packets` is how many packets a heartbeat costs because its answer carries pieces: 0 for all but carriers
    whose own answer has no room.
    """

    name: str
    reply_room: int
    state: Literal["dynamic", "static", "none"]
    period_control: bool
    authenticated: bool
    extra_packets: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to a check-in: the offer, or None for nothing newer; `again_in` seconds is when it wants to hear
    again, None: no wish."""

    offer: Offer | None = None
    again_in: float | None = None


class Carrier(Protocol):
    """A way to the server. Every method raises LinkError when the other side does not answer (the machine tries again),
    RefusedError or NotFound when it says no, DataError when what it says makes no sense."""

    descriptor: Descriptor

    def check(self, check: Check) -> Answer: ...

    def report(self, report: Report) -> None:
        """Returns once the server has taken it. A report about an action that the server has closed is taken."""
        ...

    def fetch(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        """Bytes [offset, offset + length) of the file the last offer named (`file` is its SHA-256), in order, as they
        arrive; fewer never come without an error."""
        ...

    def fetch_by_digest(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        """The same for a terminal with an open state log, which knows the file's digest (16 bytes or more) and nothing
        else."""
        ...

    def still_wanted(self, action: str) -> bool:
        """G7: whether this action is still open on the server."""
        ...

    def close(self) -> None:
        """Closes the link. Harmless when it is closed; the next call opens it again."""
        ...


@runtime_checkable
class Rescues(Protocol):
    """A carrier that can ask for the file that helps a terminal which cannot boot (docs/spec/rescue.md 3)."""

    def rescue(self, question: bytes) -> bytes | None:
        """The answer; None: the file is being built, ask again. Fails as a carrier does."""
        ...


@runtime_checkable
class Lists(Protocol):
    """A carrier that can fetch a list of keys (docs/spec/keylist.md)."""

    def key_list(self, version: int) -> bytes:
        """The signed list of this version; NotFound where there is none yet. Fails as a carrier does."""
        ...


class Rides(Protocol):
    """A periodic packet of the terminal whose answer has room for pieces. Fails as a carrier does."""

    @property
    def descriptor(self) -> Descriptor: ...

    def beat(self, state: bytes) -> bytes:
        """Sends the one packet with this download state; gives what rode on its answer."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """Who a carrier's server half heard: a terminal by its id in its tenant, by which carrier, from which address (network
    and care-of addresses included, as text for people)."""

    terminal: str
    carrier: str
    address: str = ""
    tenant: str = "DEFAULT"


class Riding(Protocol):
    """What a carrier's server half asks for what is to ride: the server's own trickle, or a gateway's cache."""

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        """What rides on the answer to this terminal's packet, at most `room` bytes; b"" for nothing. `state` is what the
        packet carried (wire/trickle), None where its carrier carries none or a static one. Never raises and never waits for
        a server that is away: a packet that cannot be enriched passes unchanged, at once."""
        ...
