"""`neurath carrier dhcp`, and `neurath serve --carrier dhcp:FILE.toml`: the relay in front of a site's own DHCP server,
or with a pool a small server of our own. It puts the parts together; docs/how-to/dhcp.md walks through observing, enrolling,
enabling and taking out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import gateway
from neurath.cli.ending import Ending
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from neurath.carriers.base import Riding
    from neurath.carriers.dhcp.runner import Runner
    from neurath.carriers.dhcp.settings import Setup
    from neurath.server.app import Server


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="the options below as keys; those given here go first"
    )
    parser.add_argument("--interface", metavar="IFACE", help="the one on the clients' side")
    parser.add_argument(
        "--relay-to", action="append", metavar="ADDRESS", help="the site's DHCP server; once for each of a pair"
    )
    parser.add_argument("--pool", metavar="FIRST-LAST", help="be the DHCP server, with these addresses")
    parser.add_argument("--lease", type=int, metavar="S", help="lease of --pool in seconds (default 3600)")
    parser.add_argument("--renew", type=int, metavar="S", help="T1 of --pool (default: half the lease)")
    parser.add_argument("--router", metavar="ADDRESS", help="default gateway that --pool names")
    parser.add_argument("--clients", type=Path, metavar="FILE.toml", help="who is enrolled ([[client]] tables)")
    parser.add_argument("--state-option", type=int, metavar="CODE", help="of a terminal's download state (default 224)")
    parser.add_argument("--piece-option", type=int, metavar="CODE", help="of what rides on an answer (default 225)")
    parser.add_argument(
        "--enterprise", type=int, metavar="N", help="instead of both: under this enterprise number in options 124 and 125"
    )
    parser.add_argument(
        "--observe", action="store_true", default=None, help="change nothing; say what would be changed, and codes in use"
    )
    parser.add_argument(
        "--drain", action="store_true", default=None, help="give clients back to their server; say when none is left"
    )
    parser.add_argument("--dry-run", action="store_true", help="check options, list and interface; then end")
    gateway.options(parser)
    parser.epilog = (
        "example: neurath carrier dhcp --interface eth1 --relay-to 10.0.0.1 --clients clients.toml "
        "--server http://10.0.0.9:8642 --token T --keep /var/lib/neurath-gateway"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    setup = _setup(args)
    setup.check()
    if args.dry_run:
        setup.word(dry=True)
        out.data(f"{setup.interface}: ready, nothing was opened", interface=setup.interface)
        return 0

    def changed(text: str) -> None:
        out.data(text, changed=text)

    with Ending() as ending, _riding(args, setup) as riding, _running(setup, riding, changed) as runner:
        out.talk(f"listening on {setup.interface}")
        out.event("task_begin", interface=setup.interface)
        drained = Drained(out) if setup.drain else None
        while not ending.heard:
            runner.turn()
            if drained is not None:
                drained(runner, agreed())
    return 0


@contextlib.contextmanager
def _running(setup: Setup, riding: Riding, say: Callable[[str], None]) -> Iterator[Runner]:
    """Open on its interface for as long as the context lasts."""

    from neurath.carriers.dhcp.pointing import Pointing
    from neurath.carriers.dhcp.runner import Runner
    from neurath.carriers.dhcp.sockets import Sockets

    address, word = setup.word()
    pointing = Pointing(None if setup.keep is None else setup.keep / "pointing")
    with contextlib.closing(Sockets(setup.interface, address)) as wires:
        yield Runner(wires, word, riding, agreed, say, pointing)


def readable(rest: str) -> None:
    """UsageError for a file that cannot be used."""
    from neurath.carriers.dhcp import settings

    if not rest:
        raise UsageError(
            "no file of a relay or a pool", "it says where, for whom, by which server", "--carrier dhcp:FILE.toml"
        )
    settings.read(Path(rest)).check()


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """The same inside the server's process, by its file; yields where it is. What it says of each packet goes to the log."""
    import asyncio
    import logging
    import threading

    from neurath.carriers.dhcp import settings

    setup = settings.read(Path(rest))
    log, ended = logging.getLogger("neurath.dhcp"), threading.Event()
    log.setLevel(logging.INFO)

    def turns() -> None:
        while not ended.is_set():
            runner.turn()

    with _running(setup, server.riding, log.info) as runner:
        thread = threading.Thread(target=turns, name="dhcp", daemon=True)
        thread.start()
        try:
            yield f"{setup.interface}:67"
        finally:
            ended.set()
            await asyncio.to_thread(thread.join)


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


def _setup(args: argparse.Namespace) -> Setup:
    """What the file says, and before it what the command line does."""
    from neurath.carriers.dhcp import clients, settings

    setup = settings.Setup() if args.config is None else settings.read(args.config)
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(setup)}
    given["clients"] = None if args.clients is None else clients.read(args.clients.read_text())
    given["relay_to"] = None if args.relay_to is None else tuple(args.relay_to)
    return dataclasses.replace(setup, **{name: value for name, value in given.items() if value is not None})


def _riding(args: argparse.Namespace, setup: Setup) -> AbstractContextManager[Riding]:
    """Nothing rides while observing or draining: no server is needed then."""
    from neurath.carriers.dhcp.runner import Silent

    alone = setup.pool and not args.server
    return contextlib.nullcontext(Silent()) if setup.observe or setup.drain or alone else gateway.riding(args)
