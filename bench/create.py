"""What making one update file costs: processor time of its build, and memory besides both images. Each build has a process of
its own, so that no other's peak is counted. The largest pair, 35 MB, is ruff-x86. `match`: no build, the matcher alone;
`file` and `file-full`: delta and full image as the server makes them for a terminal that runs Linux and keeps its images in
files. Run: python bench/create.py PAIR [--wish apart|place|large|large-place|file|file-full|match]"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from neurath.delta import Wish, build
from neurath.delta.match import Suffix
from neurath.flash.geometry import GROUP, Layout, file_layout, simple_layout
from neurath.flash.profiles import LARGE_WORKSPACE
from neurath.sim import corpus

SECTOR = 4096
WISHES = {
    "apart": Wish(apart=True),
    "place": Wish(),
    "large": Wish(apart=True, workspace=LARGE_WORKSPACE),
    "large-place": Wish(workspace=LARGE_WORKSPACE),
    "file": Wish(apart=True),
    "file-full": Wish(),
}

#: Not a build: the search for segments by itself.
MATCH = "match"

Cost = dict[str, float | int | str]


def bank(old: bytes, new: bytes) -> Layout:
    """One bank of 4 KiB sectors that holds both, and 32 KiB of scratch."""
    return simple_layout(max(len(old), len(new)), sector=SECTOR, scratch_sectors=max(8, 2 * GROUP // SECTOR))


def _held(what: str) -> int:
    """Bytes this process holds (VmRSS), or has held at most (VmHWM); the latter not what it was started by held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024


def cost(name: str, wish: str) -> Cost:
    """Of one build in this process, which must have made none before."""
    pair = corpus.pair(name)
    layout = file_layout() if wish.startswith("file") else bank(pair.old, pair.new)
    held = _held("VmRSS")
    began, clock = time.process_time(), time.perf_counter()
    if wish == MATCH:
        made = {"segments": len(Suffix().match(pair.old, pair.new))}
    else:
        made = {"size": len(build(b"" if wish == "file-full" else pair.old, pair.new, layout, WISHES[wish]).data)}
    seconds = {"cpu": round(time.process_time() - began, 2), "clock": round(time.perf_counter() - clock, 2)}
    memory = _held("VmHWM") - held
    return {
        "pair": name,
        "wish": wish,
        "image": len(pair.new),
        **made,
        **seconds,
        "memory": memory,
        "B a byte": round(memory / len(pair.new), 2),
    }


def alone(name: str, wish: str) -> Cost:
    """The same in a process of its own."""
    done = subprocess.run([sys.executable, __file__, name, "--wish", wish], capture_output=True, text=True, check=True)
    found: Cost = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pair")
    parser.add_argument("--wish", choices=(*WISHES, MATCH), default="place")
    args = parser.parse_args()
    print(json.dumps(cost(args.pair, args.wish)))
