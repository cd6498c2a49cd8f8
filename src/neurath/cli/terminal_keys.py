"""`neurath terminal veil|key|revoke`: whose key one terminal's files are hidden for, and which key speaks for it. It knows
words and files with public keys; it must never take a private one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.clock import agreed

if TYPE_CHECKING:
    from sqlalchemy import Connection


def veil(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.delivery import veils
    from neurath.server.fleet import access
    from neurath.wire.veil import recipient

    text = Path(args.veil).read_text().strip() if Path(args.veil).is_file() else args.veil
    to = None if text == "none" else recipient(text)
    veils.give(db, access.find(db, args.id, args.tenant), to, agreed())
    words = "no key is known for its files" if to is None else f"its files are hidden for its {to.kind} key"
    return f"{args.id}: {words}", {"id": args.id, "veil": None if to is None else to.kind}


def key(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, signing
    from neurath.wire import enrolment, keys

    text = Path(args.key).read_text() if Path(args.key).is_file() else args.key
    given = None if text == "none" else enrolment.any_key(text)
    signing.give(db, access.find(db, args.id, args.tenant), given, agreed())
    shown = None if given is None else keys.fingerprint(given)
    words = "no device key speaks for it" if shown is None else f"device key {shown}"
    return f"{args.id}: {words}", {"id": args.id, "device_key": shown}


def revoke(db: Connection, args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    from neurath.server.fleet import access, signing

    signing.revoke(db, access.find(db, args.id, args.tenant), agreed(), args.why)
    return f"the device key of {args.id} is revoked: nobody speaks for it", {"id": args.id, "revoked": True}
