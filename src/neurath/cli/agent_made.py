"""`neurath agent provision`: what the factory does to one bank. It knows what a birth record needs; it must never overwrite a
terminal."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import RefusedError, TrustError

if TYPE_CHECKING:
    from neurath.flash.geometry import Layout


def provision(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import sign
    from neurath.flash.bank import ImageRecord
    from neurath.flash.native import Core, Nor, write_bank
    from neurath.flash.trust import Birth, read_envelope
    from neurath.ids import FIRMWARE, checked_name, digest
    from neurath.terminal.install import load_model
    from neurath.wire import keylist, keys

    model = load_model(args.model)
    image = sign.read(args.image, model, FIRMWARE)  # hex and ELF as well
    release = tuple(keys.load_public(path) for path in args.release_key)
    ticket = None if args.ticket_key is None else keys.load_public(args.ticket_key)
    envelope = read_envelope(args.envelope.read_bytes(), release)
    if digest(image) != envelope.image or (envelope.vendor, envelope.klass) != (model.vendor, model.klass):
        raise TrustError("the envelope is not for this image on this model", str(args.envelope), "neurath sign", id="NRT-287")
    name = checked_name(args.id, "terminal id")
    raw = args.bank.is_block_device() or args.bank.is_char_device()
    if args.bank.exists() and not (raw and _blank(model.layout, args.bank)):
        raise RefusedError(f"{args.bank} exists", "a factory never overwrites a terminal", "choose another file", id="NRT-384")
    fields = {"id": name, "model": model.name, "image": envelope.image.hex(), "version": envelope.version}
    if args.dry_run:
        out.data(f"would make {args.bank}: {name}, {len(image):,} bytes of image", **fields, made=False)
        return 0
    root = b"" if args.roots is None else keylist.unpack(args.roots.read_bytes())[1].roots.digest
    birth = Birth(name, model.name, model.vendor, model.klass, os.urandom(32), release, ticket, root)
    try:
        nor = Nor.file(model.layout, args.bank, create=not raw)
        if raw:
            nor.wipe()
        write_bank(nor, image)
        core = Core(model.layout, nor)
        core.write_birth(birth)
        core.provision(
            ImageRecord(envelope.image, envelope.image_size, envelope.digest[:16], envelope.sequence, envelope.epoch)
        )
        nor.close()
    except Exception:
        if not raw:
            args.bank.unlink(missing_ok=True)  # half a terminal is none
        raise
    out.data(f"{args.bank}: {name}, a {model.name} that runs {envelope.version or 'its first image'}", **fields, made=True)
    return 0


def _blank(layout: Layout, device: Path) -> bool:
    """Whether a raw device has neither birth record nor state log: a factory may take it."""
    from neurath.flash.native import Nor

    nor = Nor.file(layout, device)
    return all(len(set(nor.read_raw(span.base, span.length))) <= 1 for span in (layout.birth, *layout.log))
