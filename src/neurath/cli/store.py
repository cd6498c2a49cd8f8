"""`neurath store`: how full the disk is and how long it lasts, and what may go from it."""

from __future__ import annotations

import argparse
import dataclasses

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="show|prune")
    show = commands.add_parser("show", help="what files and database take, and in how many days the disk is full")
    text = "take away update files that nobody was given for long, and leftovers; images and files in use stay"
    prune = commands.add_parser("prune", help=text)
    prune.add_argument("--older", type=float, default=90.0, metavar="DAYS", help="not given to anybody for so long (90)")
    data.option(show)
    data.option(prune)
    data.dry_run(prune)
    parser.epilog = "example: neurath store prune --older 30 --dry-run"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software import retention

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "show":
        found = retention.usage(store, agreed())
        lasts = "does not fill" if found.days is None else f"full in {found.days:,.0f} days at {found.daily:,.0f} bytes a day"
        text = f"{found.count} files, {found.files:,} bytes; database {found.database:,}; "
        text += f"{found.free:,} of {found.size:,} free: {lasts}"
        out.data(text, **dataclasses.asdict(found))
        return 0
    gone = retention.prune(store, max(0.0, args.older), agreed(), dry=args.dry_run)
    words = "would go" if args.dry_run else "gone"
    out.data(
        f"{words}: {len(gone.files)} update files, {gone.strays} leftovers, {gone.bytes:,} bytes", **dataclasses.asdict(gone)
    )
    return 0 if gone.files or gone.strays else 3
