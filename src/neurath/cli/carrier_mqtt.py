"""`neurath carrier mqtt`, and `neurath serve --carrier mqtt:...`: answers heartbeats on an MQTT broker. It composes; nothing
is decided here. Heavy imports stay inside functions."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.ending import Ending
from neurath.cli.output import Output

if TYPE_CHECKING:
    from neurath.server.app import Server

#: Seconds in which the broker must answer before people are told that it does not.
PATIENCE = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    gateway.options(parser)
    parser.add_argument("--broker", required=True, metavar="URL", help="mqtt[s]://[USER:PASSWORD@]HOST[:PORT]")
    parser.add_argument("--dry-run", action="store_true", help="check options, then end")
    parser.epilog = "example: neurath carrier mqtt --broker mqtt://neurath:PASSWORD@127.0.0.1 --server http://127.0.0.1:8642"


def run(args: argparse.Namespace, out: Output) -> int:
    """Answers until it is told to stop."""
    from neurath.carriers import mqtt
    from neurath.carriers.mqtt_rides import DESCRIPTOR, Answering

    if args.dry_run:
        gateway.site(args)
        place = mqtt.broker(args.broker).place
        out.data(f"{place}: ready, nothing was opened", broker=place)
        return 0
    with Ending() as ending, gateway.riding(args) as riding:
        half = Answering(mqtt.broker(args.broker), riding)
        try:
            up = half.link.up.wait(PATIENCE)
            half.link.demand()
            place = half.link.broker.place
            text = f"answering heartbeats at {place}, {DESCRIPTOR.extra_packets} more packet each"
            out.data(text if up else f"no broker at {place} yet", broker=place, up=up, extra_packets=DESCRIPTOR.extra_packets)
            ending.wait()
        finally:
            half.close()
    return 0


def readable(rest: str) -> None:
    """UsageError for words that name no broker."""
    from neurath.carriers import mqtt

    mqtt.broker(rest)


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """The same inside the server's process; yields the broker's address and what it costs."""
    import asyncio

    from neurath.carriers import mqtt
    from neurath.carriers.mqtt_rides import DESCRIPTOR, Answering

    half = Answering(mqtt.broker(rest), server.riding)
    try:
        await asyncio.to_thread(half.link.up.wait, PATIENCE)
        half.link.demand()
        yield f"{half.link.broker.place} ({DESCRIPTOR.extra_packets} more packet a heartbeat)"
    finally:
        await asyncio.to_thread(half.close)
