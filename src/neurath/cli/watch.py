"""`neurath watch`: folders on the server whose files become releases. It binds folders and tells how their files stand; the
looking is done inside `neurath serve`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import NotFound, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.watch import folders
    from neurath.server.watch.folders import Folder


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|remove")
    add = commands.add_parser("add", help="watch a folder; a running server begins within two seconds")
    add.add_argument("directory", type=Path, metavar="DIR")
    add.add_argument("--model", required=True, metavar="M")
    add.add_argument("--component", default="firmware", metavar="C")
    add.add_argument("--auto", action="store_true", help="roll out what arrives, by --policy (default: it waits for a person)")
    add.add_argument(
        "--policy",
        default="default",
        metavar="TEXT",
        help="how --auto spreads: default (waves=5%% go-on=90%% halt=10%% patience=1d), at-once, or words like these",
    )
    add.add_argument("--target", default="", metavar="FILTER", help="only terminals like this: 'tag:field and site=osaka'")
    add.add_argument(
        "--pieces",
        default="",
        metavar="SIZE|CARRIERS",
        help="of what rides on heartbeats: 64, or what has to fit dhcp,http",
    )
    add.add_argument("--priority", type=int, default=0, metavar="N", help="of what arrives: 9 rides first, -9 last")
    add.add_argument("--terminals", nargs="+", default=[], metavar="ID", help="only to these (default: all of the model)")
    add.add_argument("--tenant", default="DEFAULT")
    remove = commands.add_parser("remove", help="watch it no more; its releases stay")
    remove.add_argument("directory", type=Path, metavar="DIR")
    listing = commands.add_parser("list", help="every folder and how each file in it stands")
    for each in (add, remove):
        data.dry_run(each)
    for each in (add, remove, listing):
        data.option(each)
    parser.epilog = "example: neurath watch add /srv/firmware --model phone --auto"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.watch import folders

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "list":
        with store.read() as db:
            for one in folders.all_folders(db):
                _tell(db, one, out)
        return 0
    # A link stays a link: where it points may change.
    path = args.directory.absolute()
    with data.writing(store, args, out) as db:
        if command == "add":
            made = folders.add(db, _binding(db, args, path), agreed())
        else:
            made = folders.remove(db, path)
        before = "would be: " if args.dry_run else "no more: " if command == "remove" else ""
        out.data(before + _line(made), **_fields(made))
    return 0


def _binding(db: Connection, args: argparse.Namespace, path: Path) -> folders.Binding:
    from neurath.server.fleet import access, waves
    from neurath.server.watch import folders

    if not str(path).isprintable():
        raise UsageError("the name of this directory is no text", "the store keeps it as text", "give it another name")
    if not path.is_dir():
        raise NotFound(f"no directory {path}", "a folder is watched where it is", f"mkdir {path}", id="NRT-142")
    named = tuple(access.find(db, name, args.tenant) for name in args.terminals)
    policy = waves.policy(args.policy)
    return folders.Binding(path, args.model, args.component, args.auto, policy, args.target, named, args.pieces, args.priority)


def _tell(db: Connection, folder: Folder, out: Output) -> None:
    from neurath.server.watch import folders

    files = folders.listed(db, folder)
    lines = [_line(folder)] + [f"    {_file_line(one)}" for one in files]
    out.data("\n".join(lines), **_fields(folder), files=files)


def _file_line(one: dict[str, object]) -> str:
    return f"{one['name']:32} {one['size']:>12,} bytes  {one['standing']:9} {one['release'] or one['note']}"


def _line(one: Folder) -> str:
    whom = f"{len(one.terminals)} named terminals" if one.terminals else f"every {one.model}"
    whom += f" with {one.target}" if one.target else ""
    policy = f"rolled out to {whom}, {one.policy}" if one.auto else "waits for a person"
    policy += f", pieces: {one.pieces}" if one.pieces else ""
    policy += f", priority {one.priority}" if one.priority else ""
    trouble = f"  CANNOT BE READ: {one.trouble}" if one.trouble else ""
    return f"{one.path}  {one.model}/{one.component}  {policy}{trouble}"


def _fields(one: Folder) -> dict[str, object]:
    return dataclasses.asdict(one)
