"""`neurath rollout`: a release is offered through a rollout or a pin, never by itself."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.fleet.rollout import Person, Plan, Rollout
    from neurath.server.fleet.waves import Policy, Tally
    from neurath.server.store import Store


_POLICY = (
    "`default`, or waves=5%%,50%% go-on=90%% halt=10%% patience=1d, and terms after either: "
    "window=mon-fri,22:00-04:00,Europe/Berlin from=2027-01-31T22:00Z until=... urgency=soft confirm=yes approve=yes"
)


def configure(parser: argparse.ArgumentParser) -> None:
    names = "create|start|approve|deny|pause|resume|retry|abort|back|show|stop-all|go-on"
    commands = parser.add_subparsers(dest="command", metavar=names)
    create = commands.add_parser("create", help="a draft; nothing is offered before `start`")
    create.add_argument("--release", required=True, metavar="MODEL/VERSION")
    create.add_argument("--terminals", nargs="+", metavar="ID")
    create.add_argument("--all", action="store_true", help="every terminal of the model, later ones too")
    create.add_argument("--tenant", default="DEFAULT")
    create.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS", help="a full image is sent within this")
    create.add_argument("--waves", metavar="SIZES", help="sizes of the waves before everybody: 10,50%% (default: none)")
    create.add_argument(
        "--policy",
        metavar="TEXT",
        help=_POLICY,
    )
    create.add_argument("--target", default="", metavar="FILTER", help="only terminals like this: 'tag:field and site=osaka'")
    create.add_argument(
        "--pieces",
        default="",
        metavar="SIZE|CARRIERS",
        help="of what rides on heartbeats: 64, or what has to fit dhcp,http",
    )
    create.add_argument("--start", action="store_true", help="and start it")
    _person(create)
    moves = {
        "start": "offer the release",
        "approve": "let one begin that a second person has to look at",
        "deny": "... or not",
        "pause": "offer it to nobody else",
        "resume": "go on",
        "retry": "offer it again to those that failed",
        "abort": "for good",
    }
    for name, text in moves.items():
        move = commands.add_parser(name, help=text)
        move.add_argument("rollout", type=int, metavar="NUMBER")
        _person(move)
    way = commands.add_parser("back", help="end it, and give whom it holds what they held before")
    way.add_argument("rollout", type=int, metavar="NUMBER")
    way.add_argument("--with", dest="only", default="", metavar="RELEASE", help="by this release (default: of the old image)")
    way.add_argument("--policy", default="at-once", metavar="TEXT", help="how the way back is rolled out (default: at-once)")
    _person(way)
    _person(commands.add_parser("stop-all", help="nobody is given anything any more, at once; torn terminals are made whole"))
    _person(commands.add_parser("go-on", help="after stop-all: everything is as it was"))
    show = commands.add_parser("show", help="one, or all")
    show.add_argument("rollout", type=int, nargs="?", metavar="NUMBER")
    data.option(show)
    parser.epilog = "example: neurath rollout create --release phone/1.4.1 --all --start"


def _person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default="", metavar="NAME", help="who says so (default: who is logged in)")
    parser.add_argument("--why", default="", metavar="TEXT")
    data.dry_run(parser)
    data.option(parser)


def person(args: argparse.Namespace, store: Store) -> Person:
    """Who gives the command: a token's name, which nobody can say is another; else --by, or who is logged in."""
    from neurath.server.fleet.rollout import Person

    who = data.actor(store)
    return Person(who.name if who.known else args.by or who.name, args.why)


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import rollout

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command in ("stop-all", "go-on"):
        return _switch(store, command, args, out)
    if command == "show":
        with store.read() as db:
            _say_stopped(db, out)
            found = rollout.all_rollouts(db) if args.rollout is None else [rollout.find(db, args.rollout)]
            for one in found:
                _say(db, one, out)
        return 0
    if command == "create":
        return _create(args, store, out)
    with data.writing(store, args, out) as db:
        if command == "back":
            made = _take_back(db, args, store, out)
        else:
            made = [rollout.move(db, args.rollout, command, agreed(), person(args, store))]
        for one in made:
            _say(db, one, out, "would be: " if args.dry_run else "")
    return 0


def _take_back(db: Connection, args: argparse.Namespace, store: Store, out: Output) -> list[Rollout]:
    from neurath.server.fleet import back, waves

    order = back.Order(person(args, store), args.only, waves.policy(args.policy))
    found = back.take_back(db, args.rollout, order, agreed())
    for way in found.ways:
        assert way.release is not None
        out.talk(f"{len(way.terminals)} terminals, {way.raised} of which have confirmed, get {way.release.name}")
    return found.rollouts


def _switch(store: Store, command: str, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import stop

    who = person(args, store)
    with data.writing(store, args, out) as db:
        if command == "stop-all":
            stop.stop(db, stop.Stop(agreed(), who.name, who.why))
        else:
            stop.go_on(db)
    text = "stopped: no terminal is given anything" if command == "stop-all" else "everything goes on"
    out.data(text, stopped=command == "stop-all", by=who.name, why=who.why)
    return 0


def _say_stopped(db: Connection, out: Output) -> None:
    from neurath.server.fleet import stop

    found = stop.stopped(db)
    if found is not None:
        who = f" by {found.by}" if found.by else ""
        out.talk(
            f"everything is stopped{who} since {data.when(found.at)}: {found.why or 'no reason given'}; neurath rollout go-on"
        )


def _create(args: argparse.Namespace, store: Store, out: Output) -> int:
    from neurath.server.fleet import begin, rollout

    now, before, who = agreed(), None, person(args, store)
    if args.start:
        with store.read() as db:
            before = begin.foreseen(db, _plan(db, args), now)
    with data.writing(store, args, out) as db:
        plan = _plan(db, args)
        made = begin.begin(db, plan, before, now, who) if args.start else rollout.create(db, plan, now)
        _say(db, made, out, "would be: " if args.dry_run else "")
    return 0


def _plan(db: Connection, args: argparse.Namespace) -> Plan:
    from neurath.server.fleet import access, rollout
    from neurath.server.software import catalog

    if args.all == bool(args.terminals):
        raise UsageError("--all or --terminals ID... is needed", "exactly one of them", "neurath rollout create --help")
    release = catalog.find_release(db, args.release)
    terminals = None if args.all else [access.find(db, name, args.tenant) for name in args.terminals]
    return rollout.Plan(release, terminals, args.time_limit, _policy(args), args.target, args.pieces)


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
    counted = rollout.tally(db, one, agreed())
    if one.back is not None:
        text += f"\n    takes rollout {one.back} back"
    if one.state == "aborted" and one.why:
        text += f"\n    {one.why}"
    if one.pieces:
        text += f"\n    pieces: {one.pieces}"
    if one.policy != "at-once" or one.target:
        text += f"\n    {one.policy}{f', only {one.target}' if one.target else ''}\n    {_stand(one, counted)}"
    people = [f"{word} {name}" for word, name in (("by", one.author), ("approved by", one.approver)) if name]
    text += f"\n    {', '.join(people)}" if people else ""
    out.data(text, **dataclasses.asdict(one), name=name, phases=phases, tally=dataclasses.asdict(counted))


def _stand(one: Rollout, counted: Tally) -> str:
    if not one.gate:
        return f"no wave open; for {counted.targets} terminals"
    words = f"wave {one.step + 1}: open to {counted.admitted} of {counted.targets}, {counted.confirmed} run it"
    words += f", {counted.failed} failed, {counted.silent} silent for too long"
    return f"{words}\n    {one.why}" if one.why else words
