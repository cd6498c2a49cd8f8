"""`neurath sign` and `neurath verify`: run where the release key is, never on the server. They know files and options; what a
signature means is the core's to say."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.disk import write_whole
from neurath.errors import DataError, RefusedError, TrustError, UsageError

if TYPE_CHECKING:
    from neurath.flash.geometry import Model
    from neurath.flash.trust import PublicKey
    from neurath.wire.manifest import Envelope


def configure(parser: argparse.ArgumentParser) -> None:
    if parser.get_default("verb") == "verify":
        _configure_verify(parser)
    else:
        _configure_sign(parser)


def _configure_sign(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: neurath sign app.bin --model lamp.toml --version 1.4.0 --sequence 14 --key release.pem -o app.env"
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the FULL image: .bin, .hex or .elf")
    parser.add_argument("--watch", type=Path, metavar="DIR", help="sign whatever is put into DIR, until Ctrl-C")
    parser.add_argument("--model", required=True, metavar="M", help="name of the model, or its .toml file")
    parser.add_argument("--component", default="firmware", metavar="C", help="what of the terminal it is (default: firmware)")
    parser.add_argument("--version", metavar="V", help="word for people, at most 32 printable characters")
    parser.add_argument("--key", required=True, type=Path, metavar="K", help="private release key: PEM, or .token")
    parser.add_argument("-o", "--out", type=Path, metavar="E", help="the envelope to write")
    order = parser.add_mutually_exclusive_group()
    order.add_argument("--sequence", type=_number, metavar="N", help="grows with each release; terminals refuse lower ones")
    order.add_argument("--after", type=Path, metavar="ENVELOPE", help="one more than this envelope's sequence, in its epoch")
    parser.add_argument("--epoch", type=_number, metavar="N", help="security epoch (default 0, or that of --after)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be signed")


def _configure_verify(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath verify app.bin app.env --key release.pub.pem"
    parser.add_argument("file", type=Path, metavar="FILE", help="the full image")
    parser.add_argument("envelope", type=Path, metavar="E")
    parser.add_argument("--key", required=True, type=Path, action="append", metavar="PUB", help="may be given several times")
    parser.add_argument("--model", metavar="M", help="also demand that it is for this model (name or .toml)")
    parser.add_argument("--component", default="firmware", metavar="C", help="... and for this component of it")


def run(args: argparse.Namespace, out: Output) -> int:
    return _verify(args, out) if args.verb == "verify" else _sign(args, out)


def _sign(args: argparse.Namespace, out: Output) -> int:
    if args.watch is not None:
        from neurath.cli import sign_watch

        return sign_watch.run(args, out)
    needed = {"FILE": args.file, "--version": args.version, "-o": args.out}
    if missing := [name for name, given in needed.items() if given is None]:
        raise UsageError(
            f"{', '.join(missing)} missing", "one file is signed, or a folder with --watch", "neurath sign --help"
        )
    if args.sequence is None and args.after is None:
        raise UsageError("--sequence or --after missing", "terminals refuse a lower sequence", "neurath sign --help")
    from neurath.cli import key_token
    from neurath.wire import manifest

    key = key_token.load(args.key)
    model = model_of(args.model, args.component)
    image = read(args.file, model, args.component)
    sequence, epoch = _order(args, key.public)
    contents = manifest.contents_of(image, model, sequence=sequence, epoch=epoch, version=args.version)
    envelope = manifest.sign(contents, key)
    # Whatever is written was read back by the code that a terminal runs.
    checked = manifest.verify(envelope, [key.public])
    if not args.dry_run:
        write_envelope(args.out, envelope, args.file)
    _tell(checked, out, file=str(args.out), bytes=len(envelope), dry_run=args.dry_run)
    return 0


def write_envelope(path: Path, envelope: bytes, image: Path) -> None:
    """The envelope, whole or not at all."""
    if path.exists() and path.samefile(image):
        raise RefusedError(f"{path} is the image itself", "the envelope would replace it", "choose another -o")
    write_whole(path, envelope)


def _verify(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import keys, manifest

    known = [keys.load_public(path) for path in args.key]
    raw = args.envelope.read_bytes()
    try:
        envelope = manifest.verify(raw, known)
    except TrustError:
        raise
    except DataError as fault:
        raise TrustError(f"{args.envelope} is not to be trusted", f"{fault.what}: {fault.why}", fault.hint) from None
    model = model_of(args.model, args.component) if args.model else None
    if model and (envelope.vendor, envelope.klass) != (model.vendor, model.klass):
        raise TrustError("this envelope is for another model", "vendor or class id differ", "check --model", id="NRT-252")
    _compare(read(args.file, model, args.component), envelope)
    _tell(envelope, out, file=str(args.envelope), bytes=len(raw))
    return 0


def _compare(image: bytes, envelope: Envelope) -> None:
    from neurath.wire.leaflist import leaf_digest, leaf_list

    same = len(image) == envelope.image_size and hashlib.sha256(image).digest() == envelope.image
    if not same or leaf_digest(leaf_list(image, envelope.leaf)) != envelope.leaves:
        raise TrustError(
            "this image is not the one that was signed",
            f"signed: {envelope.image_size} bytes, {envelope.image.hex()[:16]}…; here: {len(image)} bytes, "
            f"{hashlib.sha256(image).hexdigest()[:16]}…",
            "use the image that was signed, or sign this one",
            id="NRT-255",
        )


def _tell(envelope: Envelope, out: Output, **more: object) -> None:
    out.data(
        f"{more['file']}: {envelope.version} sequence {envelope.sequence} epoch {envelope.epoch}, "
        f"image {envelope.image.hex()[:16]}… {envelope.image_size} bytes, envelope {envelope.digest.hex()[:16]}…",
        version=envelope.version,
        sequence=envelope.sequence,
        epoch=envelope.epoch,
        image=envelope.image,
        image_size=envelope.image_size,
        envelope=envelope.digest,
        **more,
    )


def model_of(text: str, component: str = "firmware") -> Model:
    """The model of a .toml file, or one known by its name alone: its ids follow from the name. The class: the component's"""
    from neurath.flash import geometry
    from neurath.ids import ModelName, checked_name

    checked_name(component, "component")
    # A file that is there is a model file, whatever it is called.
    if text.endswith(".toml") or Path(text).is_file():
        return geometry.model_from_toml(Path(text).read_text(encoding="utf-8", errors="replace")).of_component(component)
    room = 64 * 1024 * 1024
    layout = geometry.simple_layout(room, sector=65536, group=65536)
    return geometry.Model(ModelName(text), layout, ram=0).of_component(component)


def read(path: Path, model: Model | None, component: str) -> bytes:
    """What is signed: a bank's contents, or for any other component the file as it is."""
    from neurath.server.software.images import read_image

    if component != "firmware":
        return path.read_bytes()
    return bytes(read_image(path.read_bytes(), path.name, model if model and model.ram else None).image)


def _order(args: argparse.Namespace, key: PublicKey) -> tuple[int, int]:
    from neurath.wire import manifest

    if args.after is None:
        return args.sequence, args.epoch or 0
    before = manifest.verify(args.after.read_bytes(), [key])
    epoch = before.epoch if args.epoch is None else args.epoch
    if epoch < before.epoch:
        raise UsageError("the epoch never goes down", f"{args.after} has epoch {before.epoch}", "leave --epoch out")
    return before.sequence + 1, epoch


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 0xFFFF_FFFF):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 4294967295")
    return int(text)
