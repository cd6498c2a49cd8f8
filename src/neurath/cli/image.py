"""`neurath image`: the software store. An image of ours needs its envelope before it is offered; packages of other updaters
are taken as they are."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import UsageError

if TYPE_CHECKING:
    from neurath.server.software.catalog import Release


#: What a priority is, for help.
_PRIORITY = "of what rides on heartbeats: 9 goes first, -9 last (default 0)"


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|show|priority|channels|revoke")
    add = commands.add_parser("add", help="add an image or a package")
    add.add_argument("file", type=Path, metavar="FILE", help="bin, Intel hex, ELF, .swu or .raucb; told from the contents")
    add.add_argument("--model", required=True, metavar="M")
    add.add_argument("--version", default="", metavar="V", help="needed unless a package says its own")
    add.add_argument("--component", default="firmware", metavar="C")
    add.add_argument("--envelope", type=Path, metavar="E", help="made by `neurath sign`, where the release key is")
    add.add_argument("--priority", type=int, default=0, metavar="N", help=_PRIORITY)
    data.dry_run(add)
    show = commands.add_parser("show", help="one release")
    show.add_argument("release", metavar="MODEL/VERSION")
    listing = commands.add_parser("list", help="all of them, newest first")
    listing.add_argument("--model", metavar="M")
    prefer = commands.add_parser("priority", help="which of several files rides to a terminal first; at once")
    prefer.add_argument("release", metavar="MODEL/VERSION")
    prefer.add_argument("priority", type=int, metavar="N", help=_PRIORITY)
    data.dry_run(prefer)
    text = "give it to terminals on these channels only (beta, stable, ...); none: to everybody its rollouts are for"
    spread = commands.add_parser("channels", help=text)
    spread.add_argument("release", metavar="MODEL/VERSION")
    spread.add_argument("channels", nargs="*", metavar="CHANNEL")
    data.dry_run(spread)
    bad = commands.add_parser(
        "revoke", help="offer it to nobody any more, at once; its rollouts end, what is on its way is cut"
    )
    bad.add_argument("release", metavar="MODEL/VERSION")
    bad.add_argument("--why", default="", metavar="TEXT")
    bad.add_argument("--by", default="", metavar="NAME", help="who says so (default: who is logged in)")
    data.dry_run(bad)
    for each in (add, show, listing, prefer, spread, bad):
        data.option(each)
    parser.epilog = "example: neurath image add app.hex --model phone --version 1.4.1 --envelope app.envelope"


def run(args: argparse.Namespace, out: Output) -> int:
    command = data.chosen(args)
    if command == "add":
        return _add(args, out)
    if command == "priority":
        return _prefer(args, out)
    if command == "channels":
        return _publish(args, out)
    if command == "revoke":
        return _revoke(args, out)
    from neurath.server.software import catalog

    with data.store(args, create=False).read() as db:
        if command == "show":
            found = catalog.find_release(db, args.release)
            fields = _fields(found)
            out.data("\n".join(f"{key:16} {value}" for key, value in fields.items()), **fields)
            return 0
        for one in catalog.list_releases(db, args.model):
            out.data(_line(one), **_fields(one))
    return 0


def _prefer(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software import catalog

    with data.writing(data.store(args, create=False), args, out) as db:
        found = catalog.set_priority(db, args.release, args.priority)
        out.data(("would be: " if args.dry_run else "") + _line(found), **_fields(found))
    return 0


def _publish(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import life
    from neurath.server.software import catalog

    with data.writing(data.store(args, create=False), args, out) as db:
        life.publish(db, catalog.find_release(db, args.release), args.channels)
        found = catalog.find_release(db, args.release)
    out.data(f"{found.name}: {' '.join(found.channels) or 'every channel'}", **_fields(found))
    return 0


def _revoke(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli.rollout import person
    from neurath.server.fleet import recall
    from neurath.server.software import catalog

    store = data.store(args, create=False)
    with data.writing(store, args, out) as db:
        found = catalog.find_release(db, args.release)
        ended = recall.revoke(db, found, agreed(), person(args, store))
    words = f"; rollouts ended: {', '.join(map(str, ended))}" if ended else ""
    out.data(f"{found.name} is revoked{words}", release=found.name, rollouts=ended, why=args.why)
    return 0


def _add(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software import catalog
    from neurath.server.software.models import find_model
    from neurath.server.software.upload import read_upload
    from neurath.server.watch import arrival

    content = args.file.read_bytes()
    signed = args.envelope.read_bytes() if args.envelope else b""
    store = data.store(args, create=False)
    with store.read() as db:
        model = find_model(db, args.model)
    taken = read_upload(content, args.file.name, model, args.component, signed=bool(signed))
    version = args.version or taken.says
    if not version:
        raise UsageError("--version is needed", "this file says none of its own", "--version 1.4.1")
    wanted = dataclasses.replace(taken, model=args.model, version=version, envelope=signed, priority=args.priority)
    if args.dry_run:
        catalog.check_upload(store, wanted)
        out.data(f"{args.model}/{version} would be added: {len(taken.data):,} bytes", size=len(taken.data), kind=taken.kind)
        return 0
    came = arrival.arrive(store, wanted, agreed()).news()
    begun = "" if came.rollout is None else f"; rollout {came.rollout} runs, as its watched folder says"
    out.data(f"added {_line(came.release)}{begun}", **_fields(came.release), rollout=came.rollout)
    return 0


def _line(one: Release) -> str:
    offerable = one.kind != "image" or one.envelope
    note = "" if offerable else "  (no envelope: known, not offered)"
    note += f"  priority {one.priority}" if one.priority else ""
    return f"{one.name:32} {one.kind:6} {one.size:>10,} bytes  sequence {one.sequence}  {one.image[:16]}…{note}"


def _fields(one: Release) -> dict[str, object]:
    fields = dataclasses.asdict(one) | {"name": one.name}
    fields["envelope"] = one.envelope.hex()
    return fields
