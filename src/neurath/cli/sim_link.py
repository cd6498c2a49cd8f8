"""`neurath sim link`: a command behind a slow link, in a network of its own; or, without a command, what such a link does to a
few usual things. It knows options; the link is sim/taps'."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import NotFound, UsageError

if TYPE_CHECKING:
    from neurath.sim.line import Line

#: Addresses of the near end, where the command runs, and of the far one.
NEAR, FAR = "10.90.0.1", "10.90.0.2"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=9600, metavar="BIT/S", help="default 9600")
    parser.add_argument("--delay", type=float, default=600, metavar="MS", help="one way (default 600)")
    for name, text in (("loss", "lost"), ("duplicate", "that come twice"), ("reorder", "that are overtaken")):
        parser.add_argument(f"--{name}", type=float, default=0, metavar="PERCENT", help=f"frames {text} (default 0)")
    parser.add_argument("--queue", type=int, default=8192, metavar="BYTES", help="what waits in each direction (default 8192)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed draws the same fates (default 1)")
    parser.add_argument("--far", metavar="COMMAND", help=f"what runs at the far end, {FAR}; ended with the command")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help=f"what runs at the near end, {NEAR} (after --)")
    parser.epilog = (
        f"example: neurath sim link --loss 5 --far 'neurath serve --host {FAR}' -- neurath agent run --server "
        f"http://{FAR}:8642 --bank t1.bank --model board.toml --once"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.sim.line import Line

    line = Line(args.rate, args.delay / 1000, args.loss / 100, args.duplicate / 100, args.reorder / 100, args.queue, args.seed)
    if not args.command:
        if args.far:
            raise UsageError("no command for the near end", "--far alone has nobody to talk to", "append -- COMMAND")
        return _tell(line, out)
    return _behind(line, args, out)


def _tell(line: Line, out: Output) -> int:
    figures = (
        ("a ping, there and back", "ping_s", line.round_trip()),
        ("100 bytes one way", "bytes_100_s", line.delay + 800 / line.rate),
        ("10 kB one way", "bytes_10000_s", line.delay + 80_000 / line.rate),
        ("a full queue", "full_queue_s", 8 * line.queue / line.rate),
    )
    text = "\n".join(f"{what:24} {seconds:9.3f} s" for what, _, seconds in figures)
    out.data(text, **{name: round(seconds, 6) for _, name, seconds in figures})
    return 0


def _behind(line: Line, args: argparse.Namespace, out: Output) -> int:
    """Runs both ends; the exit code is the near one's."""
    import subprocess

    from neurath.sim.taps import Space, Taps, tap

    near, far = Space(), Space()
    with near.entered():
        one = tap("line0", f"{NEAR}/24")
    with far.entered():
        other = tap("line0", f"{FAR}/24")
    taps = Taps(line, one, other)
    companion = None
    try:
        if args.far:
            with far.entered():
                companion = subprocess.Popen(shlex.split(args.far), stdin=subprocess.DEVNULL)
        with near.entered():
            code = subprocess.run(args.command, check=False).returncode
    except FileNotFoundError as fault:
        raise NotFound(f"no command {fault.filename}", "it is not on this machine", "check its spelling and $PATH") from None
    finally:
        if companion is not None:
            companion.terminate()
            companion.wait()
        counts = taps.close()
    for name, way in zip(("there", "back"), counts, strict=False):
        said = ", ".join(f"{count} {what}" for what, count in way.items())
        out.talk(f"{name}: {said}")
        out.event("info", way=name, **way)
    return code if 0 <= code < 128 else 1
