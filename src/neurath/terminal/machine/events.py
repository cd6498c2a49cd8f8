"""What the terminal's machine hears and what it asks for: events and actions, plain values. Nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from neurath.wire.offer import Offer
from neurath.wire.report import Phase, Verdict


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


# ---- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoweredUp:
    """Power came, or a restart happened. `action` is what the runner carried over, "" after a true power cut; `back` says why
    the software before runs again, where the new one was given up."""

    fate: Fate
    candidate: bool = False
    plan: OpenPlan | None = None
    action: str = ""
    back: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The server pushed "check in now"."""


@dataclass(frozen=True, slots=True)
class Offered:
    offer: Offer


@dataclass(frozen=True, slots=True)
class NothingNewer:
    """No update; `again_in` seconds is when the server wants to hear again, None: as the policy says."""

    again_in: float | None = None


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The other side stopped answering."""


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """The other side answered no."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
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


@dataclass(frozen=True, slots=True)
class MayInstall:
    """The gate says yes."""


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


@dataclass(frozen=True, slots=True)
class UseEnded:
    """What was in use is not any more, or something else has changed that the gate is to be asked about again."""


@dataclass(frozen=True, slots=True)
class MayFetch:
    """The line has room for a download ahead of time."""


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


@dataclass(frozen=True, slots=True)
class Complete:
    """Every piece is staged."""


@dataclass(frozen=True, slots=True)
class FileGood:
    """G4: the staged file has its digest; block parity is made."""


@dataclass(frozen=True, slots=True)
class FileBad:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Proved:
    """G5: the rehearsal reproduced the signed leaf list."""


@dataclass(frozen=True, slots=True)
class NotProved:
    """G5 refused; `failures` rehearsals of this envelope have failed by now."""

    failures: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """G6: power good, borrowed software stopped, state log has room."""


@dataclass(frozen=True, slots=True)
class NotReady:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """G7: the server still wants it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """G7: the server has withdrawn it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoWord:
    """G7: nobody answered in time."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The core has written the bank."""


@dataclass(frozen=True, slots=True)
class RewriteRefused:
    """The core refused before the first erase (or before the next one, in a resume)."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class RewriteStopped:
    """The core stopped between two commit units: the bank is neither old nor new, and the plan goes on after a restart
    (say, a bit of the file flipped in RAM after the proof)."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class RewriteFailed:
    """The flash did not do what it was told, or the whole bank was judged and is not the target."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The bank was read: it holds what it should, or not."""

    good: bool


@dataclass(frozen=True, slots=True)
class SelfTested:
    """The new image tried itself."""

    good: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The state log says confirmed."""


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What was given up is not there any more: the software before runs again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict was acknowledged."""


@dataclass(frozen=True, slots=True)
class Found:
    """What durable staging holds of the file of the open plan."""

    complete: bool


@dataclass(frozen=True, slots=True)
class WireSpeaks:
    """Somebody at the wire began a restoration: the wire takes precedence."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The wire wrote a whole image."""


Event = (
    PoweredUp | Tick | Notice | Offered | NothingNewer | LinkLost | LinkRefused | Weighed | Secured | Short | MayInstall
    | MayNot | Answered | UseEnded | Received | Complete | FileGood | FileBad | Proved | NotProved | Ready | NotReady | Go
    | Stop | NoWord | Rewritten | RewriteRefused | RewriteStopped | RewriteFailed | Judged | SelfTested
    | Confirmed | NotConfirmed | Told | Found | WireSpeaks | Restored | MayFetch | MayNotFetch | Paused | RolledBack
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
