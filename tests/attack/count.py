"""Counts hostile inputs by class and by the gate that refused them, and writes docs/assurance/hostile.md: `python -m
tests.attack.count [EACH]`. It knows how a page is written; what is hostile, and what is harm, is said in its neighbours."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.attack.hostile import CLASSES
from tests.attack.test_hostile import attacked

PAGE = Path(__file__).resolve().parents[2] / "docs/assurance/hostile.md"
SEED = 1
GATES = ("ticket", "rehearsal", "rewrite", "taken")
HEAD = """# Hostile inputs

{each:,} of each class, each in two hands: *online*, whoever holds the server with its ticket key, so that the ticket names
exactly this file and only what a release key signed is true; *outside*, somebody who changes the file on its way, under the
honest ticket. All of it through the real core: envelope, ticket, file digest, rehearsal, rewrite, with flash that counts.
After each refusal the terminal is started anew.

**{total:,} attacks: {erased} erases before all gates passed, {bricked} bricks.** A file that passed every gate had ended as
the image that was signed, byte for byte.

| class | the attacker's file | online: ticket | rehearsal | rewrite | taken | outside: ticket | rehearsal | rewrite | taken |
|---|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
*rehearsal* counts the file's digest too. *taken*: {may}.

Commit {commit}, {date}, seed {seed}, {seconds:,.0f} s of processor. Again: `python -m tests.attack.count {each}`; 20 of each
are in every run of the tests. With two mutants of the core put in once (the leaf list not compared; old bytes read that are
erased by then) four classes went red.
"""


def main(each: int) -> None:
    began, rows = time.process_time(), []
    for name, (make, _) in CLASSES.items():
        ended: Counter[str] = attacked(name, each, SEED)  # stops at the first erase too early, and at the first brick
        counts = [ended[f"{hand} {gate}"] for hand in ("online", "outside") for gate in GATES]
        what = " ".join((make.__doc__ or "").split())
        rows.append(f"| {name} | {what} | {' | '.join(f'{one:,}' for one in counts)} |")
        sys.stdout.write(rows[-1] + "\n")
        sys.stdout.flush()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    may = "; ".join(f"{name}, {why}" for name, (_, why) in CLASSES.items() if why)
    told = {"each": each, "total": 2 * each * len(CLASSES), "erased": 0, "bricked": 0}
    more = {
        "may": may,
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
        "seed": SEED,
        "seconds": time.process_time() - began,
    }
    PAGE.write_text(HEAD.format(**told) + "\n".join(rows) + "\n" + TAIL.format(**more, each=each))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
