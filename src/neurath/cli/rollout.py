"""`neurath rollout`: a release is offered through a rollout or a pin, never by itself."""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.fleet.rollout import Rollout


def configure(parser: argparse.ArgumentParser) -> None:
    names = "create|start|pause|abort|show"
    commands = parser.add_subparsers(dest="command", metavar=names)
    create = commands.add_parser("create", help="a draft; nothing is offered before `start`")
    create.add_argument("--release", required=True, metavar="MODEL/VERSION")
    create.add_argument("--terminals", nargs="+", metavar="ID")
    create.add_argument("--all", action="store_true", help="every terminal of the model, later ones too")
    create.add_argument("--tenant", default="DEFAULT")
    create.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS", help="a full image is sent within this")
    create.add_argument("--start", action="store_true", help="and start it")
    data.dry_run(create)
    data.option(create)
    for name, text in (("start", "offer the release"), ("pause", "offer it to nobody else"), ("abort", "for good")):
        move = commands.add_parser(name, help=text)
        move.add_argument("rollout", type=int, metavar="NUMBER")
        data.dry_run(move)
        data.option(move)
    show = commands.add_parser("show", help="one, or all")
    show.add_argument("rollout", type=int, nargs="?", metavar="NUMBER")
    data.option(show)
    parser.epilog = "example: neurath rollout create --release phone/1.4.1 --all --start"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import rollout

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "show":
        with store.read() as db:
            found = rollout.all_rollouts(db) if args.rollout is None else [rollout.find(db, args.rollout)]
            for one in found:
                _say(db, one, out)
        return 0
    try:
        with store.write() as db:
            if command == "create":
                made = _create(db, args)
            else:
                made = rollout.move(db, args.rollout, command, time.time())
            _say(db, made, out, "would be: " if args.dry_run else "")
            if args.dry_run:
                raise data.Undone
    except data.Undone:
        pass
    return 0


def _create(db: Connection, args: argparse.Namespace) -> Rollout:
    from neurath.server.fleet import access, rollout
    from neurath.server.software import catalog

    if args.all == bool(args.terminals):
        raise UsageError("--all or --terminals ID... is needed", "exactly one of them", "neurath rollout create --help")
    release = catalog.find_release(db, args.release)
    terminals = None if args.all else [access.find(db, name, args.tenant) for name in args.terminals]
    made = rollout.create(db, rollout.Plan(release, terminals, args.time_limit), time.time())
    return rollout.move(db, made.id, "start", time.time()) if args.start else made


def _say(db: Connection, one: Rollout, out: Output, before: str = "") -> None:
    from neurath.server.fleet import progress
    from neurath.server.software import catalog

    name = catalog.find_release(db, str(one.release)).name
    phases = progress.counts(db, one.release)
    whom = "all" if one.everyone else str(one.terminals)
    stand = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items())) or "nothing offered yet"
    text = f"{before}rollout {one.id}: {name} to {whom} terminals, {one.state}; {stand}"
    out.data(text, **dataclasses.asdict(one), name=name, phases=phases)
