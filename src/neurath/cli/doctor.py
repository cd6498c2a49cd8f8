"""`neurath doctor`: what is wrong here, and the cure. It knows which looks belong to which option; it must never change
anything, and never stop at the first fault."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from neurath.cli import data
from neurath.cli.finding import Finding
from neurath.cli.output import Output


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setup", type=Path, metavar="AGENT.toml", help="also look at what this agent would need")
    parser.add_argument("--server", default="", metavar="URL", help="also look at the way to a server, and at both clocks")
    parser.add_argument("--serial", action="append", default=[], metavar="PORT", help="also look at a station's port")
    parser.add_argument("--port", type=int, metavar="N", help="also look whether a server could listen there")
    data.option(parser)
    parser.epilog = "example: neurath doctor --data ./neurath-data --port 8642"


def run(args: argparse.Namespace, out: Output) -> int:
    """0: no fault; 1: at least one."""
    faults = 0
    for one in _looks(args):
        faults += one.state == "fault"
        out.data(one.line, name=one.name, state=one.state, good=one.state == "ok", text=one.text, cure=one.cure)
    out.talk(f"{faults} faults" if faults else "no fault was found")
    return 1 if faults else 0


def _looks(args: argparse.Namespace) -> Iterator[Finding]:
    from neurath.cli import doctor_agent, doctor_ports, doctor_server

    yield from doctor_agent.machine()
    yield from doctor_ports.fonts()
    if args.setup is not None:
        yield from doctor_agent.agent(args.setup)
    for port in args.serial:
        yield from doctor_ports.serial(port)
    if args.port is not None:
        yield from doctor_ports.listening(args.port)
    if args.server:
        yield from doctor_ports.server(args.server)
    if args.database or args.data.exists():
        yield from doctor_server.store(args.data, args.database, args.store)
