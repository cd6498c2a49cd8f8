"""`neurath sign --watch DIR`: signs what is put into a folder, on the machine that holds the release key. It knows when a file
is whole, which version and sequence it gets; it must never sign the same image twice, nor let a bad file end the watch.
Rules: docs/spec/watched.md."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.ending import Ending
from neurath.cli.output import Output
from neurath.errors import DataError, NeurathError, NotFound, TrustError, UsageError

if TYPE_CHECKING:
    from neurath.flash.geometry import Model
    from neurath.wire import keys as key_types
    from neurath.wire.manifest import Envelope

#: The folder is looked at so often, seconds.
EVERY = 0.2
#: The longest version an envelope takes.
_LONGEST = 32


@dataclass(slots=True)
class Signer:
    """A folder, the model its images are for, the key. `floor` is the (epoch, sequence) the next envelope is above, whatever
    lies in the folder."""

    directory: Path
    model: Model
    key: key_types.Signer
    floor: tuple[int, int]
    dry_run: bool = False
    component: str = "firmware"

    def sign(self, path: Path) -> Envelope | None:
        """Signs one image and lays the envelope beside it; None where the one there is this image's already."""
        from neurath.cli.sign import read, write_envelope
        from neurath.wire import manifest

        image = read(path, self.model, self.component)
        known = self._envelopes()
        beside = known.get(path.name)
        if beside is not None and (beside.vendor, beside.klass) == (self.model.vendor, self.model.klass):
            contents = manifest.contents_of(image, self.model, sequence=beside.sequence)
            if (beside.image, beside.image_size, beside.leaves) == (contents.image, contents.image_size, contents.leaves):
                return None
        epoch, last = max([self.floor, *((one.epoch, one.sequence) for one in known.values())])
        version = self._version(path.name, last + 1, {one.version for one in known.values()})
        contents = manifest.contents_of(image, self.model, sequence=last + 1, epoch=epoch, version=version)
        envelope = manifest.sign(contents, self.key)
        signed = manifest.verify(envelope, [self.key.public])
        if not self.dry_run:
            write_envelope(envelope_path(path), envelope, path)
        self.floor = epoch, last + 1
        return signed

    def _envelopes(self) -> dict[str, Envelope]:
        """What this key has signed in the folder, by the name of the image."""
        from neurath.wire import manifest

        found = {}
        for path in self.directory.glob("*.suit"):
            try:
                found[path.name.removesuffix(".suit")] = manifest.verify(path.read_bytes(), [self.key.public])
            except (DataError, TrustError, OSError):
                continue  # not ours: it says nothing about our sequence
        return found

    @staticmethod
    def _version(name: str, sequence: int, used: set[str]) -> str:
        from neurath.server.watch.stillness import version_in

        version = version_in(name)
        if not version:
            return f"r{sequence}"
        if version not in used:
            return version
        tail = f"-r{sequence}"
        return version[: _LONGEST - len(tail)] + tail


def envelope_path(path: Path) -> Path:
    return path.with_name(path.name + ".suit")


def run(args: argparse.Namespace, out: Output) -> int:
    """Signs until SIGINT or SIGTERM; exit code 0. With --dry-run: one look, says what would be signed."""
    from neurath.cli import key_token
    from neurath.cli.sign import model_of

    for option in ("file", "version", "out", "after"):
        if getattr(args, option) is not None:
            raise UsageError(
                f"--watch and {option} do not go together",
                "the folder says which files, their names say which version",
                "neurath sign --watch DIR --model M --key K",
            )
    if not args.watch.is_dir():
        raise NotFound(f"no directory {args.watch}", "a folder is watched where it is", f"mkdir {args.watch}", id="NRT-142")
    floor = (args.epoch or 0, (args.sequence or 1) - 1)
    model = model_of(args.model, args.component)
    signer = Signer(args.watch, model, key_token.load(args.key), floor, args.dry_run, args.component)
    if args.dry_run:
        return _look_once(signer, out)
    with Ending() as ending:
        out.data(f"watching {args.watch}", watching=str(args.watch))
        _watch(signer, ending, out)
    return 0


def _watch(signer: Signer, ending: Ending, out: Output) -> None:
    from neurath.server.watch.stillness import SETTLE, Stamp, Stillness, names, stamp

    still = Stillness()
    done: dict[str, tuple[Stamp | None, Stamp | None]] = {}
    trouble = ""
    while not ending.wait(EVERY):
        try:
            listed = names(signer.directory, ".suit")
            trouble = ""
        except OSError as fault:
            if trouble != str(fault):
                trouble = str(fault)
                out.talk(f"{signer.directory} cannot be read: {fault.strerror}")
            continue
        for name in listed:
            path = signer.directory / name
            look = stamp(path), stamp(envelope_path(path))
            if done.get(name) != look and still.age(name, look) >= SETTLE:
                _tell(signer, path, out)
                # The envelope just written is part of what is done.
                done[name] = stamp(path), stamp(envelope_path(path))
                if done[name][0] != look[0]:
                    del done[name]  # it changed while it was signed: once more


def _look_once(signer: Signer, out: Output) -> int:
    from neurath.server.watch.stillness import names

    for name in names(signer.directory, ".suit"):
        _tell(signer, signer.directory / name, out)
    return 0


def _tell(signer: Signer, path: Path, out: Output) -> None:
    try:
        signed = signer.sign(path)
    except (NeurathError, OSError) as fault:
        what, why = (fault.what, fault.why) if isinstance(fault, NeurathError) else ("cannot be used", fault.strerror or "")
        out.data(f"{path.name}: not signed: {what}: {why}", file=path.name, signed=False, what=what, why=why)
        return
    if signed is not None:
        words = "would be signed" if signer.dry_run else "signed"
        out.data(
            f"{path.name}: {words}: {signed.version} sequence {signed.sequence} epoch {signed.epoch}",
            file=path.name, signed=not signer.dry_run, version=signed.version, sequence=signed.sequence, epoch=signed.epoch,
            image=signed.image,
        )  # fmt: skip
