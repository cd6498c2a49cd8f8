"""`neurath key`: makes release and ticket keys and shows what a key file holds. It must never print a private key, and never
write over one."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurath.cli.output import Output
from neurath.errors import RefusedError
from neurath.ids import checked_name


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath key create release --alg es256 -o keys"
    actions = parser.add_subparsers(dest="action", required=True, metavar="create|show")
    create = actions.add_parser(
        "create", help="make a key pair: NAME.pem (private) and NAME.pub.pem", epilog="example: neurath key create ci -o keys"
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--alg", choices=("ed25519", "es256"), default="es256", help="bare terminals verify es256 only")
    create.add_argument("-o", "--out", type=Path, default=Path(), metavar="DIR", help="directory, made if absent")
    create.add_argument("--dry-run", action="store_true", help="say what would be written")
    show = actions.add_parser(
        "show", help="algorithm and fingerprint of a key file", epilog="example: neurath key show keys/release.pub.pem"
    )
    show.add_argument("file", type=Path, metavar="FILE")


def run(args: argparse.Namespace, out: Output) -> int:
    return _create(args, out) if args.action == "create" else _show(args, out)


def _create(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import keys

    checked_name(args.name, "key name")
    private, public = args.out / f"{args.name}.pem", args.out / f"{args.name}.pub.pem"
    for path in (private, public):
        if path.exists():
            raise RefusedError(
                f"{path} exists", "a key is never written over", "choose another name or directory", id="NRT-301"
            )
    alg = keys.Alg[args.alg.upper()]
    if args.dry_run:
        out.data(f"would write {private} and {public}", private=str(private), public=str(public), alg=args.alg, dry_run=True)
        return 0
    key = keys.create(alg)
    args.out.mkdir(parents=True, exist_ok=True)
    keys.write_private(private, key)
    public.write_bytes(keys.public_pem(key.public))
    mark = keys.fingerprint(key.public)
    out.data(
        f"{private}\n{public}\nfingerprint {mark}", private=str(private), public=str(public), alg=args.alg, fingerprint=mark
    )
    out.talk(f"keep {private} off the server; terminals and servers need {public.name} only")
    return 0


def _show(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import keys

    pem = args.file.read_bytes()
    key = keys.public_from_pem(pem)
    private = b"PRIVATE KEY" in pem
    mark, alg = keys.fingerprint(key), key.alg.name.lower()
    kind = "private" if private else "public"
    out.data(f"{alg} {kind} key\nfingerprint {mark}", alg=alg, private=private, fingerprint=mark, key=key.data)
    return 0
