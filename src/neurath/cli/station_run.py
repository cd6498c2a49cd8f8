"""`neurath station run`: the ports, and which screen shows them. It knows options; what is said on a screen is the station's,
what is written to a terminal the machine's."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import LinkError, UsageError

if TYPE_CHECKING:
    from neurath.station.desk import Desk, Seat
    from neurath.station.page import Page
    from neurath.station.select import Wish

#: Seconds between two lines about the same step.
TICK = 5.0


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.station.desk import Desk, Job
    from neurath.station.stock import Stock

    wish = wished(args)
    stock = Stock(args.stock)
    stock.index()
    ports = list(dict.fromkeys(args.port))
    if args.once and (gone := [port for port in ports if not Path(port).exists()]):
        raise LinkError(f"no port {gone[0]}", "it does not exist", "plug the cable in, or name another --port")
    desk = Desk(Job(stock, args.name or here(), wish, args.baud), ports)
    desk.scan(args.label)
    if sys.stderr.isatty() and sys.stdin.isatty() and not out.json and not args.plain:
        _panel(args, desk)
    else:
        asyncio.run(_lines(args, desk, out))
    return _verdicts(desk, out) if args.once else 0


def here() -> str:
    """This machine's name, as far as a record has room for it."""
    return socket.gethostname().partition(".")[0][:64] or "station"


def wished(args: argparse.Namespace) -> Wish | None:
    """Another release than the rule's, where one is named."""
    from neurath.ids import Version
    from neurath.station.select import Wish

    if args.release and not args.reason.strip():
        raise UsageError("another release needs a reason", "the record must say why", "add --reason TEXT")
    return Wish(Version(args.release), args.reason) if args.release else None


def _panel(args: argparse.Namespace, desk: Desk) -> None:
    try:
        from neurath.station.panel import Panel
    except ModuleNotFoundError as fault:
        why = f"{fault.name} is missing"
        raise UsageError("the screen is not installed", why, "pip install 'neurath[station]', or --plain") from None

    with _served(args, desk) as page:
        Panel(desk, once=args.once, note=f"page: {page.url}" if page else "").run()


async def _lines(args: argparse.Namespace, desk: Desk, out: Output) -> None:
    desk.changed = _Lines(out).show
    with _served(args, desk) as page:
        if page is not None:
            out.data(f"page: {page.url}", page=page.url)
        await desk.run(args.once)


@contextlib.contextmanager
def _served(args: argparse.Namespace, desk: Desk) -> Iterator[Page | None]:
    """The page beside the screen, where one is wanted."""
    if args.web is None:
        yield None
        return
    from neurath.station.page import Page

    host, _, port = args.web.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{args.web!r} is no place for a page", "it takes a port", "--web 8650, or --web HOST:8650")
    page = Page(desk, host or "127.0.0.1", int(port))
    try:
        yield page
    finally:
        page.close()


class _Lines:
    """One line at each step of a port and every few seconds between, or events with --json."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.last: dict[str, tuple[object, float]] = {}

    def show(self, seat: Seat) -> None:
        from neurath.station import screen

        state, pace = seat.state, seat.pace
        key = (state.step, state.verdict, seat.troubles)
        last, at = self.last.get(seat.port, (None, 0.0))
        if key == last and time.monotonic() - at < TICK:
            return
        self.last[seat.port] = (key, time.monotonic())
        self.out.talk("\n".join([f"{seat.port}  {screen.line(state, pace)}", *screen.trouble(seat)]))
        self.out.event(
            "task_progress",
            port=seat.port,
            step=state.step.name.lower(),
            held=state.held,
            total=state.total,
            rate=round(pace.rate),
            unplug=state.unplug.value,
            verdict=state.verdict.value,
            reason=state.reason,
            troubles=[one.what for one in seat.troubles],
        )


def _verdicts(desk: Desk, out: Output) -> int:
    """Says how each port ended; the code of the worst of them."""
    from neurath.station.machine import Step, Verdict

    codes = {Verdict.RESTORED: 0, Verdict.HEALTHY: 3, Verdict.NO_RELEASE: 4, Verdict.MISTAKEN: 5, Verdict.REFUSED: 7}
    worst = 0
    for seat in desk.seats:
        if seat.state.step is Step.UNPLUG:
            _verdict(seat, out)
            worst = max(worst, codes.get(seat.state.verdict, 1))
    for seat in desk.seats:
        if seat.state.step is not Step.UNPLUG:
            trouble = seat.troubles[0] if seat.troubles else None
            why = trouble.why if trouble else seat.state.reason or "it does not answer"
            raise LinkError(
                "the terminal is gone", why, trouble.cure if trouble else "plug it in again: it goes on where it was"
            )
    return worst


def _verdict(seat: Seat, out: Output) -> None:
    from neurath.station.screen import word

    state, pace = seat.state, seat.pace
    identity = state.identity
    out.data(
        f"{word(state)}  {identity.id if identity else ''}  {state.reason}".rstrip(),
        port=seat.port,
        verdict=state.verdict.value,
        terminal=identity.id if identity else "",
        model=identity.model if identity else "",
        version=seat.version,
        reason=state.reason,
        safe_to_unplug=state.unplug.value,
        bytes=pace.sent,
        seconds=round(pace.seconds, 3),
        rate=round(pace.rate),
    )
