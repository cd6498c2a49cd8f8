"""The terminal's machine as a value: its steps, its policy, and where each event goes. It knows no transition itself (they
are in session and writing); it must never touch a clock, a socket, a file, flash or chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Do, Fate, Tell
from neurath.wire.report import Phase, Verdict

if TYPE_CHECKING:
    from neurath.wire.offer import Offer

#: Failed rehearsals of one envelope after which it is left alone for `Policy.back_off`.
MAX_PROOFS = 3
#: A server that wishes to hear again so soon, seconds, is building the file.
SOON = 2.0

Actions = tuple[Do | Tell, ...]


#: A moment that does not come: only an event ends the wait.
NEVER = float("inf")
#: What the world is told of software that counts from the next start of the machine on.
WAITS = "it is installed and waits for a restart of this machine"


class Step(Enum):
    """Where the machine waits, finer than the phase the world is told."""

    DARK = auto()  # power-up has not spoken yet
    IDLE = auto()
    CHECKING = auto()  # identity sent
    WEIGHING = auto()  # G1, G2
    RESERVING = auto()
    ASKING = auto()  # the gate: may I install?
    ASKING_LINE = auto()  # download ahead: does the line have room?
    WAITING_FOR_QUIET = auto()
    WAITING_FOR_USE_END = auto()
    WAITING_FOR_USER = auto()
    RECEIVING = auto()
    PARKED = auto()  # link lost in a transfer, what is staged stays
    CHECKING_FILE = auto()  # G4
    PROVING = auto()  # G5
    READYING = auto()  # G6
    LAST_WORD = auto()  # G7
    REWRITING = auto()
    JUDGING = auto()
    RESTARTING = auto()
    TRYING = auto()  # the new image runs its self-test
    CONTACTING = auto()  # ... and shows that it reaches the server
    CONFIRMING = auto()
    TELLING = auto()  # a verdict is on its way
    FINDING = auto()  # open plan: is the file still in durable staging?
    RESTORING = auto()  # the wire


#: Where a person at the wire takes precedence over a rescue by air.
_WIRE_FIRST = frozenset({Step.FINDING, Step.RESERVING, Step.RECEIVING, Step.PARKED, Step.CHECKING_FILE})

_PHASES = {
    Step.WEIGHING: Phase.OFFERED,
    Step.RESERVING: Phase.OFFERED,
    Step.ASKING: Phase.OFFERED,
    Step.ASKING_LINE: Phase.OFFERED,
    Step.WAITING_FOR_QUIET: Phase.OFFERED,
    Step.WAITING_FOR_USE_END: Phase.WAITING_FOR_USE_END,
    Step.WAITING_FOR_USER: Phase.WAITING_FOR_USER,
    Step.RECEIVING: Phase.DOWNLOADING,
    Step.PARKED: Phase.DOWNLOADING,
    Step.CHECKING_FILE: Phase.DOWNLOADED,
    Step.PROVING: Phase.DOWNLOADED,
    Step.READYING: Phase.DOWNLOADED,
    Step.LAST_WORD: Phase.DOWNLOADED,
    Step.REWRITING: Phase.UPDATING,
    Step.JUDGING: Phase.JUDGING,
    Step.RESTARTING: Phase.JUDGING,
    Step.TRYING: Phase.JUDGING,
    Step.CONTACTING: Phase.JUDGING,
    Step.CONFIRMING: Phase.JUDGING,
    Step.FINDING: Phase.UPDATING,
    Step.RESTORING: Phase.RESTORING,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator may choose. Times in seconds.

    `ask_last` asks gate G7; `go_when_silent` is what no answer to it means. `confirm_by_contact` confirms a new image
    only after it has reached the server. `own_pace` polls every `poll` seconds whatever the server wishes. `most_tries`
    bounds how often one transfer is taken up again before the memory goes back to its owners. `ahead` downloads before the
    gate is asked, into durable staging. `patient` does not come back soon for a file that the server is still building.
    """

    poll: float = 300.0
    retry: float = 1.0
    retry_most: float = 600.0
    back_off: float = 86400.0
    ask_again: float = 3600.0
    most_tries: int = 8
    ask_last: bool = False
    go_when_silent: bool = True
    confirm_by_contact: bool = True
    own_pace: bool = False
    ahead: bool = False
    patient: bool = False

    def again(self, wish: float | None) -> float:
        """Seconds to the next check, given the server's wish; None: it has none."""
        if wish is not None and wish <= SOON and not self.patient:
            return wish  # the file is being built
        return self.poll if wish is None or self.own_pace else wish

    def delay(self, tries: int) -> float:
        """Seconds before try number `tries` + 1: doubles, up to `retry_most`."""
        return float(min(self.retry * 2 ** max(0, tries - 1), self.retry_most))


@dataclass(frozen=True, slots=True)
class Machine:
    """One terminal at one moment. `handle` is pure: the same state, event and time give the same answer.

    `offer` is what is being worked on; `rescue` the open plan after a power cut (then there is no offer). `action` names
    the report whose verdict is still to be told. `secured` is the memory held, bytes. `late`: the file was downloaded ahead
    and only the gate is in the way. `consent` is the envelope a person said yes to. `avoid` is an envelope whose proofs
    failed, left alone until `avoid_until`.
    """

    policy: Policy = Policy()
    step: Step = Step.DARK
    offer: Offer | None = None
    rescue: ev.OpenPlan | None = None
    action: str = ""
    secured: int = 0
    held: int = 0
    tries: int = 0
    late: bool = False
    due: float = 0.0
    consent: bytes = b""
    avoid: bytes = b""
    avoid_until: float = 0.0

    @property
    def phase(self) -> Phase:
        """What the world is told: the phase of docs/spec/report.md."""
        if self.rescue is not None and self.step is not Step.RESTORING:
            return Phase.UPDATING
        return _PHASES.get(self.step, Phase.IDLE)

    def handle(self, event: ev.Event, now: float) -> tuple[Machine, Actions]:
        """The next state and what is to be done, in order. An event that means nothing here changes nothing."""
        if isinstance(event, ev.PoweredUp):
            return _powered_up(self, event, now)
        if isinstance(event, ev.WireSpeaks) and self.step in _WIRE_FIRST and self.rescue is not None:
            wired = replace(self, step=Step.RESTORING, secured=0, held=0, due=now + self.policy.back_off)
            return wired, (Do.CLOSE_LINK, Do.RETURN_MEMORY)
        if isinstance(event, ev.OtherFile):
            return _other_file(self, event)
        return HANDLERS[self.step](self, event, now)


def _other_file(m: Machine, event: ev.OtherFile) -> tuple[Machine, Actions]:
    """In mid-rewrite: not the plan's own file but this one goes on. Given up: this one leads back to the image before."""
    other = replace(m, step=Step.FINDING, rescue=event.plan, secured=0, held=0, tries=0, action="")
    if m.step is Step.RECEIVING and m.rescue is not None:
        return other, (Do.DROP_STAGED, Do.RETURN_MEMORY, Do.FIND_STAGED)
    return (other, (Do.FIND_STAGED,)) if m.step is Step.RESTORING else (m, ())


def _powered_up(m: Machine, event: ev.PoweredUp, now: float) -> tuple[Machine, Actions]:
    """RAM is lost: only the policy, what a person set, and what the runner carried over survive."""
    fresh = Machine(policy=m.policy, due=now)
    judged = replace(fresh, action=event.action)
    match event.fate:
        case Fate.BOOT if event.candidate and event.waits:
            waiting = replace(judged, step=Step.RESTARTING, due=NEVER)
            return waiting, (Tell(Phase.JUDGING, reason=WAITS, action=event.action), Do.CLOSE_LINK) if event.action else ()
        case Fate.BOOT if event.candidate:
            return replace(judged, step=Step.TRYING), (Do.SELF_TEST,)
        case Fate.BOOT if event.back and event.action:
            told = Tell(Phase.FAILED, Verdict.FAILED, event.back, action=event.action)
            return replace(fresh, step=Step.TELLING), (told,)
        case Fate.BOOT:
            return replace(fresh, step=Step.IDLE), ()
        case Fate.FETCH if event.plan is not None:
            return replace(fresh, step=Step.FINDING, rescue=event.plan), (Do.OPEN_WIRE, Do.FIND_STAGED)
        case _:
            return replace(judged, step=Step.RESTORING), (Do.OPEN_WIRE,)


def idle(m: Machine, due: float, *, tries: int = 0, **more: str | bytes | float) -> Machine:
    """At rest: no offer, no memory. What a person or a failed proof said stays true."""
    kept = replace(m, step=Step.IDLE, offer=None, rescue=None, secured=0, held=0, late=False, due=due, tries=tries)
    return replace(kept, **more) if more else kept  # type: ignore[arg-type]  # mypy cannot see field names in **more


def more(m: Machine) -> int:
    """One try more; beyond the policy's bound it makes no difference."""
    return min(m.tries + 1, m.policy.most_tries + 1)


Handler = Callable[[Machine, ev.Event, float], tuple[Machine, Actions]]


def deaf(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """Only a power-up is heard."""
    return m, ()


#: Step -> its transitions; session and writing enter theirs when neurath.terminal.machine is imported.
HANDLERS: dict[Step, Handler] = dict.fromkeys(Step, deaf)
