"""The factory: puts a new terminal on disk as ONE file that holds its whole flash, and looks at such a file from outside. It
works with the world's hands, not by flash rules; it must never be part of a terminal."""

from __future__ import annotations

import secrets
from pathlib import Path

from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Layout, Model
from neurath.flash.native import Core, Nor, write_bank
from neurath.flash.trust import Birth, Envelope, PublicKey
from neurath.ids import TerminalId


def make(path: Path, model: Model, birth: Birth, image: bytes, envelope: Envelope) -> None:
    """A terminal fresh from the factory: birth record, state log, and this image in its bank, as confirmed."""
    nor = Nor.file(model.layout, path, create=True)
    try:
        write_bank(nor, image)
        core = Core(model.layout, nor)
        core.write_birth(birth)
        core.provision(record_of(envelope))
    finally:
        nor.close()


def record_of(envelope: Envelope) -> ImageRecord:
    """The image of an envelope as the state log names it."""
    return ImageRecord(
        envelope=envelope.digest[:16],
        image=envelope.image,
        size=envelope.image_size,
        sequence=envelope.sequence,
        epoch=envelope.epoch,
    )


def birth_of(name: TerminalId, model: Model, release: PublicKey, ticket: PublicKey) -> Birth:
    """Identity of one terminal, with a device key of its own."""
    return Birth(name, model.name, model.vendor, model.klass, secrets.token_bytes(32), (release,), ticket)


def bank_of(path: Path, layout: Layout, size: int) -> bytes:
    """The first `size` bytes of image in a bank file, as they lie there: nobody is asked."""
    nor = Nor.file(layout, path)
    try:
        held = b"".join(nor.read_raw(span.base, span.length) for span in layout.bank)
    finally:
        nor.close()
    return held[:size]
