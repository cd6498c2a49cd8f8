"""Gates G1 and, in part, G2 as the core judges them: may this release, and this file, come to this terminal at all? It knows
how facts become C structures; it must never hold a rule of its own (core/src/gate.c has them)."""

from __future__ import annotations

from typing import Any

from neurath.errors import DataError, TrustError
from neurath.flash._core import ffi, lib
from neurath.flash.bank import Facts, Target
from neurath.flash.trust import Birth, Contents, Envelope, Ticket, c_birth


def gate_envelope(envelope: Contents, vendor: bytes, klass: bytes, facts: Facts) -> None:
    """G1: TrustError when this release is not for this kind of terminal, or is below its floor."""
    code = lib.nrt_gate_envelope(_c_envelope(envelope), vendor, klass, _c_facts(facts))
    if code != lib.NRT_OK:
        mine = envelope.vendor == vendor and envelope.klass == klass
        floor = f"({facts.confirmed.epoch}, {facts.confirmed.sequence})"
        raise TrustError(
            "this release may not come here",
            f"(epoch, sequence) ({envelope.epoch}, {envelope.sequence}) is not above the floor {floor}"
            if mine
            else "it is made for another vendor or class of terminal",
            "offer a newer release" if mine else "choose a release of this model",
            id="NRT-253" if mine else "NRT-252",
        )


def gate_ticket(ticket: Ticket, envelope: Envelope, birth: Birth, facts: Facts, bank: bytes) -> None:
    """G2, the ticket's part: TrustError when the ticket is not for this terminal now, DataError when its delta was made
    for another base than the bank holds (`bank`: SHA-256 of what it holds)."""
    out = ffi.new("struct nrt_ticket *")
    for name in ("device", "nonce", "envelope", "file", "blocks"):
        setattr(out, name, getattr(ticket, name))
    out.base = ticket.base or bytes(16)
    out.serial, out.kind, out.file_size, out.key_list = ticket.serial, ticket.kind, ticket.file_size, ticket.key_list
    code = lib.nrt_gate_ticket(out, _c_envelope(envelope), c_birth(birth), _c_facts(facts), bank)
    if code == lib.NRT_E_BASE:
        raise DataError("the file was made for another base", "the bank holds other bytes", "check in again", id="NRT-213")
    if code != lib.NRT_OK:
        raise TrustError(
            "this ticket is not for this terminal now",
            "its terminal, nonce, serial, release or key list is another",
            "check in again: the server makes a new one",
            id="NRT-254",
        )


def target_of(envelope: Envelope, ticket: Ticket) -> Target:
    """What the terminal is to become, once both have passed their gates."""
    return Target(
        image=envelope.image,
        image_size=envelope.image_size,
        leaves=envelope.leaves,
        file=ticket.file,
        file_size=ticket.file_size,
        envelope=envelope.digest[:16],
        sequence=envelope.sequence,
        epoch=envelope.epoch,
        serial=ticket.serial,
    )


def _c_envelope(envelope: Contents) -> Any:
    out = ffi.new("struct nrt_envelope *")
    out.vendor, out.klass = envelope.vendor, envelope.klass
    out.sequence, out.epoch = envelope.sequence, envelope.epoch
    if isinstance(envelope, Envelope) and envelope.digest:
        out.digest = envelope.digest
    return out


def _c_facts(facts: Facts) -> Any:
    out = ffi.new("struct nrt_facts *")
    for place, image in ((out.installed, facts.installed), (out.confirmed, facts.confirmed)):
        place.envelope = image.envelope[:16].ljust(16, b"\0")
        place.size, place.sequence, place.epoch = image.size, image.sequence, image.epoch
    out.target.file_size = facts.target.file_size
    out.installs, out.serial, out.key_list = facts.installs, facts.serial, facts.key_list
    out.candidate, out.restoring, out.broken = int(facts.candidate), int(facts.restoring), int(facts.broken)
    return out
