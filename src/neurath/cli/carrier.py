"""`neurath carrier`: the carriers' server halves, run beside the server or at a site; `neurath serve --carrier` runs the same
ones inside the server's process. It knows which module holds which; each decides what it takes. Heavy imports stay inside
their functions."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import UsageError

if TYPE_CHECKING:
    from neurath.server.app import Server

#: A carrier's server half inside the server's process: given its own words (what follows the colon) and the server; what it
#: yields says where it is.
Hosted = Callable[[str, "Server"], AbstractAsyncContextManager[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One carrier's server half. `module` has `hosted` (and `readable(rest)` where its words can be wrong), `form` is how
    `serve --carrier` names it; where it has `text`, one line of help, the module has `configure` and `run` too and the half
    also runs apart from the server."""

    module: str
    form: str
    text: str = ""


KINDS: dict[str, Kind] = {
    "lwm2m": Kind("neurath.cli.carrier_lwm2m", "lwm2m:[HOST:]PORT[,text]", "LwM2M server: pieces after registration updates"),
    "mobileip": Kind(
        "neurath.cli.carrier_mobileip", "mobileip:FILE.toml", "a home agent of Mobile IPv4 whose answers carry pieces"
    ),
    "pair": Kind(
        "neurath.cli.carrier_pair", "pair:FILE.toml", "one node of a high-availability pair, whose answers carry pieces"
    ),
    "mqtt": Kind("neurath.cli.carrier_mqtt", "mqtt:mqtt://[USER:PASSWORD@]HOST[:PORT]", "answer heartbeats on an MQTT broker"),
    "dhcp": Kind(
        "neurath.cli.carrier_dhcp", "dhcp:FILE.toml", "a relay in front of the site's DHCP server, or a small DHCP server"
    ),
    "coap": Kind("neurath.server.coap", "coap:[HOST:]PORT"),
}
_APART = {name: kind for name, kind in KINDS.items() if kind.text}


@dataclass(frozen=True, slots=True)
class Half:
    """One that is wanted inside the server's process."""

    name: str
    rest: str
    hosted: Hosted


def forms() -> str:
    return ", ".join(kind.form for kind in KINDS.values())


def half(spec: str) -> Half:
    """The carrier that `serve --carrier` names. UsageError for one that is not known, whose extra is not installed, or whose
    words make no sense: all of it before anything is opened."""
    name, _, rest = spec.partition(":")
    if name not in KINDS:
        raise UsageError(f"no carrier {name!r}", f"there are: {forms()}")
    try:
        module = importlib.import_module(KINDS[name].module)
    except ModuleNotFoundError as fault:
        raise UsageError(
            f"carrier {name} is not installed", f"{fault.name} is missing", "pip install 'neurath[carriers]'"
        ) from None
    getattr(module, "readable", lambda rest: None)(rest)
    return Half(name, rest, module.hosted)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "carriers that run beside the server or at a site; CoAP is the server's own: neurath serve --coap"
    verbs = parser.add_subparsers(dest="what", required=True, metavar="|".join(_APART))
    for name, kind in _APART.items():
        sub = verbs.add_parser(name, help=kind.text, description=kind.text)
        importlib.import_module(kind.module).configure(sub)
    parser.epilog = "example: neurath carrier mqtt --broker mqtt://127.0.0.1 --server http://127.0.0.1:8642 --token T"


def run(args: argparse.Namespace, out: Output) -> int:
    return int(importlib.import_module(KINDS[args.what].module).run(args, out))
