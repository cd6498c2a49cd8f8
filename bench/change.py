"""A line that is narrow, then ten times as wide, then narrow again, in one run: how many pieces an answer carries in each,
and what that does to round trips of a foreground flow, against heartbeats alone on the same line in the same phases. The real
product at both ends of a simulated line. Run as root: python bench/change.py [--seconds 140]
[--write docs/assurance/foreground.md]"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from neurath.sim.line import Line
from neurath.sim.narrow import FAR, Kit, Narrow, kit, narrow

sys.path.insert(0, str(Path(__file__).parent))
from page import put, when

#: Trickle against heartbeats alone, at most, in every phase.
MEAN_GOAL, P95_GOAL = 1.05, 1.10
NARROW, WIDE = Line(9600, 0.6), Line(96_000, 0.6)
PHASES = (NARROW, WIDE, NARROW)
#: Seconds between two pings and between two heartbeats: they do not lock into each other.
PING, BEAT = 0.93, 5.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What came of one phase of one run: round trips in milliseconds, pieces of each answer that had any."""

    mean: float
    p95: float
    lost: int
    pieces: tuple[int, ...]


def measure(trickles: bool, seconds: float, made: Kit, root: Path) -> list[Phase]:
    """One run through all phases; the first one begins when what it is about has begun."""
    with narrow(made, PHASES[0], root / ("trickle" if trickles else "heartbeat")) as run:
        if trickles:
            run.roll_out()
        run.serve("--coap", f"{FAR}:5683")
        run.live("--trickle", str(BEAT), "--heartbeat", f"coap://{FAR}")
        if trickles:
            run.wait_for(300, phase="downloading")
        else:
            run.listen(6 * BEAT)
        run.pings(5, PING)
        return [_phase(run, line, seconds) for line in PHASES]


def _phase(run: Narrow, line: Line, seconds: float) -> Phase:
    run.taps.change(line)
    began = time.monotonic()
    run.listen(0.05)
    before = len(run.said)
    trips = run.pings(round(seconds / PING), PING)
    answered = sorted(took for took in trips if took is not None)
    said = [record for at, record in run.listen(0.05)[before:] if at >= began]
    return Phase(
        mean=sum(answered) / len(answered),
        p95=answered[int(len(answered) * 0.95)],
        lost=len(trips) - len(answered),
        pieces=tuple(int(record["pieces"]) for record in said if "pieces" in record),
    )


def follows(found: list[Phase]) -> bool:
    """Whether the number of pieces went up with the line, and down again."""
    ends = [phase.pieces[-3:] for phase in found]
    return all(ends) and max(ends[0]) == max(ends[2]) == 1 and min(ends[1]) >= 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=140.0, metavar="S", help="of each of the three phases (default 140)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="its part of this page")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="change-"))
    began = time.monotonic()
    try:
        made = kit(root / "kit", args.seed, 400_000)
        with ThreadPoolExecutor(2) as pool:
            alone, beside = pool.map(lambda trickles: measure(trickles, args.seconds, made, root), (False, True))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    rows, met = [], follows(beside)
    for line, base, found in zip(PHASES, alone, beside, strict=True):
        mean, p95 = found.mean / base.mean, found.p95 / base.p95
        met = met and mean <= MEAN_GOAL and p95 <= P95_GOAL
        rows.append({"rate": line.rate, "heartbeat": base, "trickle": found, "mean": mean, "p95": p95})
    if args.write:
        put(args.write, "change", page(args.seconds, rows, met, f"seed {args.seed}, {time.monotonic() - began:.0f} s"))
    if args.json:
        print(json.dumps({"rows": rows, "follows": follows(beside), "met": met}, default=asdict))
    else:
        print("\n".join(_lines(args.seconds, rows, met)))
    return 0 if met else 1


def page(seconds: float, rows: list[dict[str, Any]], met: bool, run: str) -> list[str]:
    """What a reader of the figures is told."""
    lines = [
        f"{when()}; `python bench/change.py`, {run}.",
        "",
        f"600 ms one way throughout, {seconds:g} s a phase; CoAP heartbeat each {BEAT:g} s, a ping each {PING:g} s. The other "
        "run has heartbeats alone in the same phases.",
        "",
        "| phase | heartbeats alone: mean, p95 ms | an update rides: mean | p95 | lost | pieces of its answers |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        base, found = row["heartbeat"], row["trickle"]
        lines.append(
            f"| {row['rate'] / 1000:g} kbit/s | {base.mean:.1f}, {base.p95:.1f} | {found.mean:.1f} ({row['mean'] - 1:+.1%}) | "
            f"{found.p95:.1f} ({row['p95'] - 1:+.1%}) | {found.lost} | {_answers(found.pieces)} |"
        )
    goal = f"mean <= {MEAN_GOAL - 1:+.0%}, p95 <= {P95_GOAL - 1:+.0%} in every phase, pieces follow the line"
    return [*lines, "", f"Goal: {goal}: {'met' if met else '**not met**'}."]


def _answers(pieces: tuple[int, ...]) -> str:
    """Pieces of each answer; answers of as many in a row are counted."""
    runs = [(count, len(list(same))) for count, same in groupby(pieces)]
    return ", ".join(f"{count}" if times == 1 else f"{count} in each of {times}" for count, times in runs)


def _lines(seconds: float, rows: list[dict[str, Any]], met: bool) -> list[str]:
    lines = [f"600 ms one way, coap heartbeat each {BEAT:g} s, ping each {PING:g} s, {seconds:g} s a phase"]
    lines.append(
        f"{'kbit/s':>7}{'heartbeat mean':>16}{'p95':>9}{'trickle mean':>15}{'':9}{'p95':>9}{'':9}  pieces of an answer"
    )
    for row in rows:
        base, found = row["heartbeat"], row["trickle"]
        lines.append(
            f"{row['rate'] / 1000:7g}{base.mean:16.1f}{base.p95:9.1f}{found.mean:15.1f}{row['mean'] - 1:+9.1%}"
            f"{found.p95:9.1f}{row['p95'] - 1:+9.1%}  {' '.join(map(str, found.pieces))}"
        )
    lines.append(
        f"goal: mean <= {MEAN_GOAL - 1:+.0%}, p95 <= {P95_GOAL - 1:+.0%}, pieces follow: {'met' if met else 'NOT MET'}"
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
