"""`neurath carrier pair`, and `neurath serve --carrier pair:FILE.toml`: one node of a high-availability pair, whose answers
carry what is for the other one. It composes a node and what rides; who is active is the node's to say."""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.ending import Ending
from neurath.cli.output import Output
from neurath.errors import LinkError, UsageError

if TYPE_CHECKING:
    from neurath.carriers.pair import Node
    from neurath.server.app import Server

#: Seconds between two heartbeats.
BEAT = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.toml", help="this node's file")
    parser.add_argument("--beat", type=float, default=BEAT, metavar="S", help="seconds between two heartbeats (default 1)")
    gateway.options(parser)
    parser.add_argument("--dry-run", action="store_true", help="check options, then end")
    parser.epilog = "example: neurath carrier pair --config node-1.toml --server http://127.0.0.1:8642 --token TOKEN"


def run(args: argparse.Namespace, out: Output) -> int:
    """Beats and answers until it is told to stop; says every change of role."""
    from neurath.carriers.pair import Node, settings

    if args.beat <= 0:
        raise UsageError("--beat needs seconds", str(args.beat), "--beat 1")
    told = settings(args.config)
    if args.dry_run:
        gateway.site(args)
        place = ":".join(map(str, told.address))
        out.data(f"pair {place}: ready, nothing was opened", place=place)
        return 0
    with Ending() as ending, gateway.riding(args) as riding, contextlib.closing(Node(told, riding)) as node:
        _beating(node, args.beat, ending.wait, lambda: _said(node, out))
    return 0


def _beating(node: Node, every: float, over: Callable[[float], bool], say: Callable[[], None]) -> None:
    """Beats until it is told to end; says its role at first and whenever it changes."""
    say()
    role = node.role
    while not over(every):
        with contextlib.suppress(LinkError):
            node.beat(b"")
        if node.role is not role:
            role = node.role
            say()


def readable(rest: str) -> None:
    """UsageError for words that name no node's file."""
    from neurath.carriers.pair import settings

    if not rest:
        raise UsageError("no file of a node", "docs/spec/pair.md shows one", "--carrier pair:FILE.toml")
    settings(rest)


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """A node inside the server's process, by its file, while the context is open: for a server that is itself one of a pair.
    Yields its address; changes of its role go to the log."""
    import asyncio

    from neurath.carriers.pair import Node, settings

    told, ended = settings(rest), threading.Event()
    with contextlib.closing(Node(told, server.riding)) as node:
        thread = threading.Thread(target=_beating, args=(node, BEAT, ended.wait, lambda: None), name="pair-beat", daemon=True)
        thread.start()
        try:
            yield "pair " + ":".join(map(str, told.address))
        finally:
            ended.set()
            await asyncio.to_thread(thread.join)


def _said(node: Node, out: Output) -> None:
    member = node.member
    role = member.role.name.lower()
    out.data(f"node {member.node} is {role}, term {member.term}", node=member.node, role=role, term=member.term)
