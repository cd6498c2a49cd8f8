"""`neurath repository`: the software store's documents, made and signed where the keys are, published where the server
is, copied where a mirror stands. Files in, files out; who may sign what is repository.roles' to say."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import DataError, RefusedError, UsageError

if TYPE_CHECKING:
    from neurath.repository.roles import Document
    from neurath.wire.keys import PublicKey

_DAYS = 365.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath repository add app.bin app.env --name lamp/1.4 -o 1.release-lamp.json"
    verbs = parser.add_subparsers(dest="command", metavar="create|add|sign|publish|mirror")
    create = verbs.add_parser("create", help="the roots' documents: who signs, and who may publish for which models")
    create.add_argument("--root", type=Path, action="append", required=True, metavar="PUB.pem", help="three; two of them sign")
    create.add_argument(
        "--online", type=Path, required=True, metavar="PUB.pem", help="repository.pub.pem of the server's data"
    )
    text = "models whose images this key publishes; again for a second key"
    create.add_argument("--release", action="append", default=[], metavar="MODEL,...=PUB.pem", help=text)
    create.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the documents before them are too")
    add = verbs.add_parser("add", help="a family's next document, with one image more, or one revoked")
    add.add_argument("image", type=Path, metavar="IMAGE")
    add.add_argument("envelope", type=Path, metavar="ENVELOPE")
    add.add_argument("--name", required=True, metavar="MODEL/VERSION", help="with /COMPONENT where it is not the firmware")
    add.add_argument("--after", type=Path, metavar="FILE", help="the family's document before; without it this is the first")
    add.add_argument("--revoked", action="store_true", help="it is named, and only for who can go on no other way")
    add.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="a file that is not there yet")
    for each in (create, add):
        each.add_argument("--days", type=float, default=_DAYS, metavar="N", help="good for so long (365)")
    sign = verbs.add_parser("sign", help="add a signature to a document")
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--key", type=Path, required=True, metavar="K", help="private key: PEM, or .token")
    publish = verbs.add_parser("publish", help="have the server take signed documents in, in this order")
    publish.add_argument("files", type=Path, nargs="+", metavar="FILE")
    data.option(publish)
    mirror = verbs.add_parser("mirror", help="keep a directory that any web server can hand on as a repository")
    mirror.add_argument("--server", required=True, metavar="URL")
    mirror.add_argument("--token", default="", metavar="T", help="the stations' token, needed from another machine")
    mirror.add_argument("--root", type=Path, required=True, metavar="1.root.json", help="the roots, from their owners' hands")
    mirror.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    for each in (create, add, sign, publish, mirror):
        data.dry_run(each)


def run(args: argparse.Namespace, out: Output) -> int:
    work = {"create": _create, "add": _add, "sign": _sign, "publish": _publish, "mirror": _mirror}
    return work[data.chosen(args)](args, out)


def _create(args: argparse.Namespace, out: Output) -> int:
    from neurath.repository import roles
    from neurath.repository.shelf import Shelf
    from neurath.wire import keys

    before, until = Shelf(args.out), roles.in_days(args.days, time.time())
    roots, online = [keys.load_public(path) for path in args.root], keys.load_public(args.online)
    made = {
        "root": roles.root(roots, online, until, before.newest("root")),
        "targets": roles.targets(_families(args.release), online, until, before.newest("targets")),
    }
    for role, document in made.items():
        _write(args.out / roles.file_name(document, role), document, args, out)
    out.talk("next: neurath repository sign FILE --key ROOT.pem, two of them for each")
    return 0


def _families(said: list[str]) -> dict[tuple[str, ...], list[PublicKey]]:
    from neurath.ids import checked_name
    from neurath.wire import keys

    found: dict[tuple[str, ...], list[PublicKey]] = {}
    for one in said:
        models, _, path = one.partition("=")
        if not models or not path:
            raise UsageError(f"--release {one} says nothing", "MODEL,...=PUB.pem", "--release lamp,lantern=release.pub.pem")
        names = tuple(str(checked_name(name, "model")) for name in models.split(","))
        found.setdefault(names, []).append(keys.load_public(Path(path)))
    return found


def _add(args: argparse.Namespace, out: Output) -> int:
    from neurath.errors import TrustError
    from neurath.repository import roles
    from neurath.wire import manifest

    envelope = args.envelope.read_bytes()
    with contextlib.suppress(TrustError):  # nobody's key was given: then its form is right
        manifest.verify(envelope, [])
    before = None if args.after is None else roles.read(args.after.read_bytes())
    if before is not None and before.signed.type != "targets":
        raise DataError(f"{args.after} is no family's document", before.signed.type, "the one that was published last")
    image = roles.Image(args.name, args.image.read_bytes(), envelope, args.revoked)
    document = roles.published([image], roles.in_days(args.days, time.time()), before)
    _write(args.out, document, args, out)
    out.talk(f"next: neurath repository sign {args.out} --key RELEASE.pem")
    return 0


def _sign(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import key_token
    from neurath.disk import write_whole
    from neurath.repository import roles

    document, key = roles.read(args.file.read_bytes()), key_token.load(args.key)
    raw = roles.signed(document, key)
    if not args.dry_run:
        write_whole(args.file, raw)
    count = len(roles.signers(document))
    out.data(f"{args.file}: {count} {'signature' if count == 1 else 'signatures'}", file=str(args.file), signatures=count)
    return 0


def _write(path: Path, document: Document, args: argparse.Namespace, out: Output) -> None:
    from neurath.disk import write_whole

    if path.exists():
        raise RefusedError(f"{path} exists", "a document is never written over", "choose another name", id="NRT-301")
    if not args.dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, document.to_bytes())
    words = "would write" if args.dry_run else "wrote"
    out.data(f"{words} {path} (version {document.signed.version})", file=str(path), version=document.signed.version)


def _publish(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software import repository

    store, documents = data.store(args, create=False), [path.read_bytes() for path in args.files]
    for path, role in zip(args.files, repository.publish(store, documents, agreed(), dry=args.dry_run), strict=True):
        out.data(f"{path} {'would be' if args.dry_run else 'is'} the newest of {role}", file=str(path), role=role)
    return 0


def _mirror(args: argparse.Namespace, out: Output) -> int:
    from neurath.repository.client import mirror
    from neurath.station.sync import Source

    root = args.root.read_bytes()
    if args.dry_run:
        out.data(f"would copy {args.server} to {args.out}", server=args.server)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    found = mirror(args.out, root, Source(args.server, args.token).repository)
    out.data(f"{len(found)} releases in {args.out}", releases=len(found), directory=str(args.out))
    return 0
