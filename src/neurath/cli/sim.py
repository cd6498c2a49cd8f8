"""`neurath sim`: the simulated world. Each kind of simulation has a module of its own, `sim_NAME` beside this one; this file
only finds them."""

from __future__ import annotations

import argparse
import importlib
import importlib.util

from neurath.cli.output import Output

#: kind -> one line of help; the module is neurath.cli.sim_KIND with the usual configure() and run().
KINDS = {
    "fleet": "a server and terminals as real processes, a real update, a power cut, a restoration",
    "images": "real firmware to try things on, fetched by package name",
    "link": "a command behind a slow link",
    "phone": "a phone in a CPU emulator: an update by air, a power cut, rescue, a restoration by wire",
    "power": "cuts the rewrite of one image into another at every flash operation",
}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, text in KINDS.items():
        if importlib.util.find_spec(f"neurath.cli.sim_{kind}") is None:
            continue
        module = importlib.import_module(f"neurath.cli.sim_{kind}")
        module.configure(kinds.add_parser(kind, help=text, description=text))
    parser.epilog = "example: neurath sim power old.bin new.bin"


def run(args: argparse.Namespace, out: Output) -> int:
    """Runs the kind of simulation that was asked for."""
    return int(importlib.import_module(f"neurath.cli.sim_{args.kind}").run(args, out))
