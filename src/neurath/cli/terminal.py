"""`neurath terminal`: registration, what is known about each, and why it has or has not been updated."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.fleet.access import Terminal
    from neurath.server.store import Store


def configure(parser: argparse.ArgumentParser) -> None:
    names = "add|import|list|show|why|timeline|pin|tag|remind"
    commands = parser.add_subparsers(dest="command", metavar=names)
    add = commands.add_parser("add", help="register one; prints its token, once")
    add.add_argument("id", metavar="ID")
    add.add_argument("--model", required=True, metavar="M")
    add.add_argument("--token", default="", help="32 to 128 letters and digits (default: a new one)")
    add.add_argument("--link", type=int, default=0, metavar="BYTES/S", help="declared speed of its link")
    many = commands.add_parser("import", help="register many from a CSV: id,model[,token,link,tenant]; prints their tokens")
    many.add_argument("file", type=Path, metavar="FILE.csv")
    pin = commands.add_parser("pin", help="give one terminal one release, or take that back")
    pin.add_argument("id", metavar="ID")
    pin.add_argument("release", nargs="?", metavar="MODEL/VERSION")
    pin.add_argument("--none", action="store_true", help="take the pin away")
    tag = commands.add_parser("tag", help="words of yours for --target filters; without any: shows them")
    tag.add_argument("id", metavar="ID")
    tag.add_argument("tags", nargs="*", metavar="TAG", help="put on; `no-TAG` takes it off")
    prod = commands.add_parser("remind", help="have the user reminded of an update that is on its way or waits for him")
    prod.add_argument("id", metavar="ID")
    prod.add_argument("--text", default="", help="what is said (default: please keep it on, and restart when it asks)")
    for each in (add, many, pin, tag, prod):
        data.dry_run(each)
    reading = [commands.add_parser("list", help="all of them")]
    for name, text in (("show", "one of them"), ("why", "why it is, or is not, updated"), ("timeline", "what happened to it")):
        reading.append(commands.add_parser(name, help=text))
        reading[-1].add_argument("id", metavar="ID")
    for each in (add, many, pin, tag, prod, *reading):
        each.add_argument("--tenant", default="DEFAULT")
        data.option(each)
    for each in (pin, reading[2]):
        each.add_argument("--component", default="firmware", metavar="C")
    parser.epilog = "example: neurath terminal add T-0001 --model phone"


def run(args: argparse.Namespace, out: Output) -> int:
    command = data.chosen(args)
    store = data.store(args, create=False)
    if command in ("add", "import", "pin", "tag", "remind"):
        return _change(store, command, args, out)
    with store.read() as db:
        if command == "list":
            return _list(db, args, out)
        from neurath.server.fleet import access

        found = access.find(db, args.id, args.tenant)
        if command == "timeline":
            return _timeline(db, found, out)
        if command == "show":
            return _show(db, found, out)
    return _why(store, found, args, out)


def _change(store: Store, command: str, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import access
    from neurath.server.fleet.access import Enrolment

    said: list[tuple[str, dict[str, object]]] = []
    text = args.file.read_text(errors="replace") if command == "import" else ""
    try:
        with store.write() as db:
            if command == "pin":
                said.append(_pin(db, args))
            elif command == "tag":
                said.append(_tag(db, args))
            elif command == "remind":
                said.append(_remind(db, args))
            else:
                one = [] if command == "import" else [Enrolment(args.id, args.model, args.tenant, args.token, args.link)]
                for name, token in access.register_all(db, one or access.enrolments(text), time.time()):
                    shown = "" if args.dry_run else token
                    said.append((f"{name} {shown}".strip(), {"id": name, "token": shown}))
            if args.dry_run:
                raise data.Undone
    except data.Undone:
        out.talk("nothing was changed (--dry-run)")
    # Printed after the commit: a token that was seen is a token that works.
    for line, fields in said:
        out.data(line, **fields)
    return 0


def _remind(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, remind

    said = remind.remind(db, access.find(db, args.id, args.tenant), args.text, time.time())
    return f"the user of {args.id} will be reminded: {said}", {"id": args.id, "remind": said}


def _tag(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access

    off = {word.removeprefix("no-") for word in args.tags if word.startswith("no-")}
    found = access.find(db, args.id, args.tenant)
    tags = access.tag(db, found, {word for word in args.tags if not word.startswith("no-")}, off)
    return f"{args.id}: {' '.join(tags) or 'no tags'}", {"id": args.id, "tags": tags}


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


def _list(db: Connection, args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import access

    stands = _stands(db)
    for one in access.all_terminals(db, args.tenant):
        text = f"{one.id:32} {one.model or '-':16} heard {data.when(one.heard)}"
        software = stands.get((one.tenant, one.id), {})
        words = [f"{name}: {said['runs'] or 'unknown'}, newest {said['mark']}" for name, said in software.items()]
        out.data("  ".join([text, *words]), **dataclasses.asdict(one), software=software)
    return 0


def _stands(db: Connection) -> dict[tuple[str, str], dict[str, dict[str, object]]]:
    """For each terminal how it stands with each piece of software of its model."""
    from neurath.server.fleet import matrix
    from neurath.server.software import catalog

    found: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    for model in catalog.list_models(db):
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
    fields = dataclasses.asdict(found)
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

    reason = asking(store).why(found, args.component, time.time())
    out.data(f"{found.id} {args.component}: {reason}", id=found.id, component=args.component, why=reason)
    return 0
