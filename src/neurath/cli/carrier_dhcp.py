"""`neurath carrier dhcp`: the relay in front of a site's own DHCP server, or with --pool a small server of our own. It puts
the parts together; docs/how-to/dhcp.md walks through observing, enrolling, enabling and taking out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.output import Output
from neurath.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from neurath.carriers.base import Riding
    from neurath.carriers.dhcp.clients import Clients
    from neurath.carriers.dhcp.runner import Runner, Word


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--interface", required=True, metavar="IFACE", help="the one on the clients' side")
    parser.add_argument(
        "--relay-to", action="append", default=[], metavar="ADDRESS", help="the site's DHCP server; once for each of a pair"
    )
    parser.add_argument("--pool", metavar="FIRST-LAST", help="be the DHCP server, with these addresses")
    parser.add_argument("--lease", type=int, default=3600, metavar="S", help="lease of --pool in seconds (default 3600)")
    parser.add_argument("--renew", type=int, default=0, metavar="S", help="T1 of --pool (default: half the lease)")
    parser.add_argument("--router", default="", metavar="ADDRESS", help="default gateway that --pool names")
    parser.add_argument("--clients", type=Path, metavar="FILE.toml", help="who is enrolled ([[client]] tables)")
    parser.add_argument("--state-option", type=int, default=224, metavar="CODE", help="of a terminal's download state")
    parser.add_argument("--piece-option", type=int, default=225, metavar="CODE", help="of what rides on an answer")
    parser.add_argument("--observe", action="store_true", help="change nothing; say what would be changed, and codes in use")
    parser.add_argument("--drain", action="store_true", help="give clients back to their server; say when none is left")
    parser.add_argument("--dry-run", action="store_true", help="check options, list and interface; then end")
    gateway.options(parser)
    parser.epilog = (
        "example: neurath carrier dhcp --interface eth1 --relay-to 10.0.0.1 --clients clients.toml "
        "--server http://10.0.0.9:8642 --token T --keep /var/lib/neurath-gateway"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    import logging
    import signal
    import time

    from neurath.carriers.dhcp.pointing import Pointing
    from neurath.carriers.dhcp.runner import Runner
    from neurath.carriers.dhcp.sockets import Sockets, address_of

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _check(args)
    address, network = address_of(args.interface)
    word = _word(args, _clients(args), address, network)
    if args.dry_run:
        out.data(f"{args.interface}: ready, nothing was opened", interface=args.interface)
        return 0
    pointing = Pointing(None if args.keep is None else args.keep / "pointing")
    wires = Sockets(args.interface, address)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: stop.append(got))
    with contextlib.ExitStack() as opened:
        opened.callback(wires.close)
        riding = opened.enter_context(_riding(args))
        runner = Runner(wires, word, riding, time.time, lambda text: out.data(text, changed=text), pointing)
        out.talk(f"listening on {args.interface}")
        out.event("task_begin", interface=args.interface)
        drained = Drained(out) if args.drain else None
        while not stop:
            runner.turn()
            if drained is not None:
                drained(runner, time.time())
    return 0


class Drained:
    """Says once that no client names us any more, and says so again if one did come."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._last = -1

    def __call__(self, runner: Runner, now: float) -> None:
        left = len(runner.pointing.left(now))
        if left != self._last:
            text = f"{left} client(s) may still come here" if left else "no client points here any more: this relay may go"
            self._out.data(text, left=left)
        self._last = left


def _check(args: argparse.Namespace) -> None:
    if bool(args.pool) == bool(args.relay_to):
        raise UsageError(
            "either --relay-to or --pool is needed", "a relay needs a server, a server a pool", "--relay-to 10.0.0.1"
        )
    codes = (args.state_option, args.piece_option)
    if len(set(codes)) != 2 or not all(224 <= code <= 254 for code in codes):
        raise UsageError(
            "these option codes cannot be used", f"{codes}: two of 224 to 254 (site-specific)", "--piece-option 225"
        )
    if args.pool and not (1 <= args.lease < 1 << 32 and 0 <= args.renew <= args.lease):
        raise UsageError("this lease makes no sense", f"{args.lease} s, renewed after {args.renew}", "--lease 3600")
    if args.pool and (args.observe or args.drain):
        raise UsageError(
            "--observe and --drain are a relay's", "a server with a pool has nobody to give back to", "--relay-to"
        )
    if args.observe and args.drain:
        raise UsageError("--observe and --drain exclude each other", "one changes nothing, one gives back", "--drain")
    if args.drain and (args.keep is None or not (args.keep / "pointing").exists()):
        raise RefusedError(
            "it is not known who still comes here",
            "only a relay that ran with --keep has written it down",
            "--keep DIR of that relay",
        )


def _clients(args: argparse.Namespace) -> Clients:
    from neurath.carriers.dhcp import clients

    return clients.read("" if args.clients is None else args.clients.read_text())


def _riding(args: argparse.Namespace) -> AbstractContextManager[Riding]:
    """Nothing rides while observing or draining: no server is needed then."""
    from neurath.carriers.dhcp.runner import Silent

    alone = args.pool and not args.server
    return contextlib.nullcontext(Silent()) if args.observe or args.drain or alone else gateway.riding(args)


def _word(args: argparse.Namespace, clients: Clients, address: bytes, network: tuple[int, int]) -> Word:
    from neurath.carriers.dhcp import standalone
    from neurath.carriers.dhcp.relay import Site
    from neurath.carriers.dhcp.runner import Relay

    codes = {"state": args.state_option, "piece": args.piece_option}
    if args.pool:
        given = standalone.pool(args.pool, address, network)
        router = _address(args.router) if args.router else b""
        given = dataclasses.replace(given, lease=args.lease, renew=args.renew or args.lease // 2, router=router)
        leases = standalone.Leases(None if args.keep is None or args.dry_run else args.keep / "leases.json")
        return standalone.Standalone(given, clients, leases, **codes)
    servers = tuple(_address(one) for one in args.relay_to)
    return Relay(Site(address, network, servers, clients, observe=args.observe, drain=args.drain, **codes))


def _address(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no IPv4 address", "", "--relay-to 10.0.0.1") from None
