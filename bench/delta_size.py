"""Sizes of update files on real firmware pairs, against bsdiff4 (bzip2, two places needed) and the whole image under xz. One
line a pair; ratios below 1 mean smaller than the peer. Run: python bench/delta_size.py [PAIR ...] [--sector 4096]"""

from __future__ import annotations

import argparse
import lzma
import math
import time

import bsdiff4

from neurath.delta import Wish, build, full
from neurath.errors import NeurathError
from neurath.flash.geometry import GROUP, simple_layout
from neurath.sim import corpus

PAIRS = ("microbit", "greatfet", "primehub", "movehub", "nxt")
SIZES = ("image", "xz", "bsdiff4", "apart", "in place", "full")
RATIOS = ("apart/bsdiff4", "place/bsdiff4", "place/apart", "full/xz")


def measure(name: str, sector: int) -> list[float]:
    """The row of one pair: sizes in bytes, then ratios."""
    pair = corpus.pair(name)
    room = max(len(pair.old), len(pair.new))
    layout = simple_layout(room, sector=sector, scratch_sectors=max(8, 2 * GROUP // sector))
    began = time.perf_counter()
    place = len(build(pair.old, pair.new, layout).data)
    seconds = time.perf_counter() - began
    apart = len(build(pair.old, pair.new, layout, Wish(apart=True)).data)
    whole = len(full(pair.new, layout).data)
    peer = len(bsdiff4.diff(pair.old, pair.new))
    xz = len(lzma.compress(pair.new, preset=9 | lzma.PRESET_EXTREME))
    sizes = [len(pair.new), xz, peer, apart, place, whole]
    print(f"{name:10}" + "".join(f"{n:>10}" for n in sizes), end="")
    ratios = [apart / peer, place / peer, place / apart, whole / xz]
    print("".join(f"{r:>15.3f}" for r in ratios) + f"   built in {seconds:.2f} s")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", default=PAIRS)
    parser.add_argument("--sector", type=int, default=4096)
    args = parser.parse_args()
    print(f"{'pair':10}" + "".join(f"{h:>10}" for h in SIZES) + "".join(f"{h:>15}" for h in RATIOS))
    rows = []
    for name in args.pairs:
        try:
            rows.append(measure(name, args.sector))
        except NeurathError as fault:
            print(f"{name:10} not measured: {fault.what}: {fault.why}")
    if rows:
        means = [math.exp(sum(math.log(row[i]) for row in rows) / len(rows)) for i in range(4)]
        print(f"{'mean':10}{'':60}" + "".join(f"{m:>15.3f}" for m in means))


if __name__ == "__main__":
    main()
