"""Twelve classes of hostile input through every gate of the real core, each by an outsider who changes a file on its way and
by whoever holds the server with its online keys. Nothing is erased before all gates passed, and nobody is bricked: what is
taken is the image that was signed, else the old one boots. 10,000 of each under NEURATH_ASSURANCE=1; `python -m
tests.attack.count` counts them for docs/assurance/hostile.md."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import Counter
from functools import cache

import pytest

from neurath.errors import NeurathError
from neurath.flash import gates
from neurath.flash.bank import Fate
from neurath.flash.native import Core, Nor, PowerCut
from neurath.flash.trust import Envelope
from neurath.wire import manifest, ticket
from tests.attack.hostile import CLASSES, GOOD, LAYOUT, NEW, OLD, Case
from tests.parts import ASSURANCE
from tests.terminal.world import DEVICE, NAME, RAM, RELEASE, TICKET, envelope_of, factory

EACH = int(os.environ.get("NEURATH_HOSTILE", "10000" if ASSURANCE else "20"))
#: Seconds of this processor that one refusal may take, ten times over.
PATIENCE = 10.0
#: Sectors that hold what a terminal lives by.
LIVING = [at for span in (*LAYOUT.bank, LAYOUT.scratch) for at in range(span.base, span.end, 1024)]


@cache
def signed(image: bytes, sequence: int) -> Envelope:
    """What a release key says of this image: it is one of ours."""
    return manifest.verify(envelope_of(image, sequence), [RELEASE.public])


class Victim:
    """A terminal that runs this image. Each attack finds it as the one before left it, refused."""

    def __init__(self, bank: bytes) -> None:
        self.nor = Nor.memory(LAYOUT)
        factory(self.nor, bank)
        self.nor.forget()
        self.bank = bank
        self.core = Core(LAYOUT, self.nor)
        assert self.core.power_up() is Fate.BOOT
        self.birth = self.core.birth()
        self.serial = 10
        self.core.accept_serial(self.serial)

    def meets(self, case: Case, online: bool) -> str:
        """Which gate refused, "" for none. What the ticket says is true, but for what the attack has forged."""
        envelope, facts = signed(case.new, 2), self.core.facts
        self.serial += 1
        file = case.data if online else GOOD
        told = {
            "device": ticket.device_of(NAME), "nonce": ticket.nonce(DEVICE, facts.installed.envelope, facts.installs),
            "serial": self.serial, "kind": ticket.DELTA, "envelope": envelope.digest[:16],
            "file": hashlib.sha256(file).digest()[:16], "file_size": len(file), "base": hashlib.sha256(OLD).digest()[:16],
            "blocks": bytes(16),
        } | dict(case.ticket)  # fmt: skip
        gate = "envelope"
        try:
            gates.gate_envelope(envelope, self.birth.vendor, self.birth.klass, facts)
            gate = "ticket"
            raw = ticket.sign(ticket.Ticket(**told), TICKET)  # type: ignore[arg-type]  # fields by name
            taken = ticket.verify(raw, [TICKET.public])
            gates.gate_ticket(taken, envelope, self.birth, facts, hashlib.sha256(self.bank).digest())
            gate = "rehearsal"
            self.core.prove(case.data, gates.target_of(envelope, taken), RAM)
            self.untouched()
            gate = "rewrite"
            self.core.rewrite(case.data, gates.target_of(envelope, taken), RAM)
        except PowerCut:
            raise
        except NeurathError:
            return gate
        return ""

    def untouched(self) -> None:
        assert all(self.nor.erases(at) == 0 and self.nor.programs(at) == 0 for at in LIVING), "an erase before the gates"

    def lives(self) -> None:
        """After a refusal: nothing was erased, and the old image boots."""
        self.untouched()
        assert self.nor.violations == 0
        self.core = Core(LAYOUT, self.nor)
        assert self.core.power_up() is Fate.BOOT
        assert self.core.bank_bytes(len(self.bank)) == self.bank


def attacked(name: str, count: int, seed: int) -> Counter[str]:
    """So many attacks of a class, each in both hands: by which gate each ended."""
    make, may = CLASSES[name]
    ended: Counter[str] = Counter()
    victims: dict[bytes, Victim] = {}
    for number in range(count):
        case = make(random.Random(f"{name}/{seed}/{number}"))
        for online in (True, False):
            victim = victims.get(case.bank) or Victim(case.bank)
            victims = {case.bank: victim}
            began = time.process_time()
            gate = victim.meets(case, online)
            assert time.process_time() - began < PATIENCE
            if gate:
                victim.lives()
            else:
                assert may, f"{name} {number}: taken"
                assert victim.core.bank_bytes(len(case.new)) == case.new, f"{name} {number}: not the signed image"
                assert Core(LAYOUT, victim.nor).power_up() is Fate.BOOT
                del victims[case.bank]
            ended[f"{'online' if online else 'outside'} {gate or 'taken'}"] += 1
    return ended


def test_the_honest_file_passes_every_gate() -> None:
    victim = Victim(OLD)
    assert victim.meets(Case(GOOD), online=True) == ""
    assert victim.core.bank_bytes(len(NEW)) == NEW


@pytest.mark.timeout(7200 if ASSURANCE else 120)
@pytest.mark.parametrize("name", CLASSES)
def test_nothing_is_erased_and_nobody_is_bricked_by(name: str) -> None:
    ended = attacked(name, EACH, 1)
    assert sum(ended.values()) == 2 * EACH
    refused = sum(count for what, count in ended.items() if not what.endswith("taken"))
    assert refused > EACH, ended  # what is an attack in one hand is refused in one at least
