"""Progress is true: whatever a terminal says, in whatever order, its track never goes back within an attempt, and is whole
with the verdict alone."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from neurath.server.fleet import progress
from neurath.server.fleet.actions import Action
from neurath.server.software import catalog
from neurath.wire.report import Phase, Report, Verdict
from tests.console.fleet import Fleet
from tests.console.serving import visitor

#: Updates that are recorded, each report of them followed by a look at the page.
COUNT = 1000 if os.environ.get("NEURATH_ASSURANCE") == "1" else 8
ENDS = ("confirmed", "refused", "failed")
_FILL = re.compile(r'<rect class="fill[^"]*" x="[0-9.]+" width="([0-9.]+)"')


def track(page: str) -> list[float]:
    """The widths of the filled parts of the first track on a page."""
    found = re.search(r'<svg class="track.*?</svg>', page, re.DOTALL)
    return [float(width) for width in _FILL.findall(found[0])] if found else []


def said(draw: random.Random, action: Action, image: str) -> Report:
    """Anything a terminal may say, late, twice or out of order."""
    phase = draw.choice(list(Phase))
    whole = phase not in progress.WAITS and progress.RANK[phase] >= progress.RANK[Phase.DOWNLOADED]
    done = action.size if whole else draw.randrange(action.size + 1)
    report = Report(str(action.id), phase, done=done, total=action.size)
    match draw.randrange(24):
        case 0:
            return replace(report, phase=Phase.UPDATED, verdict=Verdict.CONFIRMED, bank=bytes.fromhex(image))
        case 1:
            return replace(report, phase=Phase.UPDATED, verdict=Verdict.CONFIRMED, bank=bytes(32))
        case 2:
            return replace(report, phase=Phase.FAILED, verdict=Verdict.FAILED, reason="it was torn")
    return report


def watched(fleet: Fleet, client: TestClient, action: Action, draw: random.Random) -> tuple[int, str]:
    """(looks, verdict) of one update, from its offer to the report that ends it; the page is right at each look."""
    before, looks = 0.0, 0
    with fleet.store.read() as db:
        image = catalog.find_release(db, str(action.release)).image
    while True:
        fleet.delivery.reported(action, said(draw, action, image), time.time())
        page = client.get(f"/terminals/t{action.terminal}")
        with fleet.store.read() as db:
            verdict = progress.entries(db, progress.Wanted(terminal=action.terminal))[0].verdict
        widths, looks = track(page.text), looks + 1
        assert (len(widths) == 5) == (verdict == "confirmed")
        if verdict not in (
            "refused",
            "failed",
        ):  # an attempt that has ended so has no progress; its timeline says how far it came
            assert sum(widths) >= before
        before = sum(widths)
        if verdict in ENDS:
            return looks, verdict


def test_progress_never_goes_back_and_is_whole_with_the_verdict_alone(
    tmp_path: Path, figures: Callable[[str, str], None]
) -> None:
    draw, fleet = random.Random(os.environ.get("NEURATH_SEED", "1")), Fleet(tmp_path, time.time())
    model = fleet.model("hub", 16384)
    old, new = fleet.release(model, "1.0", 1, 9_000), fleet.release(model, "1.1", 2, 9_100)
    looks, verdicts, client = 0, Counter[str](), visitor(fleet.store)
    for number in range(1, COUNT + 1):
        terminal = fleet.terminal(f"t{number}", "hub")
        assert terminal.n == number
        fleet.shows(terminal, old)
        seen, verdict = watched(fleet, client, fleet.offered(terminal, new, old, 8192, ago=2), draw)
        looks, verdicts[verdict] = looks + seen, verdicts[verdict] + 1
    fleet.close()
    assert sum(verdicts.values()) == COUNT
    rows = "\n".join(f"| {name} | {verdicts[name]} |" for name in ENDS)
    note = (
        "Reports drawn at random: every phase, late, twice and out of order, each followed by a look at the terminal's page. "
        "At no look did a track go back within its attempt, or was it whole without a confirmed verdict."
    )
    figures("progress", f"| updates | {COUNT} |\n|---|---|\n{rows}\n| reports, and looks at the page | {looks} |\n\n{note}")


def test_a_failure_that_counts_every_byte_leaves_them_counted(tmp_path: Path) -> None:
    """What comes after it, late, does not take the track back to where no byte was known to be whole."""
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 16384)
    old, new = fleet.release(model, "1.0", 1, 9000), fleet.release(model, "1.1", 2, 9100)
    terminal = fleet.terminal("t1", "hub")
    fleet.shows(terminal, old)
    action, client = fleet.offered(terminal, new, old, 8192, ago=2), visitor(fleet.store)
    seen = []
    for phase, done in ((Phase.WAITING_FOR_USER, 100), (Phase.FAILED, 8192), (Phase.DOWNLOADING, 8192)):
        fleet.report(action, phase, done=done)
        seen.append(sum(track(client.get("/terminals/t1").text)))
    fleet.close()
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]
