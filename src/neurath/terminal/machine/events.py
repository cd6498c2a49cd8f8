"""What the terminal's machine hears and what it asks for: events and actions, plain values. Nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from neurath.wire.report import Phase, Verdict

if TYPE_CHECKING:
    from neurath.wire.offer import Offer


class Fate(Enum):
    """What a power-up found (enum nrt_fate of the core)."""

    BOOT = 1
    FETCH = 2
    RESTORE = 3


class Weight(Enum):
    """What G1 and G2 say to an offer."""

    ACCEPTED = auto()
    INSTALLED = auto()  # the bank already holds it, confirmed
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """The file an open state log asks for: its digest (16 bytes) and size."""

    file: bytes
    size: int


@dataclass(frozen=True, slots=True)
class OtherFile:
    """Not the file the open plan was begun with, but this one helps: it was made for what the bank holds now."""

    plan: OpenPlan


# ---- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bare:
    """An event that says it all by its kind. Kinds are equal to themselves alone; one dataclass serves them all, since making
    one takes half a millisecond of an agent's start (docs/decisions/0230)."""


@dataclass(frozen=True, slots=True)
class _Reasoned:
    """An event with a reason for people and nothing else; as above."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class PoweredUp:
    """Power came, or a restart happened. `action` is what the runner carried over, "" after a true power cut; `back` says why
    the software before runs again, where the new one was given up; `waits`: what is there counts from the next start of the
    machine on."""

    fate: Fate
    candidate: bool = False
    plan: OpenPlan | None = None
    action: str = ""
    back: str = ""
    waits: bool = False


class Tick(_Bare):
    """Time passed."""

    __slots__ = ()


class Notice(_Bare):
    """The server pushed "check in now"."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """The server has this for the terminal."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class NothingNewer:
    """No update; `again_in` seconds is when the server wants to hear again, None: as the policy says."""

    again_in: float | None = None


class LinkLost(_Bare):
    """The other side stopped answering."""

    __slots__ = ()


class LinkRefused(_Reasoned):
    """The other side answered no."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Weighed:
    """G1 and G2 were asked about an offer."""

    weight: Weight
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Secured:
    """The memory is set aside; `amount` bytes."""

    amount: int


@dataclass(frozen=True, slots=True)
class Short:
    """The memory cannot be had; `by` bytes are missing, everything is back where it was."""

    by: int


class MayInstall(_Bare):
    """The gate says yes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MayNot:
    """The gate says no: why, whether a person may be asked, and when to look again."""

    reason: str
    ask: bool = False
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A person answered."""

    yes: bool


class UseEnded(_Bare):
    """What was in use is not any more, or something else has changed that the gate is to be asked about again."""

    __slots__ = ()


class MayFetch(_Bare):
    """The line has room for a download ahead of time."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MayNotFetch:
    """Too much goes over the line just now; when to look again."""

    reason: str
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Received:
    """`held` bytes of the file are staged."""

    held: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The transfer makes way for other traffic; what is here stays."""

    until: float = 0.0


class Complete(_Bare):
    """Every piece is staged."""

    __slots__ = ()


class FileGood(_Bare):
    """G4: the staged file has its digest; block parity is made."""

    __slots__ = ()


class FileBad(_Reasoned):
    __slots__ = ()


class Proved(_Bare):
    """G5: the rehearsal reproduced the signed leaf list."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class NotProved:
    """G5 refused; `failures` rehearsals of this envelope have failed by now."""

    failures: int
    reason: str = ""


class Ready(_Bare):
    """G6: power good, borrowed software stopped, state log has room."""

    __slots__ = ()


class NotReady(_Reasoned):
    __slots__ = ()


class Go(_Bare):
    """G7: the server still wants it."""

    __slots__ = ()


class Stop(_Reasoned):
    """G7: the server has withdrawn it."""

    __slots__ = ()


class NoWord(_Bare):
    """G7: nobody answered in time."""

    __slots__ = ()


class Rewritten(_Bare):
    """The core has written the bank."""

    __slots__ = ()


class RewriteRefused(_Reasoned):
    """The core refused before the first erase (or before the next one, in a resume)."""

    __slots__ = ()


class RewriteStopped(_Reasoned):
    """The core stopped between two commit units: the bank is neither old nor new, and the plan goes on after a restart
    (say, a bit of the file flipped in RAM after the proof)."""

    __slots__ = ()


class RewriteFailed(_Reasoned):
    """The flash did not do what it was told, or the whole bank was judged and is not the target."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The bank was read: it holds what it should, or not."""

    good: bool


@dataclass(frozen=True, slots=True)
class SelfTested:
    """The new image tried itself."""

    good: bool


class Confirmed(_Bare):
    """The state log says confirmed."""

    __slots__ = ()


class NotConfirmed(_Reasoned):
    __slots__ = ()


class RolledBack(_Reasoned):
    """What was given up is not there any more: the software before runs again."""

    __slots__ = ()


class Told(_Bare):
    """A verdict was acknowledged."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What durable staging holds of the file of the open plan."""

    complete: bool


class WireSpeaks(_Bare):
    """Somebody at the wire began a restoration: the wire takes precedence."""

    __slots__ = ()


class Restored(_Bare):
    """The wire wrote a whole image."""

    __slots__ = ()


Event = (
    PoweredUp | Tick | Notice | Offered | NothingNewer | LinkLost | LinkRefused | Weighed | Secured | Short | MayInstall
    | MayNot | Answered | UseEnded | Received | Complete | FileGood | FileBad | Proved | NotProved | Ready | NotReady | Go
    | Stop | NoWord | Rewritten | RewriteRefused | RewriteStopped | RewriteFailed | Judged | SelfTested
    | Confirmed | NotConfirmed | Told | Found | WireSpeaks | Restored | MayFetch | MayNotFetch | Paused | RolledBack
    | OtherFile
)  # fmt: skip


# ---- actions -----------------------------------------------------------------------------------------------------------


class Do(Enum):
    """What the runner is to do, in the order given."""

    CHECK_IN = auto()
    CLOSE_LINK = auto()
    WEIGH = auto()  # G1, G2
    RESERVE = auto()
    RETURN_MEMORY = auto()
    ASK_GATE = auto()
    ASK_LINE = auto()
    ASK_USER = auto()
    FETCH = auto()
    CHECK_FILE = auto()  # G4
    DROP_STAGED = auto()
    REHEARSE = auto()  # G5
    CHECK_READY = auto()  # G6
    ASK_LAST = auto()  # G7
    REWRITE = auto()
    JUDGE = auto()
    RESTART = auto()
    SELF_TEST = auto()
    CONFIRM = auto()
    GIVE_UP = auto()
    FIND_STAGED = auto()
    RESCUE = auto()
    RESUME = auto()
    OPEN_WIRE = auto()


@dataclass(frozen=True, slots=True)
class Tell:
    """A report. The runner adds bytes, bank digest and, where `action` is "", the offer's action. Without a verdict it is
    sent once and may be lost; with one the machine waits for Told."""

    phase: Phase
    verdict: Verdict = Verdict.PENDING
    reason: str = ""
    secured: int = 0
    action: str = ""


#: Actions that may erase or program the bank or change what the log says of it.
FLASH = frozenset({Do.REWRITE, Do.RESUME, Do.RESTART, Do.CONFIRM, Do.GIVE_UP})
#: Actions that open the link.
OPENS = frozenset({Do.CHECK_IN, Do.FETCH, Do.RESCUE, Do.ASK_LAST})
