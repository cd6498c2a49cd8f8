"""What the machine's words mean in deeds: one method an action, each answering with the event that came of it. It knows the
parts of an agent; it must never choose what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neurath.errors import LinkError, NeurathError
from neurath.terminal import rescue
from neurath.terminal.gate import Wish
from neurath.terminal.identity import Lending
from neurath.terminal.lessons import Lessons
from neurath.terminal.machine import Machine, Step
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Do, Fate, Tell
from neurath.terminal.memory import heap
from neurath.terminal.parts import Parts
from neurath.terminal.staging.transfer import Wanted
from neurath.wire.report import Report, Verdict

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Ending:
    """How the last session ended: an exit code and, where it is not 0, what happened, why, and what to try."""

    code: int
    reason: str = ""
    why: str = ""
    hint: str = ""


def wanted_of(m: Machine) -> Wanted | None:
    """The file that is being worked on."""
    if m.rescue is not None:
        return Wanted(m.rescue.file, m.rescue.size, rescue=True)
    return None if m.offer is None else Wanted(m.offer.file, m.offer.size)


class Acts:
    """The deeds of one terminal. `word(**fields)` is called with true progress."""

    def __init__(self, parts: Parts, clock: Callable[[], float], word: Callable[..., None]) -> None:
        self.parts = parts
        self.clock = clock
        self.word = word
        self.ending: Ending | None = None
        self._action = ""
        self._linked = False
        self._lessons = Lessons()
        self._doing: dict[Do, Callable[[Machine], ev.Event | None]] = {
            Do.CHECK_IN: self._check_in,
            Do.CLOSE_LINK: self._close,
            Do.WEIGH: self._weigh,
            Do.RESERVE: self._reserve,
            Do.RETURN_MEMORY: self._return_memory,
            Do.ASK_GATE: self._ask_gate,
            Do.ASK_LINE: self._ask_line,
            Do.FETCH: self._fetch,
            Do.RESCUE: self._fetch,
            Do.CHECK_FILE: self._check_file,
            Do.DROP_STAGED: self._drop,
            Do.REHEARSE: self._rehearse,
            Do.CHECK_READY: lambda m: parts.installer.ready(),
            Do.ASK_LAST: self._ask_last,
            Do.REWRITE: self._rewrite,
            Do.RESUME: self._rewrite,
            Do.JUDGE: self._judge,
            Do.RESTART: lambda m: self.start(),
            Do.SELF_TEST: lambda m: parts.installer.self_test(),
            Do.CONFIRM: self._confirm,
            Do.GIVE_UP: self._give_up,
            Do.FIND_STAGED: self._find_staged,
        }

    def perform(self, action: Do | Tell, m: Machine) -> ev.Event | None:
        """Does it; the event that came of it, None: nothing to hear. ASK_USER and OPEN_WIRE are standing: the answer of a
        person and the wire come in by themselves."""
        if isinstance(action, Tell):
            return self._tell(action, m)
        deed = self._doing.get(action)
        if deed is None:
            return None
        if action in _LINK:
            return deed(m)  # the wire is served meanwhile
        with self.parts.lock:
            return deed(m)

    def pop_ending(self) -> Ending | None:
        """How the session that just ended did end; None: none has."""
        ending, self.ending = self.ending, None
        return ending

    def start(self, *, fault: bool = False) -> ev.PoweredUp:
        """Power-up or restart: everything is read from the flash, RAM is empty."""
        parts = self.parts
        with parts.lock:
            woken = parts.installer.start(fault=fault)
            parts.transfer.power_up(parts.arena(woken.fate is Fate.BOOT))
            if parts.heart is not None and parts.heart.session.spare:
                parts.heart.session.power_up()
            parts.attach(woken.fate)
        parts.trace.note("power up", fate=woken.fate.name, candidate=woken.candidate)
        return replace(woken, action=self._action or woken.action)

    # ---- the link -------------------------------------------------------------------------------------------------------

    def _check_in(self, m: Machine) -> ev.Event:
        parts = self.parts
        if not parts.installer.takes_part():
            self.ending = self.ending or Ending(3, f"{parts.installer.component} is not here, and was not assigned")
            return ev.NothingNewer()
        if m.step is Step.RESTORING and (other := self._help()) is not None:
            return other
        staged, sync = parts.transfer.staged()
        spare = 0 if parts.heart is None else parts.heart.session.spare
        lending = Lending(parts.transfer.reserve.lendable, parts.stage_room, parts.transfer.rate, staged, sync, spare)
        self._linked = True
        try:
            with parts.lock:
                check = parts.installer.check(lending, m.phase.value)
            parts.trace.note("check", bank=check.bank, ram=check.ram, state=check.state, staged_bytes=check.staged_bytes)
            answer = parts.carrier.check(check)
            if self._lessons.learn(parts, self.clock(), answer) and answer.offer is not None:
                with parts.lock:
                    check = parts.installer.check(lending, m.phase.value)
                answer = parts.carrier.check(check)  # the ticket names the list
        except NeurathError as fault:
            return self._failed(fault)
        offer = answer.offer
        if offer is None or offer.component != parts.installer.component:
            parts.trace.note("nothing newer", again_in=answer.again_in)
            if offer is None:
                parts.ledger.nothing_newer(check.bank, self.clock())
            self.ending = self.ending or Ending(3, "nothing newer")
            return ev.NothingNewer(answer.again_in)
        parts.trace.note("offer", kind=offer.kind.name, file=offer.file, size=offer.size, need=offer.need, action=offer.action)
        parts.ledger.offered(offer, check.bank, self.clock())
        if offer.remind:
            parts.trace.note("reminder", text=offer.remind, version=offer.version)
            self.word(reminder=offer.remind, reason=offer.remind)
            parts.gate.remind(offer.remind)
        if parts.heart is not None and not parts.transfer.found(Wanted(offer.file, offer.size)):
            # It rides on heartbeats: nobody is asked for memory, and no link is opened, before it is complete.
            parts.trace.note("it trickles", file=offer.file)
            self.ending = self.ending or Ending(3, "the update trickles in")
            return ev.NothingNewer(answer.again_in)
        return ev.Offered(offer)

    def _failed(self, fault: NeurathError) -> ev.LinkLost | ev.LinkRefused:
        lost = isinstance(fault, LinkError)
        self.parts.trace.note("link lost" if lost else "link refused", what=fault.what, why=fault.why)
        self.word(reason=f"{fault.what}: {fault.why}", **{"try": fault.hint})
        self.ending = Ending(fault.exit_code, fault.what, fault.why, fault.hint)
        return ev.LinkLost() if lost else ev.LinkRefused(fault.what)

    def _close(self, m: Machine) -> None:
        self.parts.carrier.close()
        heap.give_back()
        if self._linked:
            self._linked = False
            self.parts.trace.note("link closed")

    def _tell(self, tell: Tell, m: Machine) -> ev.Event | None:
        parts, wanted = self.parts, wanted_of(m)
        final = tell.verdict is not Verdict.PENDING
        with parts.lock:
            bank = parts.installer.check(Lending(0), m.phase.value).bank if final else b""
        report = Report(
            action=tell.action or (m.offer.action if m.offer else self._action),
            phase=tell.phase,
            verdict=tell.verdict,
            done=parts.transfer.held,
            total=wanted.size if wanted else 0,
            secured=tell.secured,
            bank=bank,
            reason=tell.reason[:500],
        )
        if final:
            self.parts.gate.forget(self.parts.installer.component)
            self.ending = Ending(0 if tell.verdict is Verdict.CONFIRMED else 5, tell.reason)
            parts.trace.note("verdict", verdict=tell.verdict.value, bank=report.bank, reason=tell.reason)
        if tell.secured:
            parts.trace.note("secured", amount=tell.secured, asked=list(parts.transfer.reserve.asked))
        self._linked = True
        try:
            parts.carrier.report(report)
        except NeurathError as fault:
            # Only what the other side must know is worth another try.
            return self._failed(fault) if final or tell.secured else None
        if not final:
            return None
        self._action = ""
        parts.trace.note("told", verdict=tell.verdict.value)
        self.word(verdict=tell.verdict.value, reason=tell.reason)
        return ev.Told()

    def _fetch(self, m: Machine) -> ev.Event:
        parts, wanted = self.parts, _need(m)
        other = self._help() if wanted.rescue else None
        if other is not None:
            return other
        ahead = m.policy.ahead and m.offer is not None
        if ahead and not parts.transfer.open(wanted).complete:
            asked = parts.line.may_fetch(self.clock())
            if isinstance(asked, ev.MayNotFetch):
                return ev.Paused(asked.until)
        parts.trace.note("request", file=wanted.file, offset=parts.transfer.open(wanted).held, rescue=wanted.rescue)
        self._linked = True
        paused: list[ev.Event] = []

        def came(held: int) -> bool:
            parts.trace.note("pieces", held=held, total=wanted.size)
            self.word(done=held, total=wanted.size)
            asked = parts.line.came(held, self.clock()) if ahead else ev.MayFetch()
            if isinstance(asked, ev.MayNotFetch):
                paused.append(ev.Paused(asked.until))
                return False
            return parts.wire is None or not parts.wire.speaks or not wanted.rescue

        outcome = parts.transfer.run(parts.carrier, wanted, came)
        if paused and isinstance(outcome, ev.WireSpeaks):
            parts.trace.note("paused", held=parts.transfer.held)
            return paused[0]
        if isinstance(outcome, ev.LinkLost):
            parts.trace.note("link lost", held=parts.transfer.held, total=wanted.size)
            self.word(done=parts.transfer.held, total=wanted.size, reason="the link was lost; what is here stays")
            self.ending = Ending(6, "the link was lost")
        elif isinstance(outcome, ev.LinkRefused):
            parts.trace.note("link refused", what=outcome.reason)
            self.word(reason=outcome.reason)
            self.ending = Ending(5, outcome.reason)
            if wanted.rescue:
                return self._help(lost=True) or outcome
        return outcome

    def _help(self, *, lost: bool = False) -> ev.Event | None:
        found = rescue.ask(self.parts, lost=lost)
        self._linked = self._linked or found is not None
        return self._failed(found) if isinstance(found, NeurathError) else found

    def _ask_last(self, m: Machine) -> ev.Event:
        assert m.offer is not None
        self._linked = True
        try:
            wanted = self.parts.carrier.still_wanted(m.offer.action)
        except NeurathError:
            return ev.NoWord()
        return ev.Go() if wanted else ev.Stop("the server has withdrawn it")

    # ---- memory and gates -----------------------------------------------------------------------------------------------

    def _weigh(self, m: Machine) -> ev.Event:
        assert m.offer is not None
        weighed = self.parts.installer.weigh(m.offer, in_ram=self.parts.transfer.in_ram)
        self.parts.trace.note("weighed", weight=weighed.weight.name, reason=weighed.reason)
        return weighed

    def _reserve(self, m: Machine) -> ev.Event:
        transfer, wanted = self.parts.transfer, _need(m)
        installer = self.parts.installer
        amount = transfer.reserve.lendable if m.offer is None else installer.room(m.offer, in_ram=transfer.in_ram)
        heart = self.parts.heart
        beyond = wanted.size - max(self.parts.stage_room, 0 if heart is None else heart.session.spare)
        if m.offer is not None and not transfer.in_ram and beyond > 0:
            outcome: ev.Event = ev.Short(beyond)  # a server may name any size; the medium has an end
        else:
            outcome = transfer.secure(amount, wanted.size)
        if isinstance(outcome, ev.Short):
            self.parts.trace.note("short", by=outcome.by)
        return outcome

    def _return_memory(self, m: Machine) -> None:
        self.parts.transfer.give_back()

    def _ask_gate(self, m: Machine) -> ev.Event:
        assert m.offer is not None
        offer, rate = m.offer, self.parts.transfer.rate
        wish = Wish(self.parts.installer.component, offer.file, str(offer.version), m.late, offer.size, rate)
        answer = self.parts.gate.may_install(wish, self.clock())
        if isinstance(answer, ev.MayNot):
            self.parts.trace.note("gate", reason=answer.reason, ask=answer.ask)
            self.word(reason=answer.reason)
            self.ending = Ending(5, answer.reason)
        return answer

    def _ask_line(self, m: Machine) -> ev.Event:
        answer = self.parts.line.may_fetch(self.clock())
        if isinstance(answer, ev.MayNotFetch):
            self.parts.trace.note("line", reason=answer.reason)
            self.word(reason=answer.reason)
            self.ending = Ending(5, answer.reason)
        return answer

    def _check_file(self, m: Machine) -> ev.Event:
        outcome = self.parts.transfer.seal()
        if isinstance(outcome, ev.FileGood):
            self.parts.ledger.distributed(self.clock())
        self.parts.trace.note("file good" if isinstance(outcome, ev.FileGood) else "file bad")
        return outcome

    def _drop(self, m: Machine) -> None:
        self.parts.transfer.drop()

    def _find_staged(self, m: Machine) -> ev.Event:
        return ev.Found(self.parts.transfer.found(_need(m)))

    # ---- flash ----------------------------------------------------------------------------------------------------------

    def _lent(self, m: Machine) -> tuple[bytes | memoryview, int]:
        """The file and the RAM for the core."""
        transfer = self.parts.transfer
        if transfer.reserve.area is None:
            transfer.reserve.free(transfer.reserve.lendable)  # no image runs: all of it is free
        return transfer.contents(), transfer.lent(_need(m).size)

    def _rehearse(self, m: Machine) -> ev.Event:
        try:
            outcome: ev.Event = self.parts.installer.prove(*self._lent(m))
        except NeurathError as fault:
            outcome = ev.NotProved(1, fault.what)
        if isinstance(outcome, ev.NotProved):
            self.parts.trace.note("refused", failures=outcome.failures, reason=outcome.reason)
            self.word(reason=outcome.reason)
            self.ending = Ending(7, outcome.reason)
        else:
            self.parts.trace.note("proven")
        return outcome

    def _rewrite(self, m: Machine) -> ev.Event:
        try:
            file, ram = self._lent(m)
        except NeurathError as fault:
            return ev.RewriteRefused(fault.what)
        self._action = m.offer.action if m.offer is not None else ""
        self.parts.trace.note("first erase", resumed=m.rescue is not None)
        installer = self.parts.installer
        outcome = installer.resume(file, ram) if m.rescue is not None else installer.rewrite(file, ram)
        if not isinstance(outcome, ev.Rewritten):
            self.parts.trace.note("rewrite stopped", reason=outcome.reason)
            self.word(reason=outcome.reason)
        return outcome

    def _judge(self, m: Machine) -> ev.Event:
        judged = self.parts.installer.judge()
        self.parts.trace.note("judged", good=judged.good)
        return judged

    def _confirm(self, m: Machine) -> ev.Event:
        outcome = self.parts.installer.confirm()
        if isinstance(outcome, ev.Confirmed):
            self.ending = Ending(0)
            self.parts.ledger.ended(Verdict.CONFIRMED.value, self.clock(), installed=True)
            self.parts.trace.note("confirmed")
            self.word(verdict=Verdict.CONFIRMED.value)
        return outcome

    def _give_up(self, m: Machine) -> ev.Event | None:
        back = self.parts.installer.give_up()
        if back is not None:
            self.ending = Ending(1, back.reason, "the software before runs again", "see the trace, then offer another release")
            self.parts.ledger.ended(Verdict.FAILED.value, self.clock(), installed=False)
            self.parts.trace.note("rolled back", reason=back.reason)
            self.word(reason=back.reason)
            return back
        self.ending = Ending(1, "the bank does not hold a good image")
        self.parts.trace.note("verdict", verdict=Verdict.RESTORATION.value)
        return None


#: Actions during which the core is free for the wire.
_LINK = frozenset({Do.CHECK_IN, Do.FETCH, Do.RESCUE, Do.ASK_LAST, Do.CLOSE_LINK})


def _need(m: Machine) -> Wanted:
    wanted = wanted_of(m)
    assert wanted is not None
    return wanted
