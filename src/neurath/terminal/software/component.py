"""The installer of a component that is a file: gates, proof, switch, judgement, the way back. It knows a record and a form
(how its kind of software is put in place); it must never call anything installed that it has not read from the bytes that are
there. Spec: docs/spec/installed.md; contract: tests/contracts/installer.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from neurath.errors import DataError, NeurathError, RefusedError
from neurath.flash import apart, gates
from neurath.flash.bank import Facts, ImageRecord
from neurath.flash.geometry import file_layout
from neurath.flash.trust import Birth, Envelope, read_envelope, read_ticket
from neurath.ids import ComponentName
from neurath.terminal.identity import Held, Lending, check_of
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Fate, Weight
from neurath.terminal.setup import Hooks
from neurath.terminal.software.hooks import run
from neurath.terminal.software.installed import Book, Installed
from neurath.wire.check import Check
from neurath.wire.offer import Kind, Offer

if TYPE_CHECKING:
    from neurath.terminal.install import Written
    from neurath.terminal.restart import Waiting

#: A release that came to nothing so often is not taken again.
MAX_FAILURES = 3
#: What is there when nothing is.
NOTHING = Held(hashlib.sha256(b"").digest(), 0)

Data = bytes | memoryview


class Form(Protocol):
    """How one kind of software is put in place. OSError and NeurathError where something cannot be done."""

    def held(self) -> Held:
        """What is there, read from it now: NOTHING where nothing is, another digest where it is not what was put there."""
        ...

    def contents(self) -> bytes | None:
        """The bytes as they came, for a delta; None where they cannot be had any more."""
        ...

    def check(self, data: Data) -> None:
        """DataError where this cannot be put in place; changes nothing."""
        ...

    def put(self, data: Data, name: bytes) -> None:
        """Puts it in place of the software before, which stays at hand; `name` is its SHA-256."""
        ...

    def back(self) -> None:
        """The software before is in its place again, also after a cut anywhere in put()."""
        ...

    def tidy(self) -> None:
        """Nothing is under way: what a cut left behind goes, and so does the software before."""
        ...


@dataclass(frozen=True, slots=True)
class Trust:
    """Who this terminal is and whom it believes, for one component: a birth record with the component's class."""

    birth: Birth
    component: ComponentName


class Software:
    """One component. Nothing here raises a NeurathError or an OSError."""

    def __init__(self, trust: Trust, form: Form, book: Book, hooks: Hooks | None = None, *, assigned: bool = False) -> None:
        self._assigned = assigned
        self.component = trust.component
        self.birth = trust.birth
        self.form = form
        self._book = book
        self._hooks = hooks or Hooks()
        self._record = Installed()
        self._damaged = ""
        self._envelope: Envelope | None = None
        self._offer: Offer | None = None
        self._gave_up = ""
        self.waiting: Waiting | None = None  # what it asks where it needs a restart of the machine

    # ---- what is there ------------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """What the record says, where the bytes agree."""
        return self._facts(self._held())

    def _facts(self, held: Held) -> Facts:
        record, there = self._record, ImageRecord()
        candidate = _is(record.target, held)
        if candidate or _is(record.confirmed, held):
            there = record.target if candidate else record.confirmed
        return Facts(
            installed=there,
            confirmed=record.confirmed,
            installs=record.installs,
            serial=record.serial,
            candidate=candidate,
            failed=record.failed,
            failed_proofs=record.failures,
        )

    def _held(self) -> Held:
        try:
            return self.form.held()
        except (OSError, NeurathError):
            return NOTHING  # what cannot be read is not there

    def start(self, *, fault: bool = False) -> ev.PoweredUp:
        """Whatever was cut ends here: what is there is the software before, or the new one whole, still to be confirmed."""
        try:
            self._record, self._damaged = self._book.read(), ""
            return self._started()
        except DataError as problem:
            self._record, self._damaged = Installed(), problem.what
        except (OSError, NeurathError) as problem:
            self._damaged = f"its state cannot be written: {problem}"
        return ev.PoweredUp(Fate.BOOT)

    def _started(self) -> ev.PoweredUp:
        record = self._record
        if record.target.size and _is(record.target, self._held()):
            if self.waiting is None:
                return ev.PoweredUp(Fate.BOOT, candidate=True)
            return ev.PoweredUp(Fate.BOOT, candidate=True, action=self.waiting.action(), waits=self.waiting.waits())
        if record.target.size:
            self.form.back()
            self._write(replace(record, target=ImageRecord()))
        self.form.tidy()
        back, self._gave_up = self._gave_up, ""
        if self.waiting is not None:
            self.waiting.waits()  # what was given up runs until then
        return ev.PoweredUp(Fate.BOOT, back=back)

    def _write(self, record: Installed) -> None:
        self._book.write(record)
        self._record = record

    def check(self, lending: Lending, state: str) -> Check:
        """The check-in of this moment; what is there is read for it. Without the bytes as they came no delta can be used."""
        held = self._held()
        if self.form.contents() is None:
            lending = replace(lending, ram=0, stage=max(lending.stage, lending.ram))
        return replace(check_of(self.birth, self._facts(held), held, lending, state), component=self.component)

    def takes_part(self) -> bool:
        """It is there, or was once, or is to be installed where it is not."""
        return self._assigned or bool(self._record.confirmed.size) or self._held() != NOTHING

    # ---- gates --------------------------------------------------------------------------------------------------------

    def room(self, offer: Offer, *, in_ram: bool) -> int:
        """RAM to secure: for a delta what its decoder wants and both versions; the file where it gathers there."""
        return offer.need + (offer.size if in_ram else 0)

    def weigh(self, offer: Offer, *, in_ram: bool) -> ev.Weighed:
        """G1 and G2: who signed it, is it for this terminal and this component, above the floor, made for what is there."""
        try:
            if self._damaged:
                raise RefusedError(self._damaged, "the floor cannot be known", "see docs/spec/installed.md 4")
            held = self._held()
            facts = self._facts(held)
            envelope = read_envelope(offer.envelope, self.birth.release)
            if facts.installed.envelope == envelope.digest[:16] and not facts.candidate:
                return ev.Weighed(Weight.INSTALLED)
            gates.gate_envelope(envelope, self.birth.vendor, self.birth.klass, facts)
            self._not_failed(envelope)
            serial = self._ticket(offer, envelope, facts, held)
            if serial > self._record.serial:
                self._write(replace(self._record, serial=serial))
        except NeurathError as refusal:
            return ev.Weighed(Weight.REFUSED, f"{refusal.what}: {refusal.why}")
        except OSError as fault:
            return ev.Weighed(Weight.REFUSED, f"its state cannot be written: {fault.strerror}")
        self._envelope, self._offer, self._gave_up = envelope, offer, ""
        return ev.Weighed(Weight.ACCEPTED)

    def _not_failed(self, envelope: Envelope) -> None:
        if self._record.failed == envelope.digest[:16] and self._record.failures >= MAX_FAILURES:
            why = f"it came to nothing {self._record.failures} times"
            raise RefusedError("this release is not tried again", why, "offer another one")

    def _ticket(self, offer: Offer, envelope: Envelope, facts: Facts, held: Held) -> int:
        if self.birth.ticket is None:
            raise RefusedError("this terminal believes no server", "no ticket key is named", "ticket_key in its setup")
        ticket = read_ticket(offer.ticket, [self.birth.ticket])
        named = (ticket.file, ticket.file_size, ticket.kind)
        if named != (offer.file[:16], offer.size, offer.kind.value):
            raise RefusedError(
                "the offer is not the one the ticket was made for", "file, size or kind differ", "check in again"
            )
        gates.gate_ticket(ticket, envelope, self.birth, facts, held.digest)
        whole = (offer.file, offer.size) == (envelope.image, envelope.image_size)
        if offer.kind is Kind.FULL and not whole:
            raise RefusedError("this is not the file that was signed", "digest or size differ", "offer the file as it is")
        return ticket.serial

    def prove(self, file: Data, ram: int) -> ev.Proved | ev.NotProved:
        """G5: the file is the one that was signed, and can be put in place. Nothing is changed."""
        try:
            self._proven(file)
        except (NeurathError, OSError) as refusal:
            return ev.NotProved(self._count(), _why(refusal))
        return ev.Proved()

    def _proven(self, file: Data) -> Data:
        assert self._envelope is not None
        assert self._offer is not None
        data: Data = file
        if self._offer.kind is Kind.DELTA:
            old = self.form.contents()
            if old is None:
                raise RefusedError("a delta cannot be used here", "the version before is not at hand", "send it whole")
            data = apart.decode(old, bytes(file), file_layout())
        if len(data) != self._envelope.image_size or hashlib.sha256(data).digest() != self._envelope.image:
            raise DataError("this is not the software that was signed", "its digest is another", "it is fetched anew")
        self.form.check(data)
        return data

    def _count(self) -> int:
        """One attempt more that came to nothing; how many there are of this release."""
        assert self._envelope is not None
        name = self._envelope.digest[:16]
        failures = min(self._record.failures + 1, 0xFFFF) if self._record.failed == name else 1
        try:
            self._write(replace(self._record, failed=name, failures=failures))
        except OSError:
            self._record = replace(self._record, failed=name, failures=failures)
        return failures

    def ready(self) -> ev.Ready | ev.NotReady:
        """G6: the operator's hook says yes."""
        said = self._hook(self._hooks.before)
        return ev.Ready() if said is None else ev.NotReady(said)

    def _hook(self, words: tuple[str, ...]) -> str | None:
        """None where all is well; else what is wrong."""
        if not words:
            return None
        version = self._envelope.version if self._envelope else ""
        said = run(words, self._hooks.time, {"NEURATH_COMPONENT": self.component, "NEURATH_VERSION": version})
        return None if said.good else f"{words[0]} says no: {said.text}"

    # ---- the switch ---------------------------------------------------------------------------------------------------

    def rewrite(self, file: Data, ram: int) -> Written:
        """Puts it in place. Written down first, so that a cut anywhere in it is seen by start()."""
        assert self._envelope is not None
        sealed, record = self._envelope, self._record
        target = ImageRecord(sealed.image, sealed.image_size, sealed.digest[:16], sealed.sequence, sealed.epoch)
        try:
            data = self._proven(file)
            self._begin(sealed.version)
            self._write(replace(record, target=target, installs=record.installs + 1))
            self.form.put(data, sealed.image)
        except (NeurathError, OSError) as fault:
            return self._undone(_why(fault))
        said = self._hook(self._hooks.after)
        self._gave_up = said or ""
        return ev.Rewritten() if said is None else ev.RewriteFailed(said)

    def _begin(self, version: str) -> None:
        if self.waiting is not None:
            self.waiting.begin(version, "" if self._offer is None else self._offer.action)

    def _undone(self, reason: str) -> Written:
        if not self._record.target.size:
            return ev.RewriteRefused(reason)
        try:
            self.form.back()
            self._write(replace(self._record, target=ImageRecord()))
            self.form.tidy()
        except (NeurathError, OSError) as fault:
            return ev.RewriteFailed(f"{reason}; {_why(fault)}")  # the next start tries again
        return ev.RewriteRefused(reason)

    def resume(self, file: Data, ram: int) -> Written:
        return ev.RewriteRefused("nothing is ever left half written")

    def judge(self) -> ev.Judged:
        """Read again from what is there."""
        return ev.Judged(bool(self._record.target.size) and _is(self._record.target, self._held()))

    def self_test(self) -> ev.SelfTested:
        good = _is(self._record.target, self._held())
        said = self._hook(self._hooks.health) if good else "what is there is not what was put there"
        if said is not None:
            self._gave_up = said
        return ev.SelfTested(said is None)

    def confirm(self) -> ev.Confirmed | ev.NotConfirmed:
        """From now on the software before is of no use: it is below the floor."""
        record = self._record
        try:
            if record.target.size:
                cleared = replace(record, confirmed=record.target, target=ImageRecord(), failed=bytes(16), failures=0)
                self._write(cleared)
            self.form.tidy()
            if self.waiting is not None:
                self.waiting.end()
        except (NeurathError, OSError) as fault:
            return ev.NotConfirmed(_why(fault))
        return ev.Confirmed()

    def give_up(self) -> ev.RolledBack | None:
        """The software before is back, and its hook has run; where even that fails the next start tries again."""
        record = self._record
        reason = self._gave_up or "it is not what it should be"
        if record.target.size:
            failures = record.failures + 1 if record.failed == record.target.envelope else 1
            record = replace(record, failed=record.target.envelope, failures=failures)
        try:
            self._begin("before")
            self._write(record)
            self.form.back()
            self._write(replace(record, target=ImageRecord()))
            self.form.tidy()
        except (NeurathError, OSError) as fault:
            reason = f"{reason}; the software before cannot be put back: {_why(fault)}"
        self._hook(self._hooks.after)
        if self.waiting is not None:
            self.waiting.waits()
        self._gave_up = f"{reason}; the software before runs again"
        return ev.RolledBack(self._gave_up)


def _is(record: ImageRecord, held: Held) -> bool:
    return record.size > 0 and (record.image, record.size) == (held.digest, held.size)


def _why(fault: NeurathError | OSError) -> str:
    if isinstance(fault, OSError):
        return f"{fault.strerror or type(fault).__name__}{f' ({fault.filename})' if fault.filename else ''}"
    return f"{fault.what}: {fault.why}" if fault.why else fault.what
