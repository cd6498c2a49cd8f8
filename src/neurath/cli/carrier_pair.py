"""`neurath carrier pair`: one node of a high-availability pair, whose answers carry what is for the other one. It composes a
node and a gateway's cache; who is active is the node's to say."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.output import Output
from neurath.errors import LinkError, UsageError

if TYPE_CHECKING:
    from neurath.carriers.pair import Node


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.toml", help="this node's file")
    parser.add_argument("--beat", type=float, default=1.0, metavar="S", help="seconds between two heartbeats (default 1)")
    gateway.options(parser)
    parser.epilog = "example: neurath carrier pair --config node-1.toml --server http://127.0.0.1:8642 --token TOKEN"


def run(args: argparse.Namespace, out: Output) -> int:
    """Beats and answers until it is told to stop; says every change of role."""
    from neurath.carriers.pair import Node, settings

    if args.beat <= 0:
        raise UsageError("--beat needs seconds", str(args.beat), "--beat 1")
    told = settings(args.config)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with gateway.riding(args) as riding, contextlib.closing(Node(told, riding)) as node:
        _said(node, out)
        role = node.role
        while not ended.wait(args.beat):
            with contextlib.suppress(LinkError):
                node.beat(b"")
            if node.role is not role:
                role = node.role
                _said(node, out)
    return 0


def _said(node: Node, out: Output) -> None:
    member = node.member
    role = member.role.name.lower()
    out.data(f"node {member.node} is {role}, term {member.term}", node=member.node, role=role, term=member.term)
