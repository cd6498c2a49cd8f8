"""`neurath gateway`: enrols carrier servers at sites, says which terminals each answers for, and revokes them."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from neurath.carriers.base import Riding
    from neurath.gateway.run import Site


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|assign|list|revoke")
    add = commands.add_parser("add", help="enrol one; prints its token, once")
    add.add_argument("--tenant", default="DEFAULT")
    assign = commands.add_parser("assign", help="say which terminals it answers for")
    assign.add_argument("--none", action="store_true", help="it answers for these no longer")
    revoke = commands.add_parser("revoke", help="never let it in again")
    for each in (add, assign, revoke):
        each.add_argument("name", metavar="NAME")
    for each in (add, assign):
        each.add_argument("terminals", metavar="TERMINAL", nargs="*", help="ids of terminals")
    for each in (add, assign, revoke):
        data.dry_run(each)
    for each in (add, assign, revoke, commands.add_parser("list", help="all of them")):
        data.option(each)
    parser.epilog = "example: neurath gateway add plant-7 T-0001 T-0002"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import gateway

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "list":
        with store.read() as db:
            for one in gateway.everyone(db):
                state = "revoked" if one.revoked is not None else f"heard {data.when(one.heard)}"
                out.data(f"{one.name:32} {one.terminals:6} terminals  {state}", **dataclasses.asdict(one))
        return 0
    with data.writing(store, args, out) as db:
        said = _change(db, command, args)
    # Printed after the commit: a token that was seen is a token that works.
    out.data(said[0], **said[1])
    return 0


def _change(db: Connection, command: str, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import gateway

    if command == "revoke":
        gateway.revoke(db, args.name, agreed())
        return f"gateway {args.name} is revoked", {"name": args.name, "revoked": True}
    token = gateway.add(db, args.name, args.tenant, agreed()) if command == "add" else ""
    gateway.assign(db, args.name, args.terminals, take_away=command == "assign" and args.none)
    found = gateway.find(db, args.name)
    if command == "add":
        shown = "" if args.dry_run else token
        return f"{args.name} {shown}".strip(), {"name": args.name, "token": shown, "terminals": found.terminals}
    return f"gateway {args.name} answers for {found.terminals} terminals", {"name": args.name, "terminals": found.terminals}


# ---- for verbs that run one ----------------------------------------------------------------------------------------------


def options(parser: argparse.ArgumentParser) -> None:
    """What every stand-alone carrier server needs to answer as a gateway."""
    parser.add_argument("--server", default="", metavar="URL", help="the Neurath server")
    parser.add_argument("--token", default="", metavar="T", help="the gateway's own (default: $NEURATH_TOKEN)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep pieces here, to go on with the server away")
    parser.add_argument("--period", type=float, default=5.0, metavar="S", help="seconds between two exchanges (default 5)")


def riding(args: argparse.Namespace) -> AbstractContextManager[Riding]:
    """What the carrier answers from, for as long as the context lasts."""
    from neurath.gateway.run import opened

    return opened(site(args))


def site(args: argparse.Namespace) -> Site:
    """What a gateway is run with. UsageError where something is missing."""
    from neurath.errors import UsageError
    from neurath.gateway.run import Site

    if not args.server or not args.token or args.period <= 0:
        raise UsageError(
            "a gateway needs its server, its token and a period",
            "neurath gateway add NAME prints a token",
            "--server URL --token T",
        )
    return Site(args.server, args.token, args.keep, args.period)
