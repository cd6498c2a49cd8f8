"""`neurath audit`: who changed what, when and from where; whether the log is whole."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.errors import TrustError

if TYPE_CHECKING:
    from sqlalchemy import Connection


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="verify|show|head|export")
    verify = commands.add_parser("verify", help="examine the whole chain; exit code 7 where it does not hold")
    text = "N:HASH as `head` printed it, kept elsewhere: shows an end that was cut off; may be repeated"
    verify.add_argument("--head", action="append", default=[], metavar="N:HASH", help=text)
    verify.add_argument("--against", type=Path, metavar="FILE", help="an earlier export, all of which must still be there")
    show = commands.add_parser("show", help="the newest entries")
    show.add_argument("--limit", type=int, default=50, metavar="N")
    show.add_argument("--before", type=int, metavar="N", help="those before entry N")
    head = commands.add_parser("head", help="how many entries there are and the last one's hash, to be kept elsewhere")
    export = commands.add_parser("export", help="every entry, one JSON object a line")
    export.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    data.dry_run(export)
    for each in (verify, show, head, export):
        data.option(each)
    parser.epilog = "example: neurath audit verify --head 1204:9f2c..."


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.store import audit

    command = data.chosen(args)
    store = data.store(args, create=False)
    known = [audit.parsed(one) for one in args.head] if command == "verify" else []
    if command == "verify" and args.against is not None:
        with args.against.open(encoding="utf-8") as lines:
            known += audit.heads_of(lines)
    with store.read() as db:
        match command:
            case "verify":
                found = audit.verify(db, known)
                if found.broken:
                    why = f"the chain holds up to {found.head.n}: {found.head.hash[:16]}…"
                    raise TrustError(f"the audit log is broken: {found.broken}", why, "compare with an export", id="NRT-258")
                out.data(f"sound: {found.head.n} entries, head {found.head}", entries=found.head.n, head=str(found.head))
            case "show":
                for one in audit.page(db, args.before, max(1, min(args.limit, 10_000))):
                    who = f"{one.who or '-'} ({one.way}{' ' + one.address if one.address else ''})"
                    text = f"{one.n:6}  {data.when(one.at / 1000)}  {who:32} {one.what}  {one.subject} {one.detail}"
                    out.data(text.rstrip(), **dataclasses.asdict(one))
            case "head":
                out.data(str(audit.the_head(db)), head=str(audit.the_head(db)))
            case "export":
                count = _export(db, Path(os.devnull) if args.dry_run else args.out)
                words = "entries would be in" if args.dry_run else "entries in"
                out.data(f"{count} {words} {args.out}", entries=count, out=str(args.out))
    return 0


def _export(db: Connection, place: Path) -> int:
    """Writes every entry; how many there are."""
    from neurath.server.store import audit

    count = 0
    with place.open("w", encoding="utf-8") as target:
        for one in audit.everything(db):
            target.write(audit.line(one) + "\n")
            count += 1
    return count
