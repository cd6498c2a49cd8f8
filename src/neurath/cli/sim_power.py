"""`neurath sim power OLD NEW`: cuts the rewrite of OLD into NEW at its flash operations (a sample, or each) and lets the core
bring each state back by itself, with the same file or, in resume mode, the one made for what a cut left. It knows options and
how to say what came out; the cutting itself is neurath.sim.power's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from neurath.delta.build import Delta
    from neurath.flash.geometry import Layout
    from neurath.sim.power import Cuts

#: Operations cut where nobody says how many: an answer in seconds, of any image.
SAMPLE = 64
#: A stride no rewrite is as long as.
NEVER = 1 << 31
KINDS = ("before", "early", "late", "after", "random", "weak", "meta", "ghost")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", type=Path, help="image the terminal runs")
    parser.add_argument("new", metavar="NEW", type=Path, help="image it is to run")
    parser.add_argument("--sector", type=_power_of_two, default=4096, help="erase sector, bytes (default 4096)")
    parser.add_argument("--page", type=_power_of_two, default=256, help="largest program unit, bytes (default 256)")
    parser.add_argument("--mode", choices=("scratch", "resume"), default="scratch", help="how the rewrite is logged")
    parser.add_argument("--kinds", default="all", help=f"how operations are torn: all, or of {','.join(KINDS)}")
    parser.add_argument("--double", default="1", metavar="N", help="cuts in a row, or all for any number (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="of torn bits")
    parser.add_argument("--ecc", action="store_true", help="torn units cannot be read")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="look at N distinct states at most (0: all)")
    parser.add_argument(
        "--every",
        type=int,
        default=0,
        metavar="N",
        help=f"cut every N-th operation, 1: each (default: about {SAMPLE} of them)",
    )
    parser.epilog = "example: neurath sim power old.bin new.bin --kinds before,early,late --seed 7"


def _power_of_two(text: str) -> int:
    value = int(text)
    if value <= 0 or value & (value - 1):
        raise argparse.ArgumentTypeError(f"{text} is not a power of two")
    return value


def _kinds(text: str) -> tuple[str, ...]:
    chosen = KINDS if text == "all" else tuple(text.split(","))
    wrong = [name for name in chosen if name not in KINDS]
    if wrong:
        raise UsageError(f"no kind of cut {wrong[0]!r}", "the kinds are " + ", ".join(KINDS), "--kinds before,early")
    return chosen


def _depth(text: str) -> int:
    if text == "all":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--double {text} makes no sense", "it is a number of cuts in a row from 1 on, or all", "--double 1")
    return int(text)


def _layout(sector: int, page: int, room: int, *, resume: bool) -> Layout:
    """A flat chip: log spans of at least 4 KiB, scratch for two commit units (resume mode: none), a bank of whole units."""
    from neurath.flash.geometry import Layout, Region, Span

    group = min(max(16384, sector), sector * 32)
    log = max(sector, 4096)
    scratch = 0 if resume else 2 * max(group, sector)
    bank = -(-room // group) * group
    at = 2 * log + scratch
    return Layout(
        regions=(Region(0, sector, (at + bank) // sector),),
        log=(Span(0, log), Span(log, log)),
        scratch=Span(2 * log, scratch),
        bank=(Span(at, bank),),
        page=page,
        write_unit=min(8, page),
        group=group,
        leaf=min(4096, group),
        resume=resume,
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """0: no brick, 1: a brick, 3: OLD and NEW are the same, 5: it does not fit."""
    from dataclasses import replace

    from neurath.delta.build import build
    from neurath.delta.simulate import target
    from neurath.sim.power import Cure, Story, walk

    kinds, depth = _kinds(args.kinds), _depth(args.double)
    old, new = _images(args)
    resume = args.mode == "resume"
    layout = _layout(args.sector, args.page, max(len(old), len(new)), resume=resume)
    out.event("task_begin", task="delta")
    delta = build(old, new, layout)
    cures = _cures(old, new, delta, layout) if resume else []
    ram = max(made.ram_needed(layout, staged_in_ram=False) for made in (delta, *(made for _, made in cures)))
    out.talk(f"{len(old)} -> {len(new)} bytes, update file {len(delta.data)} bytes, seed {args.seed}")
    if cures:
        out.talk(f"{len(cures)} resume deltas, the largest {max(len(made.data) for _, made in cures)} bytes")
    story = Story(
        layout=layout,
        old=old,
        new=new,
        file=delta.data,
        target=target(new, delta.data, layout),
        ram=ram,
        ecc=args.ecc,
        kinds=kinds,
        depth=depth,
        most=args.most,
        seed=args.seed,
        few=0 if depth == 1 else 8,
        cures=tuple(Cure(torn, made.data, target(new, made.data, layout)) for torn, made in cures),
    )
    # Uncut, to know how many operations there are.
    operations = walk(replace(story, stride=NEVER)).operations
    every = args.every or max(1, operations // SAMPLE)
    out.talk(f"{operations} flash operations, cutting {'each' if every == 1 else f'one in {every} (--every 1: each)'}")
    cuts = walk(replace(story, stride=every))
    _tell(cuts, out, seed=args.seed, every=every, file_size=len(delta.data))
    return 1 if cuts.bricked else 0


def _images(args: argparse.Namespace) -> tuple[bytes, bytes]:
    """The old one and the new one; UsageError where there is nothing to walk."""
    if args.every < 0 or args.most < 0:
        raise UsageError(
            "a number of cuts is not negative", f"--every {args.every}, --most {args.most}", "--every 9 --most 1000"
        )
    if args.page > 512 or args.sector % args.page or args.sector < 512:
        raise UsageError(
            "this page does not fit this sector", "pages of at most 512 B fill sectors", "--sector 4096 --page 256"
        )
    old, new = args.old.read_bytes(), args.new.read_bytes()
    if not old or not new:
        raise UsageError("an image is empty", "both files must hold an image", "neurath sim power --help")
    if old == new:
        raise NothingToDo("OLD and NEW are the same", "no sector would change", "give two different images")
    return old, new


def _cures(old: bytes, new: bytes, delta: Delta, layout: Layout) -> list[tuple[int, Delta]]:
    """The resume delta for each sector that a cut may leave open."""
    from neurath.delta import hybrid

    goal = hybrid.Goal(old, new, delta.data)
    return [(left.torn[0], hybrid.build(left, goal, layout)) for left in hybrid.cuts(goal, layout) if left.torn]


def _tell(cuts: Cuts, out: Output, *, seed: int, every: int, file_size: int) -> None:
    from neurath.sim import power

    rescued = f"rescued {cuts.rescued}  " if cuts.rescued else ""
    text = (
        f"cuts {cuts.edges}  states {cuts.states}  old {cuts.old}  new {cuts.new}  resumed {cuts.resumed}  {rescued}"
        f"bricked {cuts.bricked}  in {cuts.seconds:.1f} s, {cuts.operations} operations uncut"
        + (", every state walked" if cuts.closed else "")
    )
    if cuts.bricked:
        text += f"\nfirst brick: {power.HARMS[cuts.harm]}; {cuts.where}"
    out.data(
        text,
        cuts=cuts.edges,
        states=cuts.states,
        old=cuts.old,
        new=cuts.new,
        resumed=cuts.resumed,
        rescued=cuts.rescued,
        bricked=cuts.bricked,
        operations=cuts.operations,
        closed=cuts.closed,
        deepest=cuts.deepest,
        seconds=round(cuts.seconds, 3),
        seed=seed,
        every=every,
        file_size=file_size,
        harm=cuts.harm.name.lower(),
    )
