"""Writes the figures of docs/assurance/power.md, a line a device and a mutant; what people wrote before the mark stays.

    python -m tests.power.assure [--most N] [--out FILE]

Exit 1 where a device was bricked or not walked to its end, or a mutant got past. It knows which devices are walked; it must
never leave a line out because of what it says.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from neurath.sim.power import ALL_KINDS, HARMS, walk
from tests.power.broken import ROOT, TRACED, build, compile_all, hunt, mutants, story

MARK = "<!-- from here on: python -m tests.power.assure -->"
DEVICES = [(sector, ecc, erased) for sector in (512, 1024) for ecc in (False, True) for erased in (0xFF, 0x00)]


def _devices(most: int) -> tuple[list[str], list[str]]:
    """Lines of the table, and what is wrong, in words."""
    wrong = []
    lines = ["| device | states | cuts | boots old | boots new | goes on | bricks | closed | s |", "|---" * 9 + "|"]
    for sector, ecc, erased in DEVICES:
        cuts = walk(replace(story(sector, ecc=ecc, erased=erased), most=most, kinds=ALL_KINDS if most else TRACED))
        lines.append(
            f"| 16 x {sector} B, {'ECC' if ecc else 'no ECC'}, erased 0x{erased:02X} | {cuts.states:,} | {cuts.edges:,} "
            f"| {cuts.old:,} | {cuts.new:,} | {cuts.resumed:,} | {cuts.bricked} | {'yes' if cuts.closed else 'no'} "
            f"| {cuts.seconds:.0f} |"
        )
        if cuts.bricked or not (cuts.closed or most):
            wrong.append(f"{lines[-1]} {HARMS[cuts.harm]}")
    return lines, wrong


def _mutants() -> tuple[list[str], list[str]]:
    """The same of the mutants."""
    wrong = []
    lines = ["| mutant | caught | as | states |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        objects = compile_all(Path(folder))
        for mutant in mutants():
            cuts = hunt(build(mutant, objects, Path(folder)), mutant.story)
            lines.append(f"| {mutant.name} | {'yes' if cuts.bricked else 'NO'} | {HARMS[cuts.harm]} | {cuts.states:,} |")
            wrong += [] if cuts.bricked else [lines[-1]]
    return [*lines, "", f"{len(mutants()) - len(wrong)} mutants of {len(mutants())} caught."], wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="writes docs/assurance/power.md")
    parser.add_argument("--most", type=int, default=0, help="distinct states a device (0: to closure)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/assurance/power.md")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (devices, open_), (broken, past) = _devices(args.most), _mutants()
    page = [
        (args.out.read_text() if args.out.exists() else "").partition(MARK)[0] + MARK,
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, commit {commit.strip()}, `python -m tests.power.assure`, "
        + (f"sample of {args.most:,} states a device." if args.most else "to closure."),
        "States are distinct flash contents that a power-up may find (`docs/decisions/0012-equal-states.md`), cuts are",
        "state x operation x kind. Every state must boot old or new, or go on with the same file, and end in the new image,",
        "confirmed and remembered. `closed`: nothing was left out. To closure: cuts before, early, late, after, random",
        "bits, weak erases, metastable units (`docs/decisions/0018-one-power-up-a-span.md`).",
        "",
        *devices,
        "",
        *broken,
    ]
    args.out.write_text("\n".join(page) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in [*open_, *past, broken[-1]]))
    return 1 if open_ or past else 0


if __name__ == "__main__":
    sys.exit(main())
