"""Progress is true: whatever a terminal says, in whatever order, its track never goes back within an attempt, and is whole
with the verdict alone."""

from __future__ import annotations

import os
import random
import re
import time
from dataclasses import replace
from pathlib import Path

from neurath.server.fleet import actions, progress
from neurath.server.fleet.actions import Action
from neurath.wire.report import Phase, Report, Verdict
from tests.console.fleet import Fleet
from tests.console.serving import visitor

#: Reports that are recorded, each followed by a look at the page.
COUNT = 1000 if os.environ.get("NEURATH_ASSURANCE") == "1" else 60
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


def test_progress_never_goes_back_and_is_whole_with_the_verdict_alone(tmp_path: Path) -> None:
    draw, fleet = random.Random(os.environ.get("NEURATH_SEED", "1")), Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    terminal, client = fleet.terminal("t1", "hub"), visitor(fleet.store)
    fleet.shows(terminal, old)
    action, before = fleet.offered(terminal, new, old, 8192, ago=2), 0.0
    for _ in range(COUNT):
        fleet.delivery.reported(action, said(draw, action, new.image), time.time())
        page = client.get("/terminals/t1")
        with fleet.store.read() as db:
            verdict = progress.entries(db, progress.Wanted(terminal=terminal.n))[0].verdict
        widths = track(page.text)
        assert (len(widths) == 5) == (verdict == "confirmed")
        if verdict in ("failed", "refused"):
            widths = []  # an attempt that has ended has no progress; what it came to stays in the timeline
        else:
            assert sum(widths) >= before
        before = sum(widths)
        if verdict in ("confirmed", "failed", "refused"):
            with fleet.store.write() as db:
                actions.end(db, action, "closed", time.time())
            action, before = fleet.offered(terminal, new, old, 8192, ago=0), 0.0
    fleet.close()
