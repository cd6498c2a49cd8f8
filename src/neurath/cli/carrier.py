"""`neurath carrier`: the carriers' server halves, run beside the server or at a site. It knows which module holds which; each
decides what it takes. Heavy imports stay inside their functions."""

from __future__ import annotations

import argparse
import importlib

from neurath.cli.output import Output

#: name -> (module under neurath.cli with `configure(parser)` and `run(args, out) -> int`, one line of help).
KINDS: dict[str, tuple[str, str]] = {
    "lwm2m": ("carrier_lwm2m", "LwM2M server: pieces after registration updates"),
    "mobileip": ("carrier_mobileip", "a home agent of Mobile IPv4 whose answers carry pieces"),
    "pair": ("carrier_pair", "one node of a high-availability pair, whose answers carry pieces"),
    "mqtt": ("carrier_mqtt", "answer heartbeats on an MQTT broker"),
    "dhcp": ("carrier_dhcp", "a relay in front of the site's DHCP server, or a small DHCP server"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True, metavar="|".join(KINDS))
    for name, (module, text) in KINDS.items():
        sub = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        importlib.import_module(f"neurath.cli.{module}").configure(sub)
    parser.epilog = "example: neurath carrier mqtt --help"


def run(args: argparse.Namespace, out: Output) -> int:
    return int(importlib.import_module(f"neurath.cli.{KINDS[args.what][0]}").run(args, out))
