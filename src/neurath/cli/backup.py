"""`neurath backup`: the whole of a server in one directory, taken while it runs, looked at, and put back elsewhere."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed

if TYPE_CHECKING:
    from neurath.server.backup import Summary


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="create|show|restore")
    create = commands.add_parser("create", help="take a backup of a server that runs, or not; an interrupted one goes on")
    create.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="a new directory; secrets come into it")
    data.option(create)
    data.dry_run(create)
    show = commands.add_parser("show", help="what a backup holds; every byte is compared with its digest")
    show.add_argument("backup", type=Path, metavar="DIR")
    restore = commands.add_parser("restore", help="make a server's state of it; nothing that is there is overwritten")
    restore.add_argument("backup", type=Path, metavar="DIR")
    data.option(restore)
    data.dry_run(restore)
    parser.epilog = "example: neurath backup create -o /backup/monday"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server import backup

    match data.chosen(args):
        case "create":
            store = data.store(args, create=False)
            if args.dry_run:
                backup.fit(args.out)
                out.data(f"would make a backup of {args.data} in {args.out}", place=str(args.out))
                return 0
            made = backup.create(store, args.out, agreed())
            store.close()
            _say(out, "backup of", args.out, made)
            return 1 if made.lost else 0
        case "show":
            found = backup.read(args.backup)
            backup.verify(args.backup, found)
            _say(out, "sound:", args.backup, found)
        case _:
            _restore(args, out)
    return 0


def _restore(args: argparse.Namespace, out: Output) -> None:
    from neurath.server import backup

    found = backup.read(args.backup)
    backup.verify(args.backup, found)
    if args.dry_run:
        _say(out, "would restore", args.backup, found)
        return
    where = backup.Where(args.data, args.database, args.store)
    backup.restore(args.backup, where, data.local_act(args), agreed())
    _say(out, f"restored to {args.data}:", args.backup, found)
    out.talk("everything is stopped: see what was recalled since the backup was made, then `neurath rollout go-on`")


def _say(out: Output, what: str, place: Path, found: Summary) -> None:
    terminals = found.tables.get("terminal", 0)
    text = f"{what} {place}, made {data.when(found.made)}: {terminals} terminals, {found.files} files, {found.bytes:,} bytes"
    if found.lost:
        text += f"; {len(found.lost)} files are not in it, the server had no whole copy of them"
    out.data(text, place=str(place), **dataclasses.asdict(found))
