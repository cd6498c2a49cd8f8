"""`neurath key`: makes keys, in files or on tokens, shows what a file holds, and hands lists of keys on. It must never print a
private key, and never write over one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import key_list
from neurath.cli.output import Output
from neurath.errors import RefusedError, UsageError
from neurath.ids import checked_name

if TYPE_CHECKING:
    from neurath.flash.trust import PublicKey


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath key create release --alg es256 -o keys"
    verbs = "create|show|veil|delegate|rotate|revoke|sign|publish"
    actions = parser.add_subparsers(dest="command", required=True, metavar=verbs)
    create = actions.add_parser(
        "create", help="make a key pair: NAME.pem (private) and NAME.pub.pem", epilog="example: neurath key create ci -o keys"
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--alg", choices=("ed25519", "es256"), default="es256", help="bare terminals verify es256 only")
    create.add_argument("-o", "--out", type=Path, default=Path(), metavar="DIR", help="directory, made if absent")
    create.add_argument(
        "--token", metavar="LABEL", help="make it on this PKCS #11 token, which keeps it: NAME.token says where"
    )
    module = "/usr/lib/softhsm/libsofthsm2.so"
    create.add_argument("--module", default=module, metavar="FILE.so", help=f"with --token: its driver (default: {module})")
    text = "for a station: a certificate of its own too, NAME.crt.pem, that ends after so many days"
    create.add_argument("--certificate", type=int, metavar="DAYS", help=text)
    create.add_argument("--dry-run", action="store_true", help="say what would be written")
    show = actions.add_parser(
        "show", help="what a key file or a list of keys holds", epilog="example: neurath key show keys/release.pub.pem"
    )
    show.add_argument("file", type=Path, metavar="FILE")
    hide = actions.add_parser(
        "veil",
        help="whom a terminal's update files are hidden for: what `neurath terminal veil` takes",
        epilog="example: neurath key veil bank.bin --model phone.toml -o T-0001.veil",
    )
    hide.add_argument("bank", type=Path, metavar="BANK", help="the terminal's flash: a file, or a raw device")
    hide.add_argument("--model", type=Path, required=True, metavar="FILE.toml")
    hide.add_argument("--derived", action="store_true", help="a secret for a bare core, instead of the public device key")
    hide.add_argument("-o", "--out", type=Path, metavar="FILE", help="write it there, for its owner alone (a secret must)")
    hide.add_argument("--dry-run", action="store_true", help="say what would be written")
    key_list.configure(actions)


def run(args: argparse.Namespace, out: Output) -> int:
    if args.command == "show":
        return _show(args, out)
    if args.command == "veil":
        return _veil(args, out)
    return _create(args, out) if args.command == "create" else key_list.run(args, out)


def _create(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import certificate, keys

    checked_name(args.name, "key name")
    if args.certificate is not None and (args.token is not None or not 1 <= args.certificate <= certificate.MOST_DAYS):
        why = f"its key lies in a file, and it lives 1 to {certificate.MOST_DAYS} days"
        raise UsageError("this certificate cannot be made", why, "neurath key create osaka --certificate 365 -o keys")
    suffix = "pem" if args.token is None else "token"
    private, public = args.out / f"{args.name}.{suffix}", args.out / f"{args.name}.pub.pem"
    for path in (private, public):
        if path.exists():
            raise RefusedError(
                f"{path} exists", "a key is never written over", "choose another name or directory", id="NRT-301"
            )
    alg = keys.Alg[args.alg.upper()]
    if args.dry_run:
        out.data(f"would write {private} and {public}", private=str(private), public=str(public), alg=args.alg, dry_run=True)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    if args.token is None:
        made = keys.create(alg)
        keys.write_private(private, made)
        key = made.public
        if args.certificate is not None:
            own = certificate.make(made, args.name, args.certificate, time.time())
            (args.out / f"{args.name}.crt.pem").write_bytes(own)
    else:
        key = _on_token(args, private)
    public.write_bytes(keys.public_pem(key))
    mark = keys.fingerprint(key)
    out.data(
        f"{private}\n{public}\nfingerprint {mark}", private=str(private), public=str(public), alg=args.alg, fingerprint=mark
    )
    out.talk(f"keep {private} off the server; terminals and servers need {public.name} only")
    return 0


def _on_token(args: argparse.Namespace, path: Path) -> PublicKey:
    from neurath.cli import key_token

    if args.alg != "es256":
        raise UsageError("a token makes es256 keys only", args.alg, "leave --alg out")
    made = key_token.create(args.module, args.token, args.name)
    path.write_text(made.text())
    return made.public


def _veil(args: argparse.Namespace, out: Output) -> int:
    from neurath.flash.veil import derived
    from neurath.terminal.install import open_bank
    from neurath.wire import keys
    from neurath.wire.veil import Recipient

    if args.derived and args.out is None:
        raise UsageError("-o FILE is needed", "a derived key is a secret, and is not shown", "neurath key veil --help")
    bank = open_bank(args.model, args.bank)
    try:
        birth = bank.identify()
    finally:
        bank.nor.close()
    secret = birth.device_key
    to = Recipient("derived", derived(secret)) if args.derived else Recipient("device", keys.from_seed(secret).public.data)
    if args.out is not None and not args.dry_run:
        try:
            keys.write_secret(args.out, f"{to}\n".encode())
        except FileExistsError:
            raise RefusedError(f"{args.out} exists", "a key is never written over", "another name", id="NRT-301") from None
    shown = "" if args.derived else str(to)
    place = None if args.out is None else str(args.out)
    out.data(shown or str(args.out), id=birth.id, kind=to.kind, veil=shown, file=place, dry_run=args.dry_run)
    return 0


def _show(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import key_token
    from neurath.wire import keys

    pem = args.file.read_bytes()
    if pem[:1] == b"\xa2":  # a map of two: docs/spec/keylist.md 1
        return key_list.show(pem, out)
    key = key_token.load(args.file).public if args.file.suffix == ".token" else keys.public_from_pem(pem)
    private = b"PRIVATE KEY" in pem
    mark, alg = keys.fingerprint(key), key.alg.name.lower()
    kind = "private" if private else "public"
    out.data(f"{alg} {kind} key\nfingerprint {mark}", alg=alg, private=private, fingerprint=mark, key=key.data)
    return 0
