"""The terminal's machine: from "a check is due" to the verdict, and from any power-up back to a running image. It knows
steps, events and what to do next; it must never touch a clock, a socket, a file, flash or chance, and it never judges:
gates, proof and verdict come in as events. Spec: docs/spec/terminal.md; invariants: tests/terminal/test_machine.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from neurath.terminal import events as ev
from neurath.terminal.events import Do, Fate, Tell, Weight
from neurath.wire.offer import Offer
from neurath.wire.report import Phase, Verdict

#: Failed rehearsals of one envelope after which it is left alone for `Policy.back_off`.
MAX_PROOFS = 3

Actions = tuple[Do | Tell, ...]


class Step(Enum):
    """Where the machine waits, finer than the phase the world is told."""

    DARK = auto()  # power-up has not spoken yet
    IDLE = auto()
    CHECKING = auto()  # identity sent
    WEIGHING = auto()  # G1, G2
    RESERVING = auto()
    ASKING = auto()  # the gate: may I install?
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
    only after it has reached the server. `most_tries` bounds how often one transfer is taken up again before the memory
    goes back to its owners.
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

    def delay(self, tries: int) -> float:
        """Seconds before try number `tries` + 1: doubles, up to `retry_most`."""
        return float(min(self.retry * 2 ** max(0, tries - 1), self.retry_most))


@dataclass(frozen=True, slots=True)
class Machine:
    """One terminal at one moment. `handle` is pure: the same state, event and time give the same answer.

    `offer` is what is being worked on; `rescue` the open plan after a power cut (then there is no offer). `action` names
    the report whose verdict is still to be told. `secured` is the memory held, bytes. `consent` is the envelope a person
    said yes to. `avoid` is an envelope whose proofs failed, left alone until `avoid_until`.
    """

    policy: Policy = Policy()
    step: Step = Step.DARK
    offer: Offer | None = None
    rescue: ev.OpenPlan | None = None
    action: str = ""
    secured: int = 0
    held: int = 0
    tries: int = 0
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
        return _HANDLERS[self.step](self, event, now)


def _idle(m: Machine, due: float, *, tries: int = 0, **more: str | bytes | float) -> Machine:
    """At rest: no offer, no memory. What a person or a failed proof said stays true."""
    kept = replace(m, step=Step.IDLE, offer=None, rescue=None, secured=0, held=0, due=due, tries=tries)
    return replace(kept, **more) if more else kept  # type: ignore[arg-type]  # mypy cannot see field names in **more


def _powered_up(m: Machine, event: ev.PoweredUp, now: float) -> tuple[Machine, Actions]:
    """RAM is lost: only the policy, what a person set, and what the runner carried over survive."""
    fresh = Machine(policy=m.policy, due=now)
    judged = replace(fresh, action=event.action)
    match event.fate:
        case Fate.BOOT if event.candidate:
            return replace(judged, step=Step.TRYING), (Do.SELF_TEST,)
        case Fate.BOOT:
            return replace(fresh, step=Step.IDLE), ()
        case Fate.FETCH if event.plan is not None:
            return replace(fresh, step=Step.FINDING, rescue=event.plan), (Do.OPEN_WIRE, Do.FIND_STAGED)
        case _:
            return replace(judged, step=Step.RESTORING), (Do.OPEN_WIRE,)


def _at_rest(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.CHECKING), (Do.CHECK_IN,)
        case ev.Notice():
            return replace(m, step=Step.CHECKING), (Do.CHECK_IN,)
    return m, ()


def _checking(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.NothingNewer(again_in=again) if m.action:
            # The server gave no new file, but it has not heard yet how the last one ended.
            return replace(m, step=Step.TELLING), (Tell(Phase.UPDATED, Verdict.CONFIRMED, action=m.action),)
        case ev.NothingNewer(again_in=again):
            return _idle(m, now + (m.policy.poll if again is None else again), consent=b""), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer) if offer.envelope == m.avoid and now < m.avoid_until:
            return _idle(m, now + m.policy.poll), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer):
            return replace(m, step=Step.WEIGHING, offer=offer, tries=0), (Do.WEIGH,)
        case ev.LinkLost():
            return _idle(m, now + m.policy.delay(m.tries + 1), tries=_more(m)), (Do.CLOSE_LINK,)
        case ev.LinkRefused():
            return _idle(m, now + m.policy.poll), (Do.CLOSE_LINK,)
    return m, ()


def _weighing(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Weighed(weight=Weight.ACCEPTED):
            return replace(m, step=Step.RESERVING, action=""), (Do.RESERVE,)
        case ev.Weighed(weight=Weight.INSTALLED):
            return replace(m, step=Step.TELLING), (Tell(Phase.UPDATED, Verdict.CONFIRMED),)
        case ev.Weighed(reason=reason):
            return replace(m, step=Step.TELLING, action=""), (Tell(Phase.FAILED, Verdict.REFUSED, reason),)
        case ev.LinkLost():
            return _idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK,)
    return m, ()


def _reserving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Secured(amount=amount) if m.rescue is not None:
            return replace(m, step=Step.RECEIVING, secured=amount), (Do.RESCUE,)
        case ev.Secured(amount=amount):
            return replace(m, step=Step.ASKING, secured=amount), (Do.ASK_GATE,)
        case ev.Short(by=by) if m.rescue is not None:
            return replace(m, step=Step.RESTORING, due=now + m.policy.back_off), (Do.OPEN_WIRE,)
        case ev.Short(by=by):
            reason = f"cannot lend the memory: short by {by} bytes"
            return replace(m, step=Step.TELLING), (Tell(Phase.FAILED, Verdict.REFUSED, reason),)
        case ev.LinkLost() if m.rescue is None:
            return _idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _asking(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    assert m.offer is not None
    go = replace(m, step=Step.RECEIVING), (Tell(Phase.DOWNLOADING, secured=m.secured), Do.FETCH)
    match event:
        case ev.MayInstall():
            return go
        case ev.MayNot(ask=True) if m.consent == m.offer.envelope:
            return go
        case ev.MayNot(reason=reason, ask=True, until=until):
            waiting = replace(m, step=Step.WAITING_FOR_USER, secured=0, due=until)
            return waiting, (Do.RETURN_MEMORY, Tell(Phase.WAITING_FOR_USER, reason=reason), Do.CLOSE_LINK, Do.ASK_USER)
        case ev.MayNot(reason=reason, until=until):
            waiting = replace(m, step=Step.WAITING_FOR_USE_END, secured=0, due=until)
            return waiting, (Do.RETURN_MEMORY, Tell(Phase.WAITING_FOR_USE_END, reason=reason), Do.CLOSE_LINK)
        case ev.LinkLost():
            return _idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _waiting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """For people or for the end of use. Whatever ends it, the offer is asked for anew: it may have been withdrawn."""
    assert m.offer is not None
    match event:
        case ev.Answered(yes=True):
            return replace(m, step=Step.CHECKING, consent=m.offer.envelope, offer=None), (Do.CHECK_IN,)
        case ev.Answered():
            return replace(m, due=now + m.policy.ask_again), ()
        case ev.UseEnded():
            return replace(m, step=Step.CHECKING, offer=None), (Do.CHECK_IN,)
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.CHECKING, offer=None), (Do.CHECK_IN,)
    return m, ()


def _receiving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Received(held=held):
            return replace(m, held=held, tries=0), ()
        case ev.Complete():
            return replace(m, step=Step.CHECKING_FILE, tries=0), (Do.CHECK_FILE,)
        case ev.LinkLost() if m.rescue is None and m.tries >= m.policy.most_tries:
            return _idle(m, now + m.policy.retry_most), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
        case ev.LinkLost():
            parked = replace(m, step=Step.PARKED, tries=_more(m), due=now + m.policy.delay(m.tries + 1))
            return parked, (Do.CLOSE_LINK,)
        case ev.LinkRefused() if m.rescue is not None:
            parked = replace(m, step=Step.PARKED, tries=_more(m), due=now + m.policy.retry_most)
            return parked, (Do.CLOSE_LINK,)
        case ev.LinkRefused():
            return _idle(m, now + m.policy.poll), (Do.CLOSE_LINK, Do.DROP_STAGED, Do.RETURN_MEMORY)
    return m, ()


def _parked(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.RECEIVING), (Do.FETCH if m.rescue is None else Do.RESCUE,)
        case ev.Notice():
            return replace(m, step=Step.RECEIVING), (Do.FETCH if m.rescue is None else Do.RESCUE,)
    return m, ()


def _checking_file(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.FileGood() if m.rescue is not None:
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.RESUME)
        case ev.FileGood():
            return replace(m, step=Step.PROVING), (Tell(Phase.DOWNLOADED), Do.CLOSE_LINK, Do.REHEARSE)
        case ev.FileBad() if m.rescue is not None and not m.secured:
            return replace(m, step=Step.RESERVING), (Do.DROP_STAGED, Do.RESERVE)
        case ev.FileBad() if m.rescue is not None:
            parked = replace(m, step=Step.PARKED, held=0, tries=_more(m), due=now + m.policy.retry_most)
            return parked, (Do.CLOSE_LINK, Do.DROP_STAGED)
        case ev.FileBad(reason=reason):
            told = (Tell(Phase.DOWNLOADING, reason=reason), Do.CLOSE_LINK, Do.DROP_STAGED, Do.RETURN_MEMORY)
            return _idle(m, now + m.policy.retry_most), told
    return m, ()


def _proving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    assert m.offer is not None
    match event:
        case ev.Proved():
            return replace(m, step=Step.READYING, tries=0), (Do.CHECK_READY,)
        case ev.NotProved(failures=failures, reason=reason) if failures >= MAX_PROOFS:
            left = replace(m, step=Step.TELLING, secured=0, avoid=m.offer.envelope, avoid_until=now + m.policy.back_off)
            return left, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.FAILED, Verdict.REFUSED, reason))
        case ev.NotProved(reason=reason):
            told = (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.DOWNLOADED, reason=reason), Do.CLOSE_LINK)
            return _idle(m, now + m.policy.retry_most), told
    return m, ()


def _readying(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Ready() if m.policy.ask_last:
            return replace(m, step=Step.LAST_WORD), (Do.ASK_LAST,)
        case ev.Ready():
            return replace(m, step=Step.REWRITING), (Do.REWRITE,)
        case ev.NotReady() if m.tries >= m.policy.most_tries:
            return _idle(m, now + m.policy.retry_most), (Do.RETURN_MEMORY,)
        case ev.NotReady():
            return replace(m, tries=_more(m), due=now + m.policy.delay(m.tries + 1)), ()
        case ev.Tick() if m.tries and now >= m.due:
            return m, (Do.CHECK_READY,)
    return m, ()


def _last_word(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Go():
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.REWRITE)
        case ev.NoWord() if m.policy.go_when_silent:
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.REWRITE)
        case ev.NoWord() | ev.LinkLost():
            # Wait: G6 is asked again too, for power may have failed meanwhile.
            waiting = replace(m, step=Step.READYING, tries=1, due=now + m.policy.retry_most)
            return waiting, (Do.CLOSE_LINK,)
        case ev.Stop(reason=reason):
            stopped = replace(m, step=Step.TELLING, secured=0)
            return stopped, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.IDLE, Verdict.REFUSED, reason))
    return m, ()


def _rewriting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Rewritten():
            return replace(m, step=Step.JUDGING), (Do.JUDGE,)
        case ev.RewriteRefused() if m.rescue is not None:
            # The file is not the one the open plan needs: the wire helps; by air it is tried again later.
            wired = replace(m, step=Step.RESTORING, secured=0, held=0, due=now + m.policy.back_off)
            return wired, (Do.DROP_STAGED, Do.RETURN_MEMORY, Do.OPEN_WIRE)
        case ev.RewriteRefused(reason=reason):
            refused = replace(m, step=Step.TELLING, secured=0)
            return refused, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.FAILED, Verdict.REFUSED, reason))
        case ev.RewriteFailed():
            failed = Machine(policy=m.policy, step=Step.RESTARTING)
            return failed, (Do.GIVE_UP, Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


def _judging(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    restarting = Machine(policy=m.policy, step=Step.RESTARTING)
    match event:
        case ev.Judged(good=True):
            return restarting, (Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
        case ev.Judged():
            return restarting, (Do.GIVE_UP, Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


def _trying(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.SelfTested(good=True) if m.policy.confirm_by_contact:
            return replace(m, step=Step.CONTACTING), (Do.CHECK_IN,)
        case ev.SelfTested(good=True):
            return replace(m, step=Step.CONFIRMING), (Do.CONFIRM,)
        case ev.SelfTested():
            return replace(m, step=Step.RESTORING, due=now), (Do.GIVE_UP, Do.OPEN_WIRE)
    return m, ()


def _contacting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """Any answer of the server shows that the new image can be updated again: that is what confirms it."""
    match event:
        case ev.Offered(offer=offer):
            return replace(m, step=Step.CONFIRMING, offer=offer, tries=0), (Do.CONFIRM,)
        case ev.NothingNewer():
            return replace(m, step=Step.CONFIRMING, tries=0), (Do.CONFIRM,)
        case ev.LinkLost() | ev.LinkRefused():
            return replace(m, tries=_more(m), due=now + m.policy.delay(m.tries + 1)), (Do.CLOSE_LINK,)
        case ev.Tick() if m.tries and now >= m.due:
            return m, (Do.CHECK_IN,)
    return m, ()


def _confirming(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Confirmed() if m.offer is not None:
            return replace(m, step=Step.WEIGHING), (Do.WEIGH,)
        case ev.Confirmed() if m.action:
            return replace(m, step=Step.TELLING), (Tell(Phase.UPDATED, Verdict.CONFIRMED, action=m.action),)
        case ev.Confirmed():
            # The server learns it from the next check-in, which is due at once.
            return _idle(m, now), (Do.CLOSE_LINK,)
        case ev.NotConfirmed():
            return replace(m, step=Step.RESTORING, offer=None, due=now), (Do.CLOSE_LINK, Do.GIVE_UP, Do.OPEN_WIRE)
    return m, ()


def _telling(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Told() | ev.LinkRefused():
            return _idle(m, now + m.policy.poll, action="", consent=b""), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
        case ev.LinkLost():
            # A lost verdict is told at the next contact: the offer comes again, or `action` is still known.
            return _idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _finding(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Found(complete=True):
            return replace(m, step=Step.CHECKING_FILE), (Do.CHECK_FILE,)
        case ev.Found():
            return replace(m, step=Step.RESERVING), (Do.RESERVE,)
    return m, ()


def _restoring(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """The wire works; meanwhile the air is tried again where there is an open plan, else the server is told."""
    match event:
        case ev.Tick() if now >= m.due and m.rescue is not None:
            return replace(m, step=Step.RESERVING, tries=0), (Do.RESERVE,)
        case ev.Tick() if now >= m.due:
            return replace(m, due=now + m.policy.poll), (Do.CHECK_IN,)
        case ev.WireSpeaks():
            return replace(m, due=now + m.policy.back_off), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer):
            told = Tell(Phase.RESTORING, Verdict.RESTORATION, action=offer.action)
            return replace(m, action=""), (told, Do.CLOSE_LINK)
        case ev.NothingNewer() if m.action:
            return replace(m, action=""), (Tell(Phase.RESTORING, Verdict.RESTORATION, action=m.action), Do.CLOSE_LINK)
        case ev.NothingNewer() | ev.LinkLost() | ev.LinkRefused():
            return m, (Do.CLOSE_LINK,)
        case ev.Restored():
            return Machine(policy=m.policy, step=Step.RESTARTING), (Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


def _deaf(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """Only a power-up is heard."""
    return m, ()


def _more(m: Machine) -> int:
    """One try more; beyond the policy's bound it makes no difference."""
    return min(m.tries + 1, m.policy.most_tries + 1)


_HANDLERS = {
    Step.DARK: _deaf,
    Step.IDLE: _at_rest,
    Step.CHECKING: _checking,
    Step.WEIGHING: _weighing,
    Step.RESERVING: _reserving,
    Step.ASKING: _asking,
    Step.WAITING_FOR_USE_END: _waiting,
    Step.WAITING_FOR_USER: _waiting,
    Step.RECEIVING: _receiving,
    Step.PARKED: _parked,
    Step.CHECKING_FILE: _checking_file,
    Step.PROVING: _proving,
    Step.READYING: _readying,
    Step.LAST_WORD: _last_word,
    Step.REWRITING: _rewriting,
    Step.JUDGING: _judging,
    Step.RESTARTING: _deaf,
    Step.TRYING: _trying,
    Step.CONTACTING: _contacting,
    Step.CONFIRMING: _confirming,
    Step.TELLING: _telling,
    Step.FINDING: _finding,
    Step.RESTORING: _restoring,
}
