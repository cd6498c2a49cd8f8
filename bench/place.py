"""Why a file in place is larger than one beside the old image: for one pair and several sizes of scratch, how the plan
goes on, the bytes of copies that no order keeps, and the file. Run: python bench/place.py [PAIR, default microbit]"""

from __future__ import annotations

import argparse

from neurath.delta import Wish, build, native
from neurath.delta.format import parse
from neurath.flash.geometry import simple_layout
from neurath.sim import corpus

SECTOR = 4096
#: Sectors of scratch: one unit of 16 KiB, two, and so on.
SCRATCH = (4, 8, 12, 16, 20, 24)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pair", nargs="?", default="microbit")
    pair = corpus.pair(parser.parse_args().pair)
    room = max(len(pair.old), len(pair.new))
    own = len(build(pair.old, pair.new, simple_layout(room, sector=SECTOR), Wish(apart=True)).data)
    print(f"{'scratch':>10}{'units':>8}{'way':>14}{'lost':>10}{'in place':>10}{'x own':>8}   (own: {own:,} B)")
    for sectors in SCRATCH:
        layout = simple_layout(room, sector=SECTOR, scratch_sectors=sectors)
        made = build(pair.old, pair.new, layout)
        head, _ = parse(made.data)
        way = "slides" if head.slide else f"{head.joint} at once"
        size = len(made.data)
        units = native.joint_most(layout)
        print(f"{sectors * SECTOR >> 10:6} KiB{units:8}{way:>14}{made.lost:10,}{size:10,}{size / own:8.2f}", flush=True)


if __name__ == "__main__":
    main()
