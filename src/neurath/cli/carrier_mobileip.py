"""`neurath carrier mobileip`: a home agent whose answers carry pieces, at a site or inside the server's process; and the files
of a new mobile node. It knows options and files; who is bound where is the agent's to say."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.ending import Ending
from neurath.cli.output import Output
from neurath.errors import UsageError

if TYPE_CHECKING:
    from neurath.carriers.base import Riding
    from neurath.carriers.mobileip.run import Agent
    from neurath.carriers.mobileip.settings import AgentFile
    from neurath.server.app import Server


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="how", required=True, metavar="agent|node")
    agent = verbs.add_parser("agent", help="the home agent, answering as a gateway")
    agent.add_argument("--config", required=True, type=Path, metavar="FILE.toml", help="the agent's file")
    agent.add_argument("--dry-run", action="store_true", help="read the file, say who has a home here")
    gateway.options(agent)
    agent.epilog = (
        "example: neurath carrier mobileip agent --config home-agent.toml --server http://127.0.0.1:8642 --token TOKEN"
    )
    node = verbs.add_parser("node", help="make the files of a new mobile node")
    node.add_argument("terminal", metavar="TERMINAL", help="its id on the server")
    node.add_argument("--home", required=True, metavar="ADDRESS", help="its home address")
    node.add_argument("--agent", required=True, metavar="ADDRESS", help="its home agent's")
    node.add_argument("--user", required=True, metavar="NAI", help="who uses it: anna@example.org")
    node.add_argument("--password-file", required=True, type=Path, metavar="FILE", help="the user's password, one line")
    node.add_argument("--algorithm", choices=("hmac-sha256", "hmac-md5"), default="hmac-sha256")
    text = "how what was heard before is told: by both clocks, or by nonces, which need none (default time)"
    node.add_argument("--replay", choices=("time", "nonce"), default="time", help=text)
    node.add_argument("--tenant", default="DEFAULT")
    node.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.toml", help="the node's own file")
    node.add_argument("--config", required=True, type=Path, metavar="FILE.toml", help="the agent's file, which it is added to")
    node.add_argument("--dry-run", action="store_true")
    node.epilog = (
        "example: neurath carrier mobileip node t1 --home 10.10.0.7 --agent 10.10.0.1 --user anna@example.org "
        "--password-file password -o node.toml --config home-agent.toml"
    )
    parser.epilog = agent.epilog


def run(args: argparse.Namespace, out: Output) -> int:
    return _agent(args, out) if args.how == "agent" else _node(args, out)


def _agent(args: argparse.Namespace, out: Output) -> int:
    from neurath.carriers.mobileip import settings

    told = settings.agent(args.config)
    if args.dry_run:
        for node in told.agent.nodes.values():
            out.data(f"{node.home} is {node.terminal}, {node.user}", home=str(node.home), terminal=node.terminal)
        return 0
    with Ending() as ending, gateway.riding(args) as riding, contextlib.closing(_running(told, riding)) as running:
        place, nodes = f"{told.agent.address}:434", len(told.agent.nodes)
        text = f"home agent at {place} for {nodes} nodes, with {_whose(running)} tunnels"
        out.data(text, mobileip=place, nodes=nodes, tunnels=running.tunnels)
        ending.wait()
    return 0


def _whose(running: Agent) -> str:
    return "the kernel's" if running.tunnels == "kernel" else "its own"


def _running(told: AgentFile, riding: Riding) -> Agent:
    from neurath.carriers.mobileip.run import Agent
    from neurath.carriers.mobileip.tunnel import HomeLink

    return Agent(told.agent, HomeLink(told.interface), riding, told.tunnels)


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """A home agent inside the server's process, by its file, while the context is open; yields its address, and whose tunnels
    it uses."""
    from neurath.carriers.mobileip import settings

    if not rest:
        raise UsageError("no file of a home agent", "it says which addresses have a home here", "--carrier mobileip:FILE.toml")
    told = settings.agent(rest)
    with contextlib.closing(_running(told, server.riding)) as running:
        yield f"{told.agent.address}:434 (home agent with {_whose(running)} tunnels)"


def _node(args: argparse.Namespace, out: Output) -> int:
    from neurath.carriers.mobileip import settings
    from neurath.wire.mobileip import Address, Algorithm

    try:
        home, agent = Address(args.home), Address(args.agent)
    except ValueError as fault:
        raise UsageError("no such address", str(fault), "10.10.0.7 is one") from None
    password = args.password_file.read_text().strip("\r\n")
    if not password:
        raise UsageError(f"{args.password_file} is empty", "it holds the user's password", "one line, the password")
    if any(node.home == home for node in settings.agent(args.config).agent.nodes.values()):
        raise UsageError(f"{home} has a node already", str(args.config), "take another address, or its entry out of the file")
    new = settings.New(home, agent, args.terminal, args.user, Algorithm(args.algorithm), args.tenant, args.replay)
    entry, own = settings.pair(new, password)
    if not args.dry_run:
        _write(args.output, own)
        with args.config.open("a") as listed:
            listed.write("\n" + entry)
    text = f"{args.terminal} has its home at {home}; its own file is {args.output}"
    out.data(text, terminal=args.terminal, home=str(home), file=str(args.output))
    return 0


def _write(path: Path, text: str) -> None:
    """A file that only its owner reads; never over one that is there."""
    import os

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already", "a key is never overwritten", "-o another name") from None
    with os.fdopen(handle, "w") as out:
        out.write(text)
