"""`neurath sim phone`: the emulated phone beside server and console, from an update over a narrow air to the wire. It knows
options and keys; the story itself is in neurath.sim."""

from __future__ import annotations

import argparse
import contextlib
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

from neurath.cli.output import Output
from neurath.errors import UsageError

MARK = ".neurath-phone"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath sim phone --firmware firmware --built out/firmware --once"
    parser.add_argument("--firmware", type=Path, default=Path("firmware"), metavar="DIR", help="its sources and memory maps")
    parser.add_argument("--built", type=Path, default=Path("out/firmware"), metavar="DIR", help="what make firmware built")
    parser.add_argument("--board", choices=("sx1", "vexpress-a9"), default="sx1", help="default: sx1")
    parser.add_argument("--rate", type=float, default=9600.0, metavar="BIT/S", help="of the air (default 9600)")
    parser.add_argument("--delay", type=float, default=0.6, metavar="S", help="of the air, each way (default 0.6)")
    parser.add_argument("--loss", type=float, default=0.05, metavar="SHARE", help="of datagrams (default 0.05)")
    parser.add_argument(
        "--cut", type=int, default=40, metavar="N", help="flash operation of the rewrite in which power goes; 0: none"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the air's losses")
    parser.add_argument("--port", type=int, metavar="N", help="of server and console (default: a free one)")
    parser.add_argument("--dir", type=Path, default=Path("out/demo-phone"), metavar="DIR", help="where everything lies")
    parser.add_argument(
        "--once", action="store_true", help="end when the story is told; exit 0 only if the phone came through"
    )
    parser.add_argument("--trace", type=Path, metavar="FILE.svg", help="a picture of the first update: flash and RAM by time")
    parser.add_argument("--short", action="store_true", help="end the story when the update is confirmed")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen")


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.sim.phone_home import PhoneHome, application, image_of
    from neurath.sim.phone_story import PhoneStory
    from neurath.sim.radio import Air

    began = time.monotonic()

    def say(text: str, **fields: object) -> None:
        out.event("info", text=text, **fields)
        if not out.json:
            out.data(f"{time.monotonic() - began:6.1f} s  {text}")

    codes = [application(args.built, args.board, name) for name in ("app-1.0", "app-1.1", "hang-3")]
    releases = {v: image_of(code, n) for n, (v, code) in enumerate(zip(("1.0", "1.1", "1.2"), codes, strict=True))}
    say(f"{args.board}: {args.rate:.0f} bit/s, {args.delay:.1f} s each way, {100 * args.loss:.0f} % lost; cut at {args.cut}")
    if args.dry_run:
        return 0
    _empty(args.dir)
    home = PhoneHome(args.board, args.firmware, args.built, args.dir, releases)
    try:
        flash = home.prepare(args.port)
        say(f"server and console: {home.url}", url=home.url)
        with _key() as pull:
            if not args.once and sys.stdin.isatty():
                say("any key pulls the plug")
            story = PhoneStory(
                home, Air(args.rate, args.delay, args.loss, args.seed), args.cut, say, pull, flash, trace=args.trace
            )
            try:
                whole = story.tell(short=args.short)
            finally:
                story.off()
        if not args.once:
            say(f"console: {home.url}   everything lies in {args.dir}   Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
    finally:
        home.close()
    return 0 if whole else 1


@contextlib.contextmanager
def _key() -> Iterator[Callable[[], bool]]:
    """Whether a key was pressed since it was last asked; never where nobody sits at a keyboard."""
    if not sys.stdin.isatty():
        yield lambda: False
        return
    number = sys.stdin.fileno()
    kept = termios.tcgetattr(number)
    tty.setcbreak(number)
    try:
        yield lambda: bool(select.select([number], [], [], 0)[0] and sys.stdin.read(1))
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, kept)


def _empty(folder: Path) -> None:
    """An empty folder; one of an earlier story is emptied, any other is refused."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError(f"{folder} is not empty", "and no earlier story lies in it", "name a new folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
