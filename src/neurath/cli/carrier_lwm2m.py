"""`neurath carrier lwm2m`, and `neurath serve --carrier lwm2m:...`: an LwM2M server that writes pieces after Updates. It
composes; nothing is decided here. Heavy imports stay inside functions."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.output import Output

if TYPE_CHECKING:
    from neurath.carriers.base import Riding
    from neurath.server.app import Server


def configure(parser: argparse.ArgumentParser) -> None:
    gateway.options(parser)
    parser.add_argument("--listen", default="5783", metavar="[HOST:]PORT", help="where terminals register (default 5783)")
    parser.add_argument("--text", action="store_true", help="write packages as base64 text: for clients that take no bytes")
    parser.add_argument("--dry-run", action="store_true", help="check options, then end")
    parser.epilog = "example: neurath carrier lwm2m --listen 0.0.0.0:5783 --server http://127.0.0.1:8642"


def run(args: argparse.Namespace, out: Output) -> int:
    """Answers until it is told to stop."""
    from neurath.carriers.lwm2m import DESCRIPTOR

    readable(args.listen)
    if args.dry_run:
        gateway.site(args)
        out.data(f"LwM2M at {args.listen}: ready, nothing was opened", place=args.listen)
        return 0

    async def live(riding: Riding) -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with _beside(f"{args.listen}{',text' if args.text else ''}", riding) as place:
            text = f"LwM2M server at {place}"
            out.data(text, place=place.partition(" ")[0], extra_packets=DESCRIPTOR.extra_packets)
            await ended.wait()

    with gateway.riding(args) as riding:
        asyncio.run(live(riding))
    return 0


def readable(rest: str) -> None:
    """UsageError for words that name no place."""
    from neurath.carriers.datagram import address
    from neurath.carriers.lwm2m import PORT

    address(rest.partition(",")[0], PORT)


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """The same inside the server's process; yields its address and what it costs."""
    async with _beside(rest, server.riding) as place:
        yield place


@contextlib.asynccontextmanager
async def _beside(rest: str, riding: Riding) -> AsyncIterator[str]:
    from neurath.carriers.datagram import address, free
    from neurath.carriers.lwm2m import DESCRIPTOR, PORT
    from neurath.carriers.lwm2m_half import Registry, listening

    where, _, form = rest.partition(",")
    host, port = address(where, PORT)
    port = free(host, port)
    async with listening(host, port, Registry(riding, text=form == "text")):
        yield f"coap://{f'[{host}]' if ':' in host else host}:{port} ({DESCRIPTOR.extra_packets} more packets a heartbeat)"
