"""`neurath station provision`: the end of a factory's line. It knows options and files; what a terminal may become is the
station's to decide, and the terminal's."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import time

from neurath.cli.output import Output
from neurath.errors import LinkError


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.flash.geometry import model_from_toml
    from neurath.flash.trust import Birth
    from neurath.ids import checked_name
    from neurath.station import provision
    from neurath.station.ledger import Desk, Ledger
    from neurath.station.line import Line
    from neurath.wire import keylist, keys

    model = model_from_toml(args.model.read_text(encoding="utf-8", errors="replace"))
    birth = Birth(
        id=checked_name(args.id, "terminal id"),
        model=model.name,
        vendor=model.vendor,
        klass=model.klass,
        device_key=b"",  # nobody here knows it
        release=tuple(keys.load_public(path) for path in args.release_key),
        ticket=keys.load_public(args.ticket_key) if args.ticket_key else None,
        root=b"" if args.roots is None else keylist.unpack(args.roots.read_bytes())[1].roots.digest,
    )
    signer = keys.load_private(args.key) if args.key else None
    desk = Desk(args.by or getpass.getuser(), checked_name(args.name, "station"), signer)
    ledger, order, line = Ledger(args.records, desk), provision.Order(birth, model), Line(args.port, args.baud)
    try:
        if args.dry_run:
            asyncio.run(provision.foresee(line, order, ledger))
            out.data(f"would enrol {birth.id} as {birth.model}", terminal=birth.id, model=birth.model)
            return 0
        record = asyncio.run(provision.provision(line, order, ledger, time.time()))
    except ConnectionError as fault:
        raise LinkError(
            f"cannot open {args.port}", str(fault), f"neurath doctor --serial {args.port} names the cure"
        ) from None
    out.data(
        f"enrolled {record.id} as {record.model}; its key {record.fingerprint[:16]}; record {record.n} in {args.records}",
        terminal=record.id,
        model=record.model,
        key=record.fingerprint,
        record=record.n,
    )
    return 0
