"""`neurath token`: tokens of scripts that call the API or this command line, each with a name, a role and an end."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurath.cli import data
from neurath.cli.operator import ROLES
from neurath.cli.output import Output
from neurath.clock import agreed


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|revoke")
    add = commands.add_parser("add", help="a new one; it is printed, once")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", choices=ROLES, required=True)
    add.add_argument("--days", type=int, default=90, metavar="N", help="it lives so long (default 90)")
    text = "no token: a station is known by this certificate, which it made (neurath key create NAME --certificate DAYS)"
    add.add_argument("--certificate", type=Path, metavar="NAME.crt.pem", help=text)
    everyone = commands.add_parser("list", help="names, roles, ends; never a token")
    revoke = commands.add_parser("revoke", help="at once")
    revoke.add_argument("name", metavar="NAME")
    for each in (add, revoke):
        data.dry_run(each)
    for each in (add, everyone, revoke):
        data.option(each)
    parser.epilog = "example: neurath token add nightly-build --role releaser --days 365"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.access import roles, tokens
    from neurath.server.access.tokens import Asked
    from neurath.server.store.marks import NOBODY

    command = data.chosen(args)
    store = data.store(args, create=False)
    if command == "list":
        with store.read() as db:
            for one in tokens.everyone(db):
                kind = ", a station's certificate" if one.station else ""
                text = f"{one.name:24} {one.role.word:9} until {data.when(one.expires)}, last used {data.when(one.used)}"
                fields = {
                    "name": one.name,
                    "role": one.role.word,
                    "expires": one.expires,
                    "by": one.by,
                    "station": one.station,
                }
                out.data(f"{text}, made by {one.by or '-'}{kind}", **fields)
        return 0
    said: list[tuple[str, dict[str, object]]] = []
    with data.writing(store, args, out, NOBODY) as db:
        if command == "add":
            pem = "" if args.certificate is None else args.certificate.read_text(encoding="ascii", errors="replace")
            asked = Asked(args.name, roles.role(args.role), args.days, pem)
            token = tokens.add(db, asked, data.actor(store), agreed())
            shown = "" if args.dry_run else token
            text = f"{args.name} is known by its certificate" if pem else shown
            said.append((text, {"name": args.name, "role": args.role, "token": shown}))
        else:
            tokens.revoke(db, args.name)
            said.append((f"{args.name} opens nothing any more", {"name": args.name, "revoked": True}))
    # Printed after the commit: a token that was seen is a token that works.
    for text, fields in said:
        out.data(text, **fields)
    return 0
