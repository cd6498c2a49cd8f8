"""`neurath import`: terminals of another server, and what else has to move by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurath.cli import data
from neurath.cli.output import Output

if TYPE_CHECKING:
    from neurath.server.fleet.hawkbit import Source


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="hawkbit")
    text = "targets of a hawkBit as terminals, with tokens and tags; lists what has to be uploaded and begun here"
    hawk = commands.add_parser("hawkbit", help=text)
    hawk.add_argument("url", metavar="URL", help="of its management API: https://HOST[:PORT]")
    hawk.add_argument("--user", required=True, metavar="U", help="who may read targets and their tokens")
    hawk.add_argument("--password-file", type=Path, required=True, metavar="F")
    hawk.add_argument("--model", metavar="M", help="of every terminal (default: the model called as its target type)")
    hawk.add_argument("--tag", action="append", default=[], metavar="TAG", help="put on each, beside its own; may be repeated")
    hawk.add_argument("--tenant", default="DEFAULT")
    data.option(hawk)
    data.dry_run(hawk)
    parser.epilog = "example: neurath import hawkbit https://hawkbit.example --user admin --password-file word.txt --dry-run"


def run(args: argparse.Namespace, out: Output) -> int:
    """Terminals that are registered here already stay as they are; 3: all of them are. 1: some cannot be terminals here."""
    from neurath.cli.enrolling import write
    from neurath.server.fleet.enrol import Import
    from neurath.server.fleet.hawkbit import Source, Targets, Way
    from neurath.server.software.models import list_models

    data.chosen(args)
    store = data.store(args, create=False)
    password = args.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    with store.read() as db:
        way = Way(args.model, list_models(db), tuple(args.tag), args.tenant)
    with Source(args.url, args.user, password) as source:
        targets = Targets(source, way, lambda done, total: out.progress("read", done, total))
        with Import(store, targets) as found:
            write(found, out, skip_known=True, dry=args.dry_run)
            fresh = found.count - found.known
        _software(source, out)
        _rollouts(source, out)
    for name, why in targets.left:
        out.data(f"left out: {name}: {why}", left_out=name, why=why)
    words = f"{fresh:,} terminals are new, {found.known:,} were known, {len(targets.left):,} left out"
    out.talk(f"{words}; {targets.tokenless:,} have no token of theirs that could be taken")
    return 1 if targets.left else 0 if fresh else 3


def _software(source: Source, out: Output) -> None:
    for one in source.all("distributionsets", _untold):
        inside = [module for module in one.get("modules") or () if isinstance(module, dict)]
        modules = [{key: str(module.get(key, "")) for key in ("name", "version", "type")} for module in inside]
        words = ", ".join(f"{each['name']} {each['version']} ({each['type']})" for each in modules)
        name, version = str(one.get("name", "")), str(one.get("version", ""))
        assigned = source.assigned(int(one.get("id", 0)))
        text = f"to be signed and uploaded: {name} {version}: {words or 'no modules'}"
        text += "" if assigned is None else f"; assigned to {assigned:,} targets there"
        out.data(text, distribution_set=name, version=version, modules=modules, assigned=assigned)


def _rollouts(source: Source, out: Output) -> None:
    for one in source.all("rollouts", _untold):
        said: dict[str, Any] = {key: one.get(key) for key in ("name", "status", "targetFilterQuery", "totalTargets")}
        text = f"not begun here: rollout {said['name']}, {said['status']} there, {said['totalTargets']} targets"
        out.data(f"{text} ({said['targetFilterQuery'] or 'all'})", rollout=said)


def _untold(_done: int, _total: int) -> None:
    """These lists are short."""
