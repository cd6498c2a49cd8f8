"""What an update does to everything else on a narrow line: round trips of a foreground flow with nothing beside it, with
heartbeats alone, with an update that rides on them, and with the same update in bulk; the real product at both ends of a
simulated line. Prints the table of the goals, writes a plot and its part of a page. Run as root: python bench/trickle.py
[--scaled] [--write docs/assurance/foreground.md]"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import Any

from neurath.sim.line import Line
from neurath.sim.narrow import FAR, Kit, Narrow, kit, narrow

sys.path.insert(0, str(Path(__file__).parent))
from page import put, when
from plot import Series, chart

#: Trickle against heartbeats alone, at most; bulk against heartbeats alone, at least.
MEAN_GOAL, P95_GOAL, HARM = 1.05, 1.10, 3.0
RUNS = ("idle", "heartbeat", "trickle", "bulk")
CARRIERS = {"coap": "CoAP", "http": "HTTP"}
TOLD = {
    "idle": "nothing beside it",
    "heartbeat": "heartbeats alone",
    "trickle": "an update rides on them",
    "bulk": "the same update in bulk",
}


@dataclass(frozen=True, slots=True)
class Rig:
    """A line, and how often what is sent: periods that do not lock into each other."""

    line: Line
    ping: float
    beat: float
    seconds: float
    changed: int
    carrier: str = "coap"
    piece: int = 200

    @property
    def heartbeat(self) -> str:
        """What the agent's heartbeat rides on."""
        return "http" if self.carrier == "http" else f"coap://{FAR}"

    @property
    def count(self) -> int:
        return round(self.seconds / self.ping)


FULL = Rig(Line(9600, 0.6), 0.93, 5.0, 140.0, 400_000)
SCALED = Rig(Line(96_000, 0.06), 0.2, 0.53, 35.0, 800_000)
#: Seconds until the server has built the file, on a machine that has much else to do.
PATIENCE = 300


def measure(name: str, rig: Rig, made: Kit, root: Path, ready: Barrier) -> dict[str, Any]:
    """One run: round trips in milliseconds, and how much of the update came meanwhile. It begins when all are `ready`: a
    server that still builds its file would slow the pings of the others."""
    with narrow(made, rig.line, root / name) as run:
        if name in ("trickle", "bulk"):
            run.roll_out()
        run.serve("--coap", f"{FAR}:5683", "--piece", str(rig.piece))
        try:
            _start(name, rig, run)
        except BaseException:
            ready.abort()
            raise
        ready.wait(PATIENCE)
        before = _held(run)
        found = run.pings(rig.count, rig.ping)
        carried = _held(run) - before
    answered = sorted(took for took in found if took is not None)
    return {
        "name": name,
        "trips": found,
        "mean": sum(answered) / len(answered),
        "p95": answered[int(len(answered) * 0.95)],
        "p99": answered[int(len(answered) * 0.99)],
        "lost": len(found) - len(answered),
        "carried": carried,
    }


def _start(name: str, rig: Rig, run: Narrow) -> None:
    """Starts the terminal and waits until it does what the run is about."""
    if name == "idle":
        run.pings(3, rig.ping)
    elif name == "bulk":
        run.live()
        run.wait_for(PATIENCE, phase="downloading")
        run.pings(8, rig.ping)  # until its window is open
    else:
        run.live("--trickle", str(rig.beat), "--heartbeat", rig.heartbeat)
        if name == "trickle":
            run.wait_for(PATIENCE, phase="downloading")
        else:
            run.listen(6 * rig.beat + 20 * rig.line.round_trip())
        run.pings(5, rig.ping)


def _held(run: Narrow) -> int:
    """Bytes of the update that the terminal said it has."""
    return max((int(record["done"]) for _, record in run.listen(0.05) if "done" in record), default=0)


def table(rig: Rig, rows: dict[str, dict[str, Any]]) -> tuple[list[str], dict[str, float]]:
    """The lines for people, and the ratios that the goals are about."""
    base = rows["heartbeat"]
    lines = [
        f"{rig.line.rate / 1000:g} kbit/s, {rig.line.delay * 1000:g} ms one way, ping each {rig.ping:g} s for "
        f"{rig.seconds:g} s, {rig.carrier} heartbeat each {rig.beat:g} s, pieces of {rig.piece}; "
        f"computed idle {rig.line.round_trip() * 1000:.1f} ms",
        f"{'run':12}{'mean ms':>10}{'':9}{'p95 ms':>10}{'':9}{'p99 ms':>10}{'lost':>6}{'update bytes':>14}",
    ]
    for name in RUNS:
        row = rows[name]
        mean, p95 = row["mean"] / base["mean"], row["p95"] / base["p95"]
        lines.append(
            f"{name:12}{row['mean']:10.1f} {_ratio(mean):8}{row['p95']:10.1f} {_ratio(p95):8}{row['p99']:10.1f}"
            f"{row['lost']:6}{row['carried']:14,}"
        )
    ratios = {
        "trickle_mean": rows["trickle"]["mean"] / base["mean"],
        "trickle_p95": rows["trickle"]["p95"] / base["p95"],
        "bulk_mean": rows["bulk"]["mean"] / base["mean"],
    }
    lines += [
        _verdict("trickle, mean", ratios["trickle_mean"], MEAN_GOAL, ratios["trickle_mean"] <= MEAN_GOAL),
        _verdict("trickle, p95", ratios["trickle_p95"], P95_GOAL, ratios["trickle_p95"] <= P95_GOAL),
        _verdict("bulk, mean (shows that harm is seen)", ratios["bulk_mean"], HARM, ratios["bulk_mean"] >= HARM),
    ]
    return lines, ratios


def page(rig: Rig, rows: dict[str, dict[str, Any]], met: bool, run: str) -> list[str]:
    """What a reader of the figures is told."""
    base = rows["heartbeat"]
    lines = [
        f"{when()}; `python bench/trickle.py`, {run}.",
        "",
        f"A line of {rig.line.rate / 1000:g} kbit/s and {rig.line.delay * 1000:g} ms one way; {rig.count} pings a run, one "
        f"each {rig.ping:g} s; {CARRIERS[rig.carrier]} heartbeat each {rig.beat:g} s, pieces of {rig.piece} bytes; computed "
        f"for an idle line: {rig.line.round_trip() * 1000:.1f} ms. Ratios are against heartbeats alone.",
        "",
        "| run | mean ms | p95 ms | p99 ms | lost | bytes of the update meanwhile |",
        "|---|---|---|---|---|---|",
    ]
    for name in RUNS:
        row = rows[name]
        mean, p95 = (f"{row[what]:.1f} {_ratio(row[what] / base[what])}" for what in ("mean", "p95"))
        lines.append(f"| {TOLD[name]} | {mean} | {p95} | {row['p99']:.1f} | {row['lost']} | {row['carried']:,} |")
    goal = f"an update that rides: mean <= {MEAN_GOAL - 1:+.0%}, p95 <= {P95_GOAL - 1:+.0%}; in bulk: mean >= x{HARM:g}, "
    goal += "so that the rig is seen to see harm"
    return [*lines, "", f"Goals: {goal}: {'met' if met else '**not met**'}."]


def _ratio(value: float) -> str:
    return f"(x{value:.1f})" if value >= 2 else f"({value - 1:+.1%})"


def _verdict(what: str, found: float, goal: float, met: bool) -> str:
    return f"goal {what:38} {found:7.3f}  {'<=' if goal < 2 else '>='} {goal:g}   {'met' if met else 'NOT MET'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scaled", action="store_true", help="ten times as fast, 35 s")
    parser.add_argument("--heartbeat", choices=("coap", "http"), default="coap", help="what it rides on (default coap)")
    parser.add_argument("--piece", type=int, default=200, metavar="N", help="bytes of a piece (default 200)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="its part of this page")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    args = parser.parse_args()
    rig = replace(SCALED if args.scaled else FULL, carrier=args.heartbeat, piece=args.piece)
    root = Path(tempfile.mkdtemp(prefix="trickle-"))
    began = time.monotonic()
    try:
        made = kit(root / "kit", args.seed, rig.changed)
        with ThreadPoolExecutor(len(RUNS)) as pool:
            ready = Barrier(len(RUNS))
            found = pool.map(lambda name: measure(name, rig, made, root, ready), RUNS)
            rows = {row["name"]: row for row in found}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    lines, ratios = table(rig, rows)
    if args.plot:
        told = [Series(name, rig.ping, rows[name]["trips"]) for name in RUNS]
        args.plot.write_text(chart(lines[0].partition(";")[0], told))
    took = time.monotonic() - began
    met = ratios["trickle_mean"] <= MEAN_GOAL and ratios["trickle_p95"] <= P95_GOAL and ratios["bulk_mean"] >= HARM
    if args.write:
        put(args.write, "trickle", page(rig, rows, met, f"seed {args.seed}, {took:.0f} s"))
    if args.json:
        figures = {name: {k: v for k, v in rows[name].items() if k != "trips"} for name in RUNS}
        print(json.dumps({"rows": figures, "ratios": ratios}))
    else:
        print("\n".join([*lines, f"({took:.0f} s)"]))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
