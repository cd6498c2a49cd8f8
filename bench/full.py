"""What groups cost a full image: the same coder in one stream and in groups of 16 KiB, both with the window that 20 KiB of
RAM hold, against xz -9e; and what a longer window would give, which needs as much more RAM. Run:
python bench/full.py [IMAGE ...]"""

from __future__ import annotations

import argparse
import lzma
import math

from neurath.delta import code
from neurath.delta.budget import WINDOW
from neurath.flash.geometry import GROUP
from neurath.sim import corpus

IMAGES = ("movehub", "electron", "microbit", "cityhub", "nxt-4", "p1", "primehub", "boron", "ev3")
#: Bytes of new image that a decoder would look back on, if it were lent so much more RAM than the 6 KiB it has room for.
LONGER = (16384, 65536)
COLUMNS = ("image", "xz", "stream", "groups", "x stream", "x xz", *(f"{n >> 10} KiB x xz" for n in LONGER))


def coded(image: bytes, group: int, window: int) -> int:
    """Bytes of all frames, each with the two or three that say its length."""
    return sum(len(frame) + (2 if len(frame) < 1 << 14 else 3) for frame in code.whole_frames(image, group, window))


def measure(name: str) -> list[float]:
    image = corpus.pair(name).new
    xz = len(lzma.compress(image, preset=9 | lzma.PRESET_EXTREME))
    stream, groups = coded(image, len(image), WINDOW), coded(image, GROUP, WINDOW)
    return [len(image), xz, stream, groups, groups / stream, groups / xz, *(coded(image, GROUP, n) / xz for n in LONGER)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", default=IMAGES)
    args = parser.parse_args()
    rows = []
    print(f"{'':13}" + "".join(f"{c:>14}" for c in COLUMNS))
    for name in args.images:
        rows.append(measure(name))
        print(f"{name:13}" + "".join(f"{v:14,}" if isinstance(v, int) else f"{v:14.4f}" for v in rows[-1]), flush=True)
    for k in range(4, len(COLUMNS)):
        print(f"geometric mean, {COLUMNS[k]}: {math.exp(sum(math.log(row[k]) for row in rows) / len(rows)):.4f}")


if __name__ == "__main__":
    main()
