"""`neurath sim fleet`: tells a whole story with real processes and prints it line by line. It knows options and folders; the
story itself is in neurath.sim."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from neurath.sim.corpus import Pair
    from neurath.sim.ground import Say

#: Real firmware, the first that can be had.
FIRST_CHOICE = ("microbit", "greatfet")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath sim fleet --old app-1.bin --new app-2.bin --once"
    parser.add_argument("--old", type=Path, metavar="FILE", help="what the terminals run (bin, Intel hex or ELF)")
    parser.add_argument("--new", type=Path, metavar="FILE", help="what they are to run")
    parser.add_argument(
        "--firmware", metavar="NAME", help="a real pair by name, fetched once: microbit, greatfet, primehub, ..."
    )
    parser.add_argument("--terminals", type=int, default=5, metavar="N", help="how many (3 to 50, default 5)")
    parser.add_argument("--ram", type=int, default=192, metavar="KIB", help="RAM each terminal can lend (default 192)")
    parser.add_argument("--seed", type=int, metavar="S", help="tells the same story again")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of server and console (default: a free one)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="where server, banks and logs lie (default: a new temporary folder)"
    )
    parser.add_argument("--once", action="store_true", help="end when the story is told; exit 0 only if every bank is new")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen")


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.sim.scenario import story

    began = time.monotonic()

    def say(text: str, **fields: object) -> None:
        out.event("info", text=text, **fields)
        if not out.json:
            out.data(f"{time.monotonic() - began:6.1f} s  {text}")

    pair = _pair(args, say)
    if not 3 <= args.terminals <= 50:
        raise UsageError("so many terminals make no story", f"{args.terminals} is not in 3 to 50", "--terminals 5")
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    scenario = story(pair, seed, args.terminals, args.ram * 1024)
    say(
        f"{pair.name} {pair.old_version} ({len(pair.old):,} bytes) to {pair.new_version} "
        f"({len(pair.new):,} bytes); seed {seed}"
    )
    for actor in scenario.actors:
        at = f" (flash operation {actor.kill_at})" if actor.kill_at else ""
        say(f"{actor.id}: {actor.fate.value}{at}")
    if args.dry_run:
        return 0
    folder = _folder(args.dir, say)
    _end_in_order()
    from neurath.sim.fleet import Fleet

    with Fleet(scenario, folder, args.port or None, say) as fleet:
        whole = fleet.tell()
        if not args.once:
            fleet.stay()
    return 0 if whole else 1


def _end_in_order() -> None:
    """A story that is ended from outside still ends its processes, and is told so once: make and a closing window send the
    same word twice, and a second one would interrupt the clearing up."""
    words = [word for word in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if signal.getsignal(word) != signal.SIG_IGN]

    def end(number: int, frame: object) -> None:
        for word in words:
            signal.signal(word, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for word in words:
        signal.signal(word, end)


def _folder(named: Path | None, say: Say) -> Path:
    """An empty folder for the story. A folder of an earlier story is emptied, beside one still being told there is a new
    one; any other is refused."""
    if named is None:
        return Path(tempfile.mkdtemp(prefix="neurath-fleet-"))
    mark = named / ".neurath-fleet"
    if named.exists() and any(named.iterdir()):
        if not mark.exists():
            raise UsageError(f"{named} is not empty", "and no earlier story lies in it", "name a new folder")
        if _alive(mark.read_text()):
            beside = Path(tempfile.mkdtemp(prefix=f"{named.name}-", dir=named.parent))
            say(f"another story is being told in {named}; this one lies in {beside}")
            return _folder(beside, say)
        shutil.rmtree(named)
    named.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(os.getpid()))
    return named


def _alive(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ValueError, OSError):
        return False
    return True


def _pair(args: argparse.Namespace, say: Say) -> Pair:
    from neurath.server.software.images import read_image
    from neurath.sim import corpus

    if (args.old is None) != (args.new is None):
        raise UsageError("an update needs two images", "only one was given", "--old OLD --new NEW (make demo OLD=... NEW=...)")
    if args.old is not None:
        old = read_image(args.old.read_bytes(), args.old.name).image
        new = read_image(args.new.read_bytes(), args.new.name).image
        if old == new:
            raise NothingToDo("both images are the same", "there is nothing to update", "give two different images")
        return corpus.Pair(args.new.stem[:24], "old", "new", bytes(old), bytes(new), real=True)
    if args.firmware:
        return corpus.pair(args.firmware)
    if not corpus.cache().is_dir():
        say(f"real firmware is fetched with pip, once, and kept in {corpus.cache()}")
    pair = corpus.first_of(FIRST_CHOICE)
    if not pair.real:
        say("no package registry can be reached and no firmware is cached: a small BUILT-IN pair stands in for real firmware")
    return pair
