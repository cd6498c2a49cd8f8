"""`neurath terminal`: registration, what is known about each, and why it has or has not been updated."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data, terminal_keys
from neurath.cli.output import Output
from neurath.clock import agreed

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.fleet.access import Terminal
    from neurath.server.store import Store

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|import|list|work|show|why|...")
    changing = [*_registering(commands), *_standing(commands), *_speaking(commands)]
    reading = _reading(commands)
    for each in changing:
        data.dry_run(each)
    for each in (*changing, *reading):
        each.add_argument("--tenant", default="DEFAULT")
        data.option(each)
    work = commands.add_parser("work", help="those that want a person, with their place")
    work.add_argument("--kind", choices=("restoration", "twin", "failed"), help="only these (default: all kinds)")
    data.option(work)
    parser.epilog = "example: neurath terminal add T-0001 --model phone"


def _registering(commands: Commands) -> Iterator[argparse.ArgumentParser]:
    """Who is a terminal of this server, and who no longer."""
    add = commands.add_parser("add", help="register one; prints its token, once")
    add.add_argument("id", metavar="ID")
    add.add_argument("--model", required=True, metavar="M")
    add.add_argument("--token", default="", help="32 to 128 letters and digits (default: a new one)")
    add.add_argument("--place", default="", metavar="TEXT", help="where it stands, for who goes there")
    add.add_argument("--link", type=int, default=0, metavar="BYTES/S", help="declared speed of its link")
    many = commands.add_parser("import", help="many from a CSV; prints their tokens")
    many.add_argument("file", type=Path, metavar="FILE.csv", help="id,model[,token,link,tenant,place]")
    many.add_argument("--skip-known", action="store_true", help="leave those that are registered as they are")
    made = commands.add_parser("enrol", help="those that a factory's station recorded, each with the key it made itself")
    made.add_argument("file", type=Path, metavar="RECORDS.jsonl")
    text = "only what this station's key signed"
    made.add_argument("--station-key", type=Path, action="append", default=[], metavar="PUB.pem", help=text)
    away = _of_one(commands, "decommission", "out of service: it may not speak, and is counted nowhere; its history stays")
    away.add_argument("--why", default="", metavar="TEXT")
    back = _of_one(commands, "recommission", "back in service; prints its new token, once")
    other = _of_one(commands, "replace", "another device takes its place, with an id and a token of its own; prints it")
    other.add_argument("new", metavar="NEW-ID")
    one = _of_one(commands, "one", "two devices were seen under its id; a person has looked, and it is one again")
    yield from (add, many, made, away, back, other, one)


def _standing(commands: Commands) -> Iterator[argparse.ArgumentParser]:
    """What is laid down about one terminal."""
    pin = _of_one(commands, "pin", "give one terminal one release, or take that back")
    pin.add_argument("release", nargs="?", metavar="MODEL/VERSION")
    pin.add_argument("--none", action="store_true", help="take the pin away")
    _component(pin)
    tag = _of_one(commands, "tag", "words of yours for --target filters")
    tag.add_argument("tags", nargs="*", metavar="TAG", help="put on; `no-TAG` takes it off")
    stands = _of_one(commands, "place", "where it stands, for who goes there")
    stands.add_argument("place", nargs="?", default="", metavar="TEXT")
    costs = _of_one(commands, "budget", "bytes it may be sent in a month")
    costs.add_argument("budget", type=budget, metavar="BYTES", help="20M, 500k; none: no limit; usual: its tenant's again")
    hidden = _of_one(commands, "veil", "whom its update files are hidden for, where its model's are")
    hidden.add_argument("veil", metavar="KEY", help="device:HEX, derived:HEX, or a file with such a line; none: take it back")
    own = _of_one(commands, "key", "the device key that signs what it says")
    own.add_argument("key", metavar="KEY", help="as `neurath agent key` prints it there, or PUB.pem; none: take it back")
    gone = _of_one(commands, "revoke", "its device key counts no more, at once")
    gone.add_argument("--why", default="", metavar="TEXT")
    channel = _of_one(commands, "channel", "put it on a channel: beta, stable (usual), ...")
    channel.add_argument("channel", metavar="NAME")
    yield from (pin, tag, stands, costs, hidden, own, gone, channel)


def _speaking(commands: Commands) -> Iterator[argparse.ArgumentParser]:
    """What is said to its user, or in its place."""
    prod = _of_one(commands, "remind", "have the user reminded of an update that is on its way or waits for him")
    prod.add_argument("--text", default="", help="what is said (default: please keep it on, and restart when it asks)")
    yes = _of_one(commands, "confirm", "in the device's place: let begin what waits for its word (a rollout with confirm=yes)")
    yes.add_argument("--deny", action="store_true", help="... or not yet")
    yes.add_argument("--why", default="", metavar="TEXT")
    yield from (prod, yes)


def _reading(commands: Commands) -> Iterator[argparse.ArgumentParser]:
    """What is only looked at."""
    every = commands.add_parser("list", help="all of them in service")
    every.add_argument("--target", default="", metavar="FILTER", help="only such: 'tag:field and site=osaka', saved:NAME")
    every.add_argument("--retired", action="store_true", help="those out of service too")
    show = _of_one(commands, "show", "one of them")
    why = _of_one(commands, "why", "why it is, or is not, updated")
    _component(why)
    yield from (every, show, why, _of_one(commands, "timeline", "what happened to it"))


def _of_one(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.add_argument("id", metavar="ID")
    return parser


def _component(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--component", default="firmware", metavar="C")


def run(args: argparse.Namespace, out: Output) -> int:
    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "import":
        return _import(store, args, out)
    if command in CHANGES:
        return _change(store, command, args, out)
    with store.read() as db:
        if command == "list":
            return _list(db, args, out)
        if command == "work":
            return _work(db, args, out)
        from neurath.server.fleet import access

        found = access.find(db, args.id, args.tenant)
        if command == "timeline":
            return _timeline(db, found, out)
        if command == "show":
            return _show(db, found, out)
    return _why(store, found, args, out)


def _change(store: Store, command: str, args: argparse.Namespace, out: Output) -> int:
    said: list[tuple[str, dict[str, object]]] = []
    with data.writing(store, args, out) as db:
        said.append(CHANGES[command](db, args))
    # Printed after the commit: a token that was seen is a token that works.
    for line, fields in said:
        out.data(line, **fields)
    return 0


def _add(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access
    from neurath.server.fleet.access import Enrolment

    token = access.register(db, Enrolment(args.id, args.model, args.tenant, args.token, args.link, args.place), agreed())
    return _token(args.id, token, args)


def _token(name: str, token: str, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    shown = "" if args.dry_run else token
    return f"{name} {shown}".strip(), {"id": name, "token": shown}


def _import(store: Store, args: argparse.Namespace, out: Output) -> int:
    from neurath.cli.enrolling import write
    from neurath.server.fleet.enrol import Import, rows

    with (
        args.file.open(encoding="utf-8", errors="replace", newline="") as lines,
        Import(store, rows(lines, args.tenant)) as found,
    ):
        write(found, out, skip_known=args.skip_known, dry=args.dry_run)
    return 0


def _enrol(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import enrolled
    from neurath.wire import keys

    stations = [keys.fingerprint(keys.load_public(path)) for path in args.station_key]
    done = enrolled.take(db, args.file.read_bytes().splitlines(keepends=True), agreed(), args.tenant, stations)
    return f"{done.count:,} enrolments, {done.new:,} of them new", {"count": done.count, "new": done.new}


def _decommission(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, life

    life.decommission(db, access.find(db, args.id, args.tenant), agreed(), args.why)
    return f"{args.id} is out of service", {"id": args.id, "decommissioned": True}


def _recommission(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, life

    return _token(args.id, life.recommission(db, access.find(db, args.id, args.tenant), agreed()), args)


def _replace(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, life

    token = life.replace(db, access.find(db, args.id, args.tenant), args.new, agreed())
    return _token(args.new, token, args)


def _one(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, life

    life.one_again(db, access.find(db, args.id, args.tenant))
    return f"{args.id} is one device again", {"id": args.id}


def _channel(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, life

    life.put_on(db, access.find(db, args.id, args.tenant), args.channel)
    return f"{args.id} is on channel {args.channel}", {"id": args.id, "channel": args.channel}


def _remind(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, remind

    said = remind.remind(db, access.find(db, args.id, args.tenant), args.text, agreed())
    return f"the user of {args.id} will be reminded: {said}", {"id": args.id, "remind": said}


def _tag(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access

    off = {word.removeprefix("no-") for word in args.tags if word.startswith("no-")}
    found = access.find(db, args.id, args.tenant)
    tags = access.tag(db, found, {word for word in args.tags if not word.startswith("no-")}, off)
    return f"{args.id}: {' '.join(tags) or 'no tags'}", {"id": args.id, "tags": tags}


def _place(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access

    access.put_at(db, access.find(db, args.id, args.tenant), args.place)
    return f"{args.id}: {args.place or 'place not known'}", {"id": args.id, "place": args.place}


def budget(text: str) -> int | None:
    """Bytes a month as they are typed; 0: no limit, None: as usual."""
    from neurath.errors import UsageError

    if text in ("none", "usual"):
        return 0 if text == "none" else None
    unit = {"k": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
    number = text if unit == 1 else text[:-1]
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 13 and int(number)):
        raise UsageError(f"{text[:40]!r} is no budget", "bytes a month: a number, with k, M or G after it", "20M, none, usual")
    return int(number) * unit


def _budget(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access
    from neurath.server.fleet import budget as budgets

    found = access.find(db, args.id, args.tenant)
    budgets.give(db, found, args.budget)
    now = budgets.account(db, found, agreed())
    words = f"{now.budget:,} bytes a month" if now.budget else "no limit"
    return f"{args.id}: {words}, {now.used:,} sent in {now.month}", {"id": args.id, **dataclasses.asdict(now)}


def _pin(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.errors import UsageError
    from neurath.server.fleet import access, rollout
    from neurath.server.software import catalog

    if args.none == bool(args.release):
        raise UsageError("a release or --none is needed", "exactly one of them", "neurath terminal pin ID MODEL/VERSION")
    found = access.find(db, args.id, args.tenant)
    release = None if args.none else catalog.find_release(db, args.release)
    rollout.pin(db, found, release, args.component)
    name = None if release is None else release.name
    return f"terminal {args.id}: {f'pinned to {name}' if name else 'not pinned'}", {"id": args.id, "pin": name}


def _confirm(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, confirm

    number = confirm.say_for(db, access.find(db, args.id, args.tenant), not args.deny, args.why, agreed())
    word = "denied" if args.deny else "confirmed"
    return f"action {number} of {args.id} is {word}", {"id": args.id, "action": number, "confirmed": not args.deny}


#: What each command that changes one terminal does: a line for people, and the same as fields.
CHANGES: dict[str, Callable[[Connection, argparse.Namespace], tuple[str, dict[str, object]]]] = {
    "add": _add,
    "enrol": _enrol,
    "pin": _pin,
    "tag": _tag,
    "place": _place,
    "budget": _budget,
    "veil": terminal_keys.veil,
    "key": terminal_keys.key,
    "revoke": terminal_keys.revoke,
    "remind": _remind,
    "decommission": _decommission,
    "recommission": _recommission,
    "replace": _replace,
    "one": _one,
    "channel": _channel,
    "confirm": _confirm,
}


def _list(db: Connection, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import access, filters

    stands = _stands(db)
    wanted = access.Wanted(args.tenant, filters.expanded(db, args.target), retired=args.retired)
    for one in access.page(db, wanted):
        text = f"{one.id:32} {one.model or '-':16} heard {data.when(one.heard)}"
        text += "  out of service" if one.decommissioned is not None else ""
        software = stands.get((one.tenant, one.id), {})
        words = [f"{name}: {said['runs'] or 'unknown'}, newest {said['mark']}" for name, said in software.items()]
        out.data("  ".join([text, *words]), **dataclasses.asdict(one), software=software)
    return 0


def _work(db: Connection, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import work

    for kind in (args.kind,) if args.kind else work.KINDS:
        last = ("", "")
        while found := work.jobs(db, kind, last):
            for one in found:
                text = f"{one.kind:12} {one.id:32} {one.place or 'place not known':32} {one.release}  {one.reason}"
                out.data(f"{text.rstrip()}  since {data.when(one.since)}", **dataclasses.asdict(one))
            last = (found[-1].tenant, found[-1].id)
    return 0


def _stands(db: Connection) -> dict[tuple[str, str], dict[str, dict[str, object]]]:
    """For each terminal how it stands with each piece of software of its model."""
    from neurath.server.fleet import matrix
    from neurath.server.software.models import list_models

    found: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    for model in list_models(db):
        page, seen = 1, matrix.matrix(db, model)
        while seen.rows and seen.columns:
            for row in seen.rows:
                meshes = zip(seen.columns, row.meshes, strict=True)
                found[row.tenant, row.id] = {
                    column.component: {"newest": column.version, "runs": mesh.runs, "mark": mesh.mark.value}
                    for column, mesh in meshes
                }
            page += 1
            seen = matrix.matrix(db, model, page)
    return found


def _show(db: Connection, found: Terminal, out: Output) -> int:
    from neurath.server.fleet import progress
    from neurath.server.fleet.progress import Wanted
    from neurath.server.software import catalog
    from neurath.wire import enrolment

    said = progress.shown(db, found.n)
    lines = progress.entries(db, Wanted(terminal=found.n))
    text = [f"{found.id}  {found.model or 'no model'}  heard {data.when(found.heard)} over {found.carrier or '-'}"]
    for one in said:
        runs = catalog.installed(db, found.model or "", one.component, one.bank, one.bank_size)
        name = runs.version if runs else f"unknown image {one.bank[:16]}…" if one.bank else "nothing shown yet"
        text.append(f"  {one.component}: runs {name}, {one.state}, lends {one.ram:,} bytes")
    for e in lines:
        text.append(f"  {e.component} {e.version}: {e.phase} {e.sync:,}/{e.size:,} {e.verdict} {e.reason}".rstrip())
        steps = {"told": e.notified, "offered": e.offered, "distributed": e.distributed, "installed": e.installed}
        text.append("      " + "  ".join(f"{word} {data.when(at)}" for word, at in steps.items()))
    fields = dataclasses.asdict(found) | {"device_key": enrolment.fingerprint_of(found.key)}
    text.insert(1, f"  device key {fields['device_key'] or 'none'}{' (revoked)' if found.revoked else ''}")
    if found.proof:
        text[1] += f", last proved itself by {found.proof}"
    fields |= {"components": [dataclasses.asdict(s) for s in said], "ledger": [dataclasses.asdict(e) for e in lines]}
    out.data("\n".join(text), **fields)
    return 0


def _timeline(db: Connection, found: Terminal, out: Output) -> int:
    from neurath.server.fleet import progress

    for one in progress.timeline(db, found.n):
        out.data(f"{data.when(one.at)}  {one.component:10} {one.kind:14} {one.text}".rstrip(), **dataclasses.asdict(one))
    return 0


def _why(store: Store, found: Terminal, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.app import asking

    reason = asking(store).why(found, args.component, agreed())
    out.data(f"{found.id} {args.component}: {reason}", id=found.id, component=args.component, why=reason)
    return 0
