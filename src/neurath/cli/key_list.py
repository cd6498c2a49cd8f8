"""What is done to lists of keys: a draft is made, roots sign it each on a machine of their own, the server passes it on. Files
in, files out, no network. It knows drafts; what may follow what is wire.keylist's to say."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data, key_time
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import DataError, NotFound, RefusedError, UsageError

if TYPE_CHECKING:
    from neurath.wire.keylist import Family, KeyList, Roots
    from neurath.wire.keys import PublicKey

_SIGN = "neurath key sign FILE --key ROOT.pem, two of them"


def configure(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    new = _drafts(verbs, "delegate", "who may sign what: a list of keys, to be signed by roots")
    new.epilog = (
        "example: neurath key delegate --root a.pub.pem --root b.pub.pem --root c.pub.pem --release lamp=r.pub.pem -o 1.keys"
    )
    new.add_argument("--after", type=Path, metavar="LIST", help="the list before; without it this is number 1")
    new.add_argument("--root", type=Path, action="append", default=[], metavar="PUB.pem", help="of number 1: three of them")
    new.add_argument("--threshold", type=int, default=2, metavar="N", help="so many roots sign (default 2)")
    text = "models whose releases this key signs; may be repeated, a model has up to four"
    new.add_argument("--release", action="append", default=[], metavar="MODEL,...=PUB.pem", help=text)
    new.add_argument("--ticket", type=Path, metavar="PUB.pem", help="the server's: ticket.pub.pem of its data directory")
    turn = _drafts(verbs, "rotate", "the next list, with another key in the place of one")
    turn.epilog = "example: neurath key rotate --after 1.keys old.pub.pem new.pub.pem -o 2.keys"
    turn.add_argument("--after", type=Path, required=True, metavar="LIST")
    turn.add_argument("old", type=Path, metavar="OLD.pub.pem")
    turn.add_argument("new", type=Path, metavar="NEW.pub.pem")
    gone = _drafts(verbs, "revoke", "the next list, without a key")
    gone.epilog = "example: neurath key revoke --after 2.keys stolen.pub.pem -o 3.keys"
    gone.add_argument("--after", type=Path, required=True, metavar="LIST")
    gone.add_argument("old", type=Path, metavar="PUB.pem")
    sign = verbs.add_parser("sign", help="add a root's signature to a list of keys")
    sign.epilog = "example: neurath key sign 1.keys --key root-a.pem"
    sign.add_argument("file", type=Path, metavar="LIST")
    sign.add_argument("--key", type=Path, required=True, metavar="K", help="private key of a root: PEM, or .token")
    key_time.option(sign, "the list's date, where it is ahead of this machine's clock or far ahead of this software")
    sign.add_argument("--dry-run", action="store_true")
    out = verbs.add_parser("publish", help="have the server pass a signed list on to its terminals")
    out.epilog = "example: neurath key publish 1.keys --data ./neurath-data"
    out.add_argument("file", type=Path, metavar="LIST")
    key_time.option(out, "the list's date, where it is ahead of this machine's clock")
    data.option(out)
    data.dry_run(out)


def _drafts(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="LIST", help="a file that is not there yet")
    text = (
        "when it is signed: YYYY-MM-DD (usual: this machine's clock); twice where it is in doubt; none: the list does not say"
    )
    key_time.option(parser, text)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")
    return parser


def run(args: argparse.Namespace, out: Output) -> int:
    doing: dict[str, Callable[[argparse.Namespace, Output], int]] = {"sign": _sign, "publish": _publish}
    return doing.get(args.command, _draft)(args, out)


def show(raw: bytes, out: Output) -> int:
    """What a list says, and who has signed it so far."""
    from neurath.wire import keylist

    signed, found = keylist.unpack(raw)
    counts = [(name, roots, signed.count(roots)) for name, roots in _signers(found)]
    when = (
        f"signed on {key_time.date(found.issued)}: no certificate is believed that ended before" if found.issued else "no date"
    )
    lines = [f"key list {found.version}, {when}"]
    lines += [f"{name}: {have} of {roots.threshold} signatures" for name, roots, have in counts]
    lines += [f"  root    {_mark(key)} {_signed(signed, roots, key)}" for _, roots, _ in counts for key in roots.keys]
    lines += [f"  release {_mark(key)} {' '.join(family.models)}" for family in found.families for key in family.keys]
    lines += [f"  ticket  {_mark(found.ticket)}" if found.ticket else "  ticket  none: no ticket is taken"]
    complete = all(have >= roots.threshold for _, roots, have in counts)
    out.data(
        "\n".join(lines),
        version=found.version,
        issued=found.issued,
        complete=complete,
        root=found.roots.digest.hex(),
        signatures=[have for _, _, have in counts],
        release={name: [_mark(key) for key in family.keys] for family in found.families for name in family.models},
        ticket=_mark(found.ticket) if found.ticket else "",
    )
    return 0


def _signers(found: KeyList) -> list[tuple[str, Roots]]:
    if found.successors == found.roots:
        return [("its roots", found.roots)]
    return [("the roots before", found.roots), ("its own roots", found.successors)]


def _mark(key: PublicKey) -> str:
    from neurath.wire.keys import fingerprint

    return fingerprint(key)[:16]


def _signed(signed: object, roots: Roots, key: PublicKey) -> str:
    from neurath.wire.keylist import SignedList, mark

    assert isinstance(signed, SignedList)
    return "signed" if mark(key) in dict(signed.signatures) else "-"


# ---- drafts ------------------------------------------------------------------------------------------------------------


def _draft(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import keylist

    found = {"delegate": _delegated, "rotate": _rotated, "revoke": _revoked}[args.command](args)
    before = 0 if args.after is None else _read(args.after).issued
    found = replace(found, issued=key_time.drafted(args.time, before, time.time()))
    if args.out.exists():
        raise RefusedError(f"{args.out} exists", "a list is never written over", "choose another name", id="NRT-301")
    raw = keylist.pack(keylist.draft(found))
    if not args.dry_run:
        _write(args.out, raw)
    out.talk(f"next: {_SIGN}")
    return show(raw, out)


def _write(path: Path, raw: bytes) -> None:
    from neurath.disk import write_whole

    write_whole(path, raw)


def _read(path: Path) -> KeyList:
    from neurath.wire import keylist

    return keylist.unpack(path.read_bytes())[1]


def _next(before: KeyList) -> KeyList:
    return replace(before, version=before.version + 1, roots=before.successors)


def _delegated(args: argparse.Namespace) -> KeyList:
    from neurath.wire import keys
    from neurath.wire.keylist import KeyList, Roots

    if (args.after is None) is not bool(args.root):
        why = "roots are those of number 1; later lists come --after another"
        raise UsageError("--root or --after is needed, and not both", why, "neurath key rotate exchanges a root")
    if args.after is None:
        roots = Roots(tuple(keys.load_public(path) for path in args.root), args.threshold)
        found = KeyList(1, roots, roots)
    else:
        found = _next(_read(args.after))
    known = _by_model(found)
    for text in args.release:
        models, _, path = text.partition("=")
        if not models or not path:
            raise UsageError(f"--release {text} says nothing", "MODEL,...=PUB.pem", "--release lamp,lantern=release.pub.pem")
        key = keys.load_public(Path(path))
        for name in models.split(","):
            known[name] = (*known.get(name, ()), key)
    ticket = found.ticket if args.ticket is None else keys.load_public(args.ticket)
    return replace(found, families=_families(known), ticket=ticket)


def _rotated(args: argparse.Namespace) -> KeyList:
    from neurath.wire import keys

    old, new = keys.load_public(args.old), keys.load_public(args.new)
    return _exchanged(_next(_read(args.after)), old, (new,))


def _revoked(args: argparse.Namespace) -> KeyList:
    from neurath.wire import keys

    return _exchanged(_next(_read(args.after)), keys.load_public(args.old), ())


def _exchanged(found: KeyList, old: PublicKey, new: tuple[PublicKey, ...]) -> KeyList:
    """With the new key, or none, wherever the old one stands."""
    from neurath.wire.keylist import Roots

    def put(those: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        return tuple(one for key in those for one in (new if key == old else (key,)))

    known = {name: put(those) for name, those in _by_model(found).items()}
    changed = replace(
        found,
        successors=Roots(put(found.roots.keys), found.roots.threshold),
        families=_families({name: those for name, those in known.items() if those}),
        ticket=next(iter(put([found.ticket])), None) if found.ticket else None,
    )
    if (changed.successors, changed.families, changed.ticket) == (found.successors, found.families, found.ticket):
        raise NotFound(f"{_mark(old)} is not in this list", "no root, release or ticket key", "neurath key show LIST")
    return changed


def _by_model(found: KeyList) -> dict[str, tuple[PublicKey, ...]]:
    return {name: family.keys for family in found.families for name in family.models}


def _families(known: dict[str, tuple[PublicKey, ...]]) -> tuple[Family, ...]:
    """Models with the same keys are one family."""
    from neurath.wire.keylist import Family

    groups: dict[tuple[PublicKey, ...], list[str]] = {}
    for name, those in sorted(known.items()):
        groups.setdefault(those, []).append(name)
    return tuple(Family(tuple(names), those) for those, names in groups.items())


# ---- signing and publishing --------------------------------------------------------------------------------------------


def _sign(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import key_token
    from neurath.wire import keylist

    signed, found = keylist.unpack(args.file.read_bytes())
    key = key_token.load(args.key)
    if not any(key.public in roots.keys for _, roots in _signers(found)):
        raise RefusedError(
            f"{args.key} is no root of this list", "roots alone sign lists", "neurath key show LIST names them", id="NRT-316"
        )
    key_time.demand(found.issued, args.time, time.time(), far=True)
    raw = keylist.pack(signed if args.dry_run else signed.signed(key.public, key.sign(signed.message)))
    if not args.dry_run:
        _write(args.file, raw)
    return show(raw, out)


def _publish(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.delivery import tickets
    from neurath.server.software import keylists
    from neurath.wire import keylist

    raw = args.file.read_bytes()
    key_time.demand(keylist.unpack(raw)[1].issued, args.time, time.time(), far=False)
    store = data.store(args, create=False)
    if not (args.data / tickets.PUBLIC_FILE).exists():
        raise DataError(f"{args.data} has no ticket key", "no server ran there yet", "neurath serve makes one")
    from neurath.wire.keys import load_public

    ticket = load_public(args.data / tickets.PUBLIC_FILE)
    with data.writing(store, args, out) as db:
        found = keylists.publish(db, raw, ticket, agreed())
    root = found.roots.digest.hex()
    out.data(
        f"key list {found.version} {'would be' if args.dry_run else 'is'} passed on\nroots {root}",
        version=found.version,
        root=root,
    )
    return 0
