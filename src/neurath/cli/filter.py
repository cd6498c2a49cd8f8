"""`neurath filter`: target filters kept under a name, for rollouts, folders and lists: saved:NAME."""

from __future__ import annotations

import argparse
import dataclasses

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="save|list|remove")
    save = commands.add_parser("save", help="keep one, in place of an earlier one of that name")
    save.add_argument("name", metavar="NAME")
    save.add_argument("filter", metavar="FILTER", help="'tag:field and site=osaka and not id:lab-*'")
    remove = commands.add_parser("remove", help="forget one; rollouts made with it stay as they are")
    remove.add_argument("name", metavar="NAME")
    for each in (save, remove):
        data.dry_run(each)
    for each in (save, remove, commands.add_parser("list", help="all of them, with how many terminals each names now")):
        data.option(each)
    parser.epilog = "example: neurath filter save field 'tag:field and not id:lab-*'"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import filters

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "list":
        with store.read() as db:
            for one in filters.all_kept(db):
                count = filters.count(db, one)
                out.data(f"{one.name:24} {count:>8} terminals  {one.text}", **dataclasses.asdict(one), terminals=count)
        return 0
    with data.writing(store, args, out) as db:
        if command == "save":
            kept = filters.keep(db, args.name, args.filter, agreed())
            text, fields = f"{kept.name}: {kept.text}", dataclasses.asdict(kept)
        else:
            filters.forget(db, args.name)
            text, fields = f"{args.name} is forgotten", {"name": args.name}
    out.data(text, **fields)
    return 0
