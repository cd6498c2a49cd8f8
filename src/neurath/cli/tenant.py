"""`neurath tenant`: how the devices of one tenant show who they are beside a token each, and what becomes of new ones."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.cli.terminal import budget

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.fleet.tenants import Tenant

_SWITCH = ("on", "off")


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="show|set")
    show = commands.add_parser("show", help="what was said about one")
    change = commands.add_parser("set", help="change it, at once; a new gateway token is printed, once")
    text = "a token that speaks for all its devices (GatewayToken): a new one, or none"
    change.add_argument("--gateway-token", choices=("new", "off"), help=text)
    text = "hash of an issuer whose client certificates are taken, as the proxy sends it; may be repeated; `none` for none"
    change.add_argument("--authority", action="append", metavar="HASH", help=text)
    change.add_argument(
        "--first-contact", choices=_SWITCH, help="register who shows one of these and is not known (default on)"
    )
    change.add_argument("--model", metavar="M", help="of those that are registered so; `none` for none")
    change.add_argument("--anonymous-packages", choices=_SWITCH, help="packages without showing anything (default off)")
    change.add_argument("--budget", type=budget, metavar="BYTES", help="a terminal may be sent in a month: 20M, or none")
    text = "what passes: token (any, default), protected (nobody on the way can change or repeat it), signed (by device keys)"
    change.add_argument("--links", choices=("token", "protected", "signed"), help=text)
    data.dry_run(change)
    for each in (show, change):
        each.add_argument("tenant", nargs="?", default="DEFAULT", metavar="TENANT")
        data.option(each)
    parser.epilog = "example: neurath tenant set DEFAULT --gateway-token new"


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.fleet import tenants

    command = data.chosen(args)
    store = data.store(args, create=False)
    token = ""
    with data.writing(store, args, out) if command == "set" else store.read() as db:
        found = tenants.find(db, args.tenant)
        if command == "set":
            found, token = _changed(found, args, db)
            tenants.keep(db, args.tenant, found)
            token = "" if args.dry_run else token
    words = {
        "gateway token": "set" if found.gateway else "none",
        "authorities": ", ".join(found.authorities) or "none",
        "first contact": "registers" + (f" a {found.model}" if found.model else "") if found.first_contact else "refused",
        "links": found.links,
        "budget": f"{found.budget:,} bytes a month" if found.budget else "none",
        "packages": "to anyone" if found.anonymous else "to their terminals only",
    }
    text = "\n".join(f"{key:16} {value}" for key, value in words.items())
    fields = {"gateway": bool(found.gateway), "authorities": list(found.authorities), "first_contact": found.first_contact}
    fields |= {
        "model": found.model,
        "anonymous": found.anonymous,
        "budget": found.budget,
        "links": found.links,
        "token": token,
    }
    out.data(f"{text}\n{token}".rstrip(), tenant=args.tenant, **fields)
    return 0


def _changed(found: Tenant, args: argparse.Namespace, db: Connection) -> tuple[Tenant, str]:
    from neurath.server.fleet import tenants
    from neurath.server.software.models import find_model

    token, kept = ("", found.gateway)
    if args.gateway_token is not None:
        token, kept = tenants.new_gateway_token() if args.gateway_token == "new" else ("", "")
    if args.model not in (None, "none"):
        find_model(db, args.model)
    given: dict[str, object] = {"gateway": kept}
    if args.authority is not None:
        given["authorities"] = tuple(one.lower() for one in args.authority if one != "none")
    if args.model is not None:
        given["model"] = "" if args.model == "none" else args.model
    if args.links is not None:
        given["links"] = args.links
    if args.budget is not None:
        given["budget"] = args.budget
    given |= {
        name: switch == "on"
        for name, switch in (("first_contact", args.first_contact), ("anonymous", args.anonymous_packages))
        if switch is not None
    }
    return replace(found, **given), token  # type: ignore[arg-type]  # each of its own kind
