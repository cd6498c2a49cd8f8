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
    from neurath.server.fleet.waves import Policy, Tally


def configure(parser: argparse.ArgumentParser) -> None:
    names = "create|start|pause|resume|abort|show"
    commands = parser.add_subparsers(dest="command", metavar=names)
    create = commands.add_parser("create", help="a draft; nothing is offered before `start`")
    create.add_argument("--release", required=True, metavar="MODEL/VERSION")
    create.add_argument("--terminals", nargs="+", metavar="ID")
    create.add_argument("--all", action="store_true", help="every terminal of the model, later ones too")
    create.add_argument("--tenant", default="DEFAULT")
    create.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS", help="a full image is sent within this")
    create.add_argument("--waves", metavar="SIZES", help="sizes of the waves before everybody: 10,50%% (default: none)")
    create.add_argument("--policy", metavar="TEXT", help="`default`, or waves=5%%,50%% go-on=90%% halt=10%% patience=1d")
    create.add_argument("--target", default="", metavar="FILTER", help="only terminals like this: 'tag:field and site=osaka'")
    create.add_argument(
        "--pieces",
        default="",
        metavar="SIZE|CARRIERS",
        help="of what rides on heartbeats: 64, or what has to fit dhcp,http",
    )
    create.add_argument("--start", action="store_true", help="and start it")
    data.dry_run(create)
    data.option(create)
    moves = {"start": "offer the release", "pause": "offer it to nobody else", "resume": "go on", "abort": "for good"}
    for name, text in moves.items():
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
    plan = rollout.Plan(release, terminals, args.time_limit, _policy(args), args.target, args.pieces)
    made = rollout.create(db, plan, time.time())
    return rollout.move(db, made.id, "start", time.time()) if args.start else made


def _policy(args: argparse.Namespace) -> Policy:
    from neurath.server.fleet import waves

    if args.waves and args.policy:
        raise UsageError("--waves and --policy say the same thing", "one of them is enough", "--policy 'waves=10 halt=5%'")
    return waves.policy(f"waves={args.waves}" if args.waves else args.policy or "at-once")


def _say(db: Connection, one: Rollout, out: Output, before: str = "") -> None:
    from neurath.server.fleet import progress, rollout
    from neurath.server.software import catalog

    name = catalog.find_release(db, str(one.release)).name
    phases = progress.counts(db, one.release)
    whom = "all" if one.everyone else str(one.terminals)
    stand = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items())) or "nothing offered yet"
    text = f"{before}rollout {one.id}: {name} to {whom} terminals, {one.state}; {stand}"
    counted = rollout.tally(db, one, time.time())
    if one.pieces:
        text += f"\n    pieces: {one.pieces}"
    if one.policy != "at-once" or one.target:
        text += f"\n    {one.policy}{f', only {one.target}' if one.target else ''}\n    {_stand(one, counted)}"
    out.data(text, **dataclasses.asdict(one), name=name, phases=phases, tally=dataclasses.asdict(counted))


def _stand(one: Rollout, counted: Tally) -> str:
    if not one.gate:
        return f"no wave open; for {counted.targets} terminals"
    words = f"wave {one.step + 1}: open to {counted.admitted} of {counted.targets}, {counted.confirmed} run it"
    words += f", {counted.failed} failed, {counted.silent} silent for too long"
    return f"{words}\n    {one.why}" if one.why else words
