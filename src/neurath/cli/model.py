"""`neurath model`: memory maps of kinds of terminals, and the keys their releases are signed with."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|show|header")
    add = commands.add_parser("add", help="add a model, or a release key to one")
    add.add_argument("file", nargs="?", type=Path, metavar="FILE.toml")
    add.add_argument("--plain", metavar="NAME", help="a model without a memory map: packages, and components that are files")
    text = "with --plain: packages are for devices that they call so (RAUC: compatible; SWUpdate: hardware-compatibility)"
    add.add_argument("--compatible", action="append", default=[], metavar="DEVICE", help=text)
    add.add_argument("--release-key", action="append", type=Path, default=[], metavar="PUB.pem", help="may be repeated")
    data.dry_run(add)
    show = commands.add_parser("show", help="what is known about one")
    show.add_argument("name")
    header = commands.add_parser("header", help="a memory map as a C header, for a board's own build")
    header.add_argument("file", type=Path, metavar="FILE.toml")
    header.add_argument("-o", "--out", required=True, type=Path, metavar="FILE.h")
    data.dry_run(header)
    header.add_argument("--prefix", default="board", help="of the names in it (default: board)")
    for each in (add, show, commands.add_parser("list", help="all of them")):
        data.option(each)
    parser.epilog = "example: neurath model add phone.toml --release-key release.pub.pem"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software.models import describe_model, list_models

    match data.chosen(args):
        case "add":
            return _add(args, out)
        case "show":
            return _show(args, out)
        case "header":
            return _header(args, out)

    with data.store(args, create=False).read() as db:
        for name in list_models(db):
            about = describe_model(db, name)
            kind = "plain" if about["plain"] else f"bank {about['bank_size']:,} bytes"
            out.data(f"{name:24} {about['terminals']:>6} terminals  {kind}", **about)
    return 0


def _add(args: argparse.Namespace, out: Output) -> int:
    from neurath.flash.geometry import model_from_toml
    from neurath.server.software.models import add_key, add_model, add_plain_model, describe_model

    if (args.file is None) == (args.plain is None):
        raise UsageError("a model file or --plain NAME is needed", "exactly one of them", "neurath model add FILE.toml")
    if args.compatible and args.plain is None:
        raise UsageError("--compatible is for plain models", "packages are for those", "neurath model add --plain NAME")
    pems = [path.read_text(errors="replace") for path in args.release_key]
    toml = "" if args.file is None else args.file.read_text(errors="replace")
    name = args.plain or model_from_toml(toml).name
    with data.writing(data.store(args, create=not args.dry_run), args, out) as db:
        if args.plain:
            add_plain_model(db, args.plain, agreed(), args.compatible)
            for pem in pems:
                add_key(db, args.plain, pem, agreed())
        else:
            add_model(db, toml, pems, agreed())
        about = describe_model(db, name)
    out.data(f"model {name}{' would be' if args.dry_run else ''} added", **about)
    return 0


def _show(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software.models import describe_model

    with data.store(args, create=False).read() as db:
        about = describe_model(db, args.name)
    out.data("\n".join(f"{key:14} {value}" for key, value in about.items()), **about)
    return 0


def _header(args: argparse.Namespace, out: Output) -> int:
    from neurath.disk import write_whole
    from neurath.flash.geometry import model_from_toml
    from neurath.flash.header import header

    if not args.prefix.isidentifier():
        raise UsageError(f"{args.prefix!r} begins no C name", "letters, digits and _, no digit first", "--prefix board")
    model = model_from_toml(args.file.read_text(errors="replace"))
    text = header(model, args.prefix)
    if not args.dry_run:
        write_whole(args.out, text.encode())
    out.data(
        f"{args.out}{' would be' if args.dry_run else ''}: memory map of {model.name}", model=model.name, file=str(args.out)
    )
    return 0
