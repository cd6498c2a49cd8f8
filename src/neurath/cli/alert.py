"""`neurath alert`: who is told when a rollout halts, a terminal needs a station, or one falls silent."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.alerts.channels import Wanted
    from neurath.server.store import Store

KINDS, CAUSES = ("webhook", "mail", "alertmanager"), ("halt", "restoration", "silence")


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|remove|test|show")
    add = commands.add_parser("add", help="another way; prints what a webhook's messages are signed with, once")
    add.add_argument("kind", choices=KINDS)
    add.add_argument("name", metavar="NAME")
    add.add_argument("url", metavar="URL", help="https://... of a webhook or an Alertmanager, smtp://[USER@]HOST[:PORT]")
    add.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="of mail")
    add.add_argument("--to", nargs="+", default=[], metavar="ADDRESS", help="of mail")
    add.add_argument("--about", nargs="+", default=[], choices=CAUSES, help="(default: all of them)")
    add.add_argument("--secret-file", type=Path, metavar="FILE", help="the mail server's password; a webhook's own secret")
    listing = commands.add_parser("list", help="the ways, how far each has come, and what is wrong with it")
    remove = commands.add_parser("remove", help="nobody is told that way any more")
    test = commands.add_parser("test", help="send a test now; exit code 6 where it does not arrive")
    show = commands.add_parser("show", help="what people were told, newest first")
    show.add_argument("--standing", action="store_true", help="only what is not over")
    show.add_argument("--limit", type=int, default=50, metavar="N")
    for each in (remove, test):
        each.add_argument("name", metavar="NAME")
    for each in (add, remove, test):
        data.dry_run(each)
    for each in (add, listing, remove, test, show):
        data.option(each)
    parser.epilog = (
        "example: neurath alert add mail on-call smtp://mail.example --from neurath@example.org --to ops@example.org"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    command = data.chosen(args)
    store = data.store(args, create=False)
    match command:
        case "list":
            return _list(store, out)
        case "show":
            return _show(store, args, out)
        case "test":
            return _test(store, args, out)
    return _change(store, command, args, out)


def _change(store: Store, command: str, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.store.marks import NOBODY

    with data.writing(store, args, out, NOBODY) as db:
        said = _added(db, args) if command == "add" else _removed(db, args)
    out.data(said[0], **said[1])
    return 0


def _added(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.alerts import channels

    made = channels.add(db, _wanted(args), agreed())
    secret = made.secret if made.kind == "webhook" and not args.secret_file and not args.dry_run else ""
    return f"{made.name} {secret}".strip(), {"name": made.name, "kind": made.kind, "secret": secret}


def _wanted(args: argparse.Namespace) -> Wanted:
    from neurath.server.alerts.channels import Wanted

    secret = args.secret_file.read_text().strip() if args.secret_file else ""
    return Wanted(args.name, args.kind, args.url, args.sender, tuple(args.to), tuple(args.about), secret)


def _removed(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.alerts import channels

    channels.remove(db, args.name)
    return f"{args.name} is told nothing any more", {"name": args.name, "removed": True}


def _list(store: Store, out: Output) -> int:
    from neurath.server.alerts import channels

    with store.read() as db:
        for one in channels.everyone(db):
            stand = f"FAILED {one.tries} times: {one.trouble}" if one.tries else f"told up to event {one.sent}"
            text = f"{one.name:24} {one.kind:12} {one.shown}  {' '.join(one.to)}  about {', '.join(one.about)}  {stand}"
            fields = {"name": one.name, "kind": one.kind, "url": one.shown, "to": one.to, "about": one.about}
            out.data(text, **fields, sent=one.sent, tries=one.tries, trouble=one.trouble)
    return 0


def _show(store: Store, args: argparse.Namespace, out: Output) -> int:
    import dataclasses

    from neurath.server.alerts import journal

    with store.read() as db:
        limit = max(1, min(args.limit, 10_000))
        found = journal.standing(db)[-limit:][::-1] if args.standing else journal.page(db, None, limit)
    for one in found:
        out.data(f"{one.id:6}  {data.when(one.at)}  {'over: ' if one.over else ''}{one.text}", **dataclasses.asdict(one))
    return 0


def _test(store: Store, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.alerts import channels, sending, teller

    with store.read() as db:
        found = channels.find(db, args.name)
    if args.dry_run:
        out.data(f"would send a test to {found.shown}", name=args.name, arrived=False)
        return 0
    sending.send(found, [teller.trial(agreed())], agreed())
    out.data(f"{args.name}: a test arrived at {found.shown}", name=args.name, arrived=True)
    return 0
