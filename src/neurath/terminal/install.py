"""How one component of a terminal is installed: weighed, proven, rewritten, judged, confirmed. The single bank is the first
installer; packages and data files come later behind the same protocol. It knows gates G1, G2, G5, G6 and the core; it must
never decide the order of things (the machine does), and every failure it meets is an event. Contract:
tests/contracts/installer.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from neurath.errors import DataError, FlashError, NeurathError, RefusedError, TrustError
from neurath.flash import gates, rescue
from neurath.flash.bank import Facts, Reset, Target, Why
from neurath.flash.geometry import Model, model_from_toml
from neurath.flash.native import Core, Nor, need
from neurath.flash.trust import Birth, Envelope, Ticket, read_envelope, read_ticket
from neurath.flash.veil import is_veiled
from neurath.ids import FIRMWARE, ComponentName
from neurath.terminal import judge
from neurath.terminal.identity import Held, Lending, check_of
from neurath.terminal.keyring import Keyring, Source, kept
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Weight
from neurath.wire.check import Check

if TYPE_CHECKING:
    from neurath.wire.offer import Offer

#: Why a file is refused that is none of those its model takes.
UNSIGNED = "this model takes only update files that a release key signed for the release (docs/spec/signed.md)"
_IMPOSSIBLE = 0xFFFF_FFFF

Written = ev.Rewritten | ev.RewriteRefused | ev.RewriteStopped | ev.RewriteFailed


class Installer(Protocol):
    """One component. Each call answers with the event that the machine hears; none raises a NeurathError."""

    component: ComponentName

    def start(self, *, fault: bool = False) -> ev.PoweredUp: ...

    def takes_part(self) -> bool:
        """Whether the terminal has this component, or was assigned it: another is not asked for at all."""
        ...

    def room(self, offer: Offer, *, in_ram: bool) -> int:
        """RAM in bytes to secure for this offer, the file included where it gathers there."""
        ...

    def check(self, lending: Lending, state: str) -> Check: ...

    def weigh(self, offer: Offer, *, in_ram: bool) -> ev.Weighed: ...

    def prove(self, file: bytes | memoryview, ram: int) -> ev.Proved | ev.NotProved: ...

    def ready(self) -> ev.Ready | ev.NotReady: ...

    def rewrite(self, file: bytes | memoryview, ram: int) -> Written: ...

    def resume(self, file: bytes | memoryview, ram: int) -> Written: ...

    def judge(self) -> ev.Judged: ...

    def self_test(self) -> ev.SelfTested: ...

    def confirm(self) -> ev.Confirmed | ev.NotConfirmed: ...

    def give_up(self) -> ev.RolledBack | None:
        """Leaves what was written: the software before is back, or (None) only the wire is left."""
        ...


class SingleBank:
    """The firmware in the one bank of NOR flash, through the core. A power cut leaves it by PowerCut; `start` is then the
    only way back in, and it needs nothing but the flash."""

    component = ComponentName(FIRMWARE)

    def __init__(
        self,
        model: Model,
        nor: Nor,
        *,
        power_good: Callable[[], bool] = lambda: True,
        self_test: judge.SelfTest = lambda: True,
        lists: Path | None = None,
    ) -> None:
        self.model = model
        self.nor = nor
        self._power_good = power_good
        self._self_test = self_test
        self.fate = ev.Fate.RESTORE
        self.core = Core(model.layout, nor)
        self.birth: Birth | None = None
        self.keyring: Keyring | None = None
        self._lists = lists
        self._target: Target | None = None
        self._asked: Target | None = None

    @property
    def facts(self) -> Facts:
        """What the state log says."""
        return self.core.facts

    def bank_digest(self, size: int) -> bytes:
        return self.core.bank_digest(size)

    def start(self, *, fault: bool = False) -> ev.PoweredUp:
        """Power-up: everything is read from the flash anew."""
        self.core = Core(self.model.layout, self.nor)
        self._target = self._asked = None
        try:
            self.fate = ev.Fate(int(self.core.power_up(Reset.FAULT if fault else Reset.POWER)))
        except NeurathError:
            self.fate = ev.Fate.RESTORE  # a log or a bank that takes no write: the wire still answers
        self.keyring = None
        try:
            self.identify()
        except RefusedError:
            return ev.PoweredUp(ev.Fate.RESTORE)  # identity lost: only the wire can help (guided re-enrolment)
        self.keyring = Keyring(self._known(), self._lists, self.core)
        self.birth = self.keyring.birth()
        facts = self.core.facts
        plan = ev.OpenPlan(facts.target.file, facts.target.file_size) if self.fate is ev.Fate.FETCH else None
        return ev.PoweredUp(self.fate, candidate=facts.candidate, plan=plan)

    def takes_part(self) -> bool:
        """A terminal always has its firmware."""
        return True

    def room(self, offer: Offer, *, in_ram: bool) -> int:
        """nrt_need() of this offer, which the server has worked out and G2 has checked."""
        return offer.need

    def name(self) -> str:
        """The terminal's id out of its birth record; RefusedError where it is lost, DataError for another model."""
        birth = self.identify()
        if birth.model != self.model.name:
            why = f"a {birth.model}, not a {self.model.name}"
            raise DataError("this bank file is another kind of terminal", why, "check --model", id="NRT-277")
        return birth.id

    def identify(self) -> Birth:
        """The birth record, read now and without a power-up; RefusedError where it is lost."""
        try:
            self.birth = self.core.birth() if self.keyring is None else self.keyring.birth()
        except NeurathError:
            self.birth = None
        return self._known()

    def on_the_wire(self) -> Birth | None:
        """Whom it believes on the wire, None where its identity is lost."""
        return self.birth if self.keyring is None else self.keyring.birth(wire=True)

    @property
    def signed_at(self) -> float:
        """When the list of keys held here was signed, 0.0: none says. Known before the first power-up too."""
        if self.keyring is not None:
            return self.keyring.signed_at
        found = kept(self._lists) if self.birth is not None and self.birth.root else None
        return 0.0 if found is None else float(found.issued)

    def learn(self, source: Source) -> int:
        """Takes the key lists that came since; how many."""
        if self.keyring is None:
            return 0
        try:
            return self.keyring.catch_up(source)
        finally:
            self.birth = self.keyring.birth()

    def check(self, lending: Lending, state: str) -> Check:
        """The check-in of this moment; the bank is read for it."""
        size = self.facts.installed.size or self.model.layout.bank_size
        return check_of(self._known(), self.facts, Held(self._bank(size), size), lending, state)

    def _bank(self, size: int) -> bytes:
        """The digest of the bank; zeros where the chip cannot read it, for whoever hears that knows to help."""
        try:
            return self.core.bank_digest(size)
        except FlashError:
            return bytes(32)

    def weigh(self, offer: Offer, *, in_ram: bool) -> ev.Weighed:
        """G1 and G2: who signed it, is it for this terminal now, does it fit."""
        try:
            birth = self._known()
            envelope = read_envelope(offer.envelope, birth.release)
            if self._installed(envelope):
                return ev.Weighed(Weight.INSTALLED)
            gates.gate_envelope(envelope, birth.vendor, birth.klass, self.facts)
            ticket = self._ticket(offer, birth, envelope)
            self._fits(offer, envelope, in_ram)
            if ticket.serial > self.facts.serial:
                self.core.accept_serial(ticket.serial)  # an older one never counts again (docs/spec/ticket.md 3)
        except NeurathError as refusal:
            return ev.Weighed(Weight.REFUSED, f"{refusal.what}: {refusal.why}")
        self._target = gates.target_of(envelope, ticket)
        return ev.Weighed(Weight.ACCEPTED)

    def _installed(self, envelope: Envelope) -> bool:
        facts = self.facts
        return facts.installed.envelope == envelope.digest[:16] and not facts.candidate and judge.whole(self)

    def _ticket(self, offer: Offer, birth: Birth, envelope: Envelope) -> Ticket:
        if birth.ticket is None:
            raise RefusedError("this terminal believes no server", "its birth record names no ticket key", "use the wire")
        ticket = read_ticket(offer.ticket, [birth.ticket])
        blocks = hashlib.sha256(offer.blocks).digest()[:16]
        named = (ticket.file, ticket.file_size, ticket.kind)
        if named != (offer.file[:16], offer.size, offer.kind.value) or (offer.blocks and ticket.blocks != blocks):
            why = "file, size, kind or blocks differ"
            raise RefusedError("the offer is not the one the ticket was made for", why, "check in again")
        bank = self._bank(self.facts.installed.size) if self.facts.installed.size else bytes(32)
        gates.gate_ticket(ticket, envelope, birth, self.facts, bank)
        return ticket

    def _fits(self, offer: Offer, envelope: Envelope, in_ram: bool) -> None:
        """The server's figure is believed only upwards: it knows what the decoder wants, the core knows the rest."""
        layout = self.model.layout
        least = need(layout, envelope.image_size, offer.size, 0, in_ram)
        if least == _IMPOSSIBLE or envelope.leaf != layout.leaf:
            raise RefusedError("this image does not fit the bank", f"{envelope.image_size} bytes, leaf {envelope.leaf}")
        if offer.need < least:
            raise RefusedError("the offer names too little memory", f"{offer.need} bytes, at least {least} are needed")

    def prove(self, file: bytes | memoryview, ram: int) -> ev.Proved | ev.NotProved:
        """G5: the rehearsal. The bank is untouched in any case."""
        assert self._target is not None
        try:
            self._unveil(file)
            self.core.prove(bytes(file), self._target, ram)
        except TrustError as refusal:
            return ev.NotProved(1, f"{refusal.what}: {UNSIGNED if self.model.signed else refusal.why}")
        except NeurathError as refusal:
            same = self.facts.failed == self._target.envelope
            return ev.NotProved(max(1, self.facts.failed_proofs if same else 1), f"{refusal.what}: {refusal.why}")
        return ev.Proved()

    def ready(self) -> ev.Ready | ev.NotReady:
        """G6, the host's part; the core asks for log room itself before the first erase."""
        return ev.Ready() if self._power_good() else ev.NotReady("power is not good")

    def rewrite(self, file: bytes | memoryview, ram: int) -> Written:
        assert self._target is not None
        target = self._target
        return self._written(lambda: self.core.rewrite(bytes(file), target, ram), file)

    def resume(self, file: bytes | memoryview, ram: int) -> Written:
        target = self._target = self._asked or self.facts.target
        if self._asked is None:
            return self._written(lambda: self.core.resume(bytes(file), ram), file)
        self._asked = None  # where it does not help, another is asked for
        if self.facts.plan_open:
            return self._written(lambda: self.core.rescue(bytes(file), target, ram), file)
        return self._written(lambda: self.core.rewrite(bytes(file), target, ram), file)

    def question(self, *, lost: bool = False) -> bytes:
        """Where a sector was left open, the plan's own file is lost, or the image was given up."""
        facts = self.facts
        if self.birth is None or self.birth.ticket is None or self._asked is not None or facts.restoring:
            return b""
        in_need = lost or rescue.torn(self.core) is not None if facts.plan_open else facts.broken is Why.UNCONFIRMED
        return rescue.question(self.core, self.birth) if in_need else b""

    def answered(self, answer: bytes) -> ev.OtherFile:
        target = rescue.answer(self.core, self._known(), answer)
        if target.serial > self.facts.serial:
            self.core.accept_serial(target.serial)
        self._asked = target
        return ev.OtherFile(ev.OpenPlan(target.file, target.file_size))

    def _unveil(self, file: bytes | memoryview) -> None:
        """The core is told the key of a veiled file, and whose signature counts on it; nothing decrypted lies anywhere."""
        self.core.trust(self._known(), only_signed=self.model.signed)
        if not is_veiled(file):
            self.core.veil(0, b"")
            return
        from neurath.wire import veil

        self.core.veil(*veil.key_of(file, self._known().device_key))

    def _written(self, write: Callable[[], None], file: bytes | memoryview) -> Written:
        """What a refusal means is read from the state log: nothing committed by this call, the bank is as it was; a unit
        more, and it is torn between two images; given up by the core, and only the wire is left."""
        before, broken = self.facts.commit, self.facts.broken
        try:
            self._unveil(file)
            write()
        except NeurathError as stop:
            reason = f"{stop.what}: {stop.why}"
            if self.facts.broken and self.facts.broken is not broken:
                return ev.RewriteFailed(reason)
            return ev.RewriteRefused(reason) if self.facts.commit == before else ev.RewriteStopped(reason)
        return ev.Rewritten()

    def judge(self) -> ev.Judged:
        """The bank is read again, whole."""
        assert self._target is not None
        return judge.after_rewrite(self, self._target.image)

    def self_test(self) -> ev.SelfTested:
        return judge.first_boot(self, self._self_test)

    def confirm(self) -> ev.Confirmed | ev.NotConfirmed:
        try:
            self.core.confirm()
        except NeurathError as refusal:
            return ev.NotConfirmed(refusal.what)
        return ev.Confirmed()

    def give_up(self) -> None:
        """Restoration state, with the reason the flash itself shows."""
        why = Why.UNCONFIRMED if judge.whole(self) else Why.DIGEST
        try:
            self.core.give_up(why)
        except NeurathError:
            return  # the log cannot take it: the next power-up finds the same by itself

    def _known(self) -> Birth:
        if self.birth is None:
            raise RefusedError("this terminal has lost its identity", "no birth record", "re-enrol it over the wire")
        return self.birth


def load_model(path: Path) -> Model:
    """The model a file describes."""
    try:
        return model_from_toml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{path} is no model file", "it is not text", "neurath model show prints one", id="NRT-288") from None


def open_bank(model: Path, bank: Path) -> SingleBank:
    """The terminal in a bank file."""
    found = load_model(model)
    return SingleBank(found, Nor.file(found.layout, bank), lists=lists_beside(bank))


def lists_beside(bank: Path) -> Path | None:
    """Where the list of keys lies. A raw device has no place beside it: its lists are fetched anew at each power-up."""
    return bank.with_name(f"{bank.name}.keys") if bank.is_file() else None
