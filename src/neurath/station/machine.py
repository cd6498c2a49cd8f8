"""The restoration station as a value: six steps, one terminal on one port. It knows what may follow what; it must never
open a port, look at a clock or write a byte. "Is it safe to unplug now?" has an answer in every state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from neurath.wire.smp import Identity

#: Times in a row that an upload may stop without a byte of progress before the station gives up.
STALLS = 5
#: The same of the verdict: what is asked again costs nothing, and a line where every third answer is bent loses many in a row.
QUESTIONS = 20


class Step(Enum):
    CONNECT = 1
    IDENTIFY = 2
    CHOOSE = 3
    WRITE = 4
    JUDGE = 5
    UNPLUG = 6


class Verdict(Enum):
    """How the work on this terminal ended."""

    NONE = "none"
    RESTORED = "restored"
    HEALTHY = "nothing to restore"
    REFUSED = "refused by the terminal"
    NO_RELEASE = "no release for it in the stock"
    NO_IDENTITY = "identity lost"
    MISTAKEN = "another device than was meant"
    FAILED = "failed"


class Unplug(Enum):
    """The answer to: is it safe to unplug now?"""

    YES = "yes"
    NO = "no"
    WAIT = "not known yet"


class Do(Enum):
    """What the runner is told to do."""

    ASK_IDENTITY = "ask identity"
    SELECT = "select"
    SEND = "send"
    ASK_VERDICT = "ask verdict"
    RECORD = "record"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Choice:
    """The release to write: digest of its envelope (first 16 bytes), its image, and why it was chosen."""

    envelope: bytes
    image: bytes
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plugged:
    """The port is there and can be opened."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The port is gone."""


@dataclass(frozen=True, slots=True)
class Identified:
    """The terminal said who it is and what its state log says."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Mistaken:
    """The terminal said who it is, and a person or another port says that it is not the one meant."""

    identity: Identity
    reason: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The terminal did not answer in time."""


@dataclass(frozen=True, slots=True)
class Chosen:
    choice: Choice


@dataclass(frozen=True, slots=True)
class NothingFits:
    """The stock holds no release that this terminal may take."""

    reason: str


@dataclass(frozen=True, slots=True)
class Made:
    """What is sent now; `aid` says in words that it is not the package but a file for what a cut left, "": the package."""

    aid: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The terminal has taken the package up to here; both in bytes."""

    held: int
    total: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The terminal has taken the last byte."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The terminal answered the upload with an error."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bent:
    """What the terminal got is not what was sent: `reason` says how it knows. The same again."""

    reason: str


Event = Plugged | Pulled | Identified | Mistaken | Silent | Chosen | NothingFits | Made | Moved | Sent | Refused | Bent


@dataclass(frozen=True, slots=True)
class Machine:
    """State of one port. `choice` outlives a pulled cable, so that the same terminal goes on where it stopped. `aid` as in
    Made; `whole`: such a file was refused, and only the package is sent."""

    step: Step = Step.CONNECT
    identity: Identity | None = None
    choice: Choice | None = None
    held: int = 0
    total: int = 0
    stalls: int = 0
    aid: str = ""
    whole: bool = False
    verdict: Verdict = Verdict.NONE
    reason: str = ""

    @property
    def unplug(self) -> Unplug:
        """Safe where nothing was begun or the bank holds a whole image; never while the bank is open."""
        match self.step:
            case Step.CONNECT:  # a terminal that was pulled off in the middle has to come back
                return Unplug.YES if self.choice is None else Unplug.NO
            case Step.IDENTIFY | Step.JUDGE:
                return Unplug.WAIT
            case Step.WRITE:
                return Unplug.NO
        if self.verdict is Verdict.MISTAKEN:  # it was only asked who it is
            return Unplug.YES
        return Unplug.NO if self.identity is None or self.identity.open else Unplug.YES

    def handle(self, event: Event) -> tuple[Machine, tuple[Do, ...]]:
        """The next state and what to do. An event that has no place in this state changes nothing."""
        match event:
            case Pulled():
                return self._pulled()
            case Plugged() if self.step is Step.CONNECT:
                return replace(self, step=Step.IDENTIFY, stalls=0), (Do.ASK_IDENTITY,)
            case Identified(identity=identity) if self.step is Step.IDENTIFY:
                return self._identified(identity)
            case Identified(identity=identity) if self.step is Step.JUDGE:
                return self._judged(identity)
            case Mistaken(identity=identity, reason=reason) if self.step is Step.IDENTIFY:
                seen = replace(self, identity=identity, held=0, total=0)
                return seen._ended(Verdict.MISTAKEN, reason), (Do.RECORD,)
            case Silent() if self.step in (Step.IDENTIFY, Step.JUDGE, Step.WRITE):
                return self._silent()
            case Chosen() | NothingFits() if self.step is Step.CHOOSE:
                return self._chosen(event)
            case Made() | Moved() | Sent() | Refused() | Bent() if self.step is Step.WRITE:
                return self._written(event)
        return self, ()

    def _pulled(self) -> tuple[Machine, tuple[Do, ...]]:
        if self.step is Step.CONNECT:
            return self, ()
        if self.step in (Step.WRITE, Step.JUDGE):
            return replace(self, step=Step.CONNECT, stalls=0, reason="the cable was pulled: plug it in again"), (Do.CLOSE,)
        return Machine(), (Do.CLOSE,)

    def _identified(self, identity: Identity) -> tuple[Machine, tuple[Do, ...]]:
        same = self.identity is not None and self.identity.id == identity.id and identity.enrolled
        seen = replace(self, identity=identity, stalls=0, reason="")
        if not same:
            seen = replace(seen, choice=None, held=0, total=0, aid="", whole=False, verdict=Verdict.NONE)
        if not identity.enrolled:
            return seen._ended(Verdict.NO_IDENTITY, "it has no birth record: enrol it first"), (Do.RECORD,)
        if not identity.open:
            if seen.choice is not None:  # pulled between the last byte and the verdict
                return replace(seen, step=Step.JUDGE)._judged(identity)
            return seen._ended(Verdict.HEALTHY, ""), ()
        if seen.choice is not None:
            return replace(seen, step=Step.WRITE), (Do.SEND,)
        return replace(seen, step=Step.CHOOSE), (Do.SELECT,)

    def _judged(self, identity: Identity) -> tuple[Machine, tuple[Do, ...]]:
        choice, installed = self.choice, identity.installed
        seen = replace(self, identity=identity)
        if choice is None or identity.open or installed is None or installed.envelope != choice.envelope:
            return seen._ended(Verdict.FAILED, "the terminal does not run what was written"), (Do.RECORD,)
        return replace(seen._ended(Verdict.RESTORED, ""), choice=choice), (Do.RECORD,)  # the screen says what it runs now

    def _silent(self) -> tuple[Machine, tuple[Do, ...]]:
        if self.stalls >= STALLS and self.step is Step.IDENTIFY:
            return replace(self, step=Step.CONNECT, stalls=0, reason="no terminal answers on this port"), (Do.CLOSE,)
        if self.stalls >= (QUESTIONS if self.step is Step.JUDGE else STALLS):
            return self._ended(Verdict.FAILED, "the terminal does not answer"), (Do.RECORD,)
        again = {Step.IDENTIFY: Do.ASK_IDENTITY, Step.JUDGE: Do.ASK_VERDICT, Step.WRITE: Do.SEND}[self.step]
        return replace(self, stalls=self.stalls + 1), (again,)

    def _chosen(self, event: Event) -> tuple[Machine, tuple[Do, ...]]:
        match event:
            case Chosen(choice=choice):
                return replace(self, step=Step.WRITE, choice=choice, held=0, total=0), (Do.SEND,)
            case NothingFits(reason=reason):
                return self._ended(Verdict.NO_RELEASE, reason), (Do.RECORD,)
        return self, ()

    def _written(self, event: Event) -> tuple[Machine, tuple[Do, ...]]:
        match event:
            case Made(aid=aid) if aid != self.aid:
                return replace(self, aid=aid, held=0, total=0), ()
            case Moved(held=held, total=total):
                # Progress never moves back on the screen, even where a leaf is sent again.
                stalls = 0 if held > self.held else self.stalls
                return replace(self, held=max(held, self.held), total=total, stalls=stalls), ()
            case Sent():
                return replace(self, step=Step.JUDGE, held=self.total, stalls=0), (Do.ASK_VERDICT,)
            case Refused(reason=reason) if self.aid:
                why = f"the file for what its bank holds was refused ({reason}): the package instead"
                return replace(self, aid="", whole=True, held=0, total=0, stalls=0, reason=why), (Do.SEND,)
            case Bent() if self.stalls < STALLS:
                return replace(self, stalls=self.stalls + 1), (Do.SEND,)
            case Refused(reason=reason) | Bent(reason=reason):
                return self._ended(Verdict.REFUSED, reason), (Do.RECORD,)
        return self, ()

    def _ended(self, verdict: Verdict, reason: str) -> Machine:
        """The last step. A bank that was being written stays open in the eyes of the station until identify says else."""
        return replace(self, step=Step.UNPLUG, verdict=verdict, reason=reason, choice=None)
