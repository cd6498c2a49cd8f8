"""What the charts draw is what the store holds: widths and heights are read back from the page and counted against rows."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from neurath.console import words
from neurath.server.fleet import rollout, waves
from neurath.wire.report import Verdict
from tests.console.fleet import Fleet
from tests.console.serving import visitor


def rows(fleet: Fleet, query: str) -> list[tuple[object, ...]]:
    """What the store holds, asked in its own words."""
    with fleet.store.read() as db:
        return [tuple(row) for row in db.exec_driver_sql(query)]


def test_the_stacked_chart_ends_at_what_the_ledger_counts(client: TestClient, fleet: Fleet) -> None:
    page = client.get("/rollouts/1").text
    chart = re.search(r'<svg class="course".*?</svg>', page, re.DOTALL)
    assert chart
    layers = re.findall(r'<polygon class="a-(\w+)" points="([^"]+)"><title>[^:]+: (\d+)</title>', chart[0])
    ((targets,),) = rows(fleet, "SELECT count(*) FROM terminal WHERE model = 'primehub' AND decommissioned IS NULL")
    ((installed, failed),) = rows(
        fleet,
        "SELECT sum(verdict = 'confirmed'), sum(verdict IN ('failed', 'refused', 'restoration')) FROM ledger "
        "JOIN release ON release.id = ledger.release WHERE release.model = 'primehub' AND release.version = '3.5.0'",
    )
    counts = {tone: int(count) for tone, _, count in layers}
    assert (counts["current"], counts["failed"], sum(counts.values())) == (installed, failed, targets)
    ground = 220.0
    for tone, points, _ in layers:
        # Where the layer's top reaches the right edge; each stands on the one before.
        heights = [float(y) for x, y in (point.split(",") for point in points.split()) if float(x) == 1000.0]
        assert ground - min(heights) == pytest.approx(220.0 * counts[tone] / int(str(targets)), abs=0.2), tone
        ground = min(heights)
    assert ground == pytest.approx(0.0, abs=0.2)


def test_a_bar_of_the_version_histogram_leads_to_as_many_terminals_as_it_says(client: TestClient, fleet: Fleet) -> None:
    page = client.get("/software").text
    bars = re.findall(
        r'<a href="(/terminals\?model=[^"]+)">.*?width="([0-9.]+)" height="8" rx="1"/></svg></td><td class="num">(\d+)',
        page,
        re.DOTALL,
    )
    assert len(bars) >= 4
    most: dict[str, int] = {}
    for link, _, count in bars:
        model = link.split("model=")[1].split("&")[0]
        most[model] = max(most.get(model, 0), int(count))
    for link, width, count in bars:
        found = client.get(html.unescape(link).replace("/terminals?", "/terminals/index.json?")).json()
        assert found["found"] == len(found["lines"]) == int(count), link
        model, image = re.findall(r"(?:model|image)=(\w+)", html.unescape(link))
        if image != "none":
            held = f"terminal.model = '{model}' AND component.bank = '{image}'"
            query = "SELECT count(*) FROM component JOIN terminal ON terminal.n = component.terminal WHERE "
            assert rows(fleet, query + held) == [(int(count),)]
        if int(count):
            assert float(width) == pytest.approx(max(100.0 * int(count) / most[model], 1.5), abs=0.06)


def test_the_finish_on_the_page_is_the_pace_of_what_was_installed_of_late(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    with fleet.store.write() as db:
        made = rollout.create(db, rollout.Plan(new, None, policy=waves.policy("at-once")), fleet.now - 3000)
    for number, ago in enumerate((2000.0, 300.0, 200.0, 100.0, 0.0, 0.0)):
        one = fleet.terminal(f"t{number}", "hub")
        fleet.shows(one, old, ago=2900)
        if ago:
            fleet.verdict(fleet.offered(one, new, old, 8192, ago=2800), Verdict.CONFIRMED, ago=ago)
            fleet.shows(one, new, ago=1)
    with fleet.store.write() as db:
        rollout.move(db, made.id, "start", fleet.now - 3000)
    client = visitor(fleet.store)
    told, page = client.get(f"/rollouts/{made.id}/index.json").json(), client.get(f"/rollouts/{made.id}").text
    fleet.close()
    # Of late is the last third of 3000 s: three came in it, two are left.
    assert told["left"] == 2
    assert told["finish"] - told["now"] == pytest.approx(2 * 1000 / 3, rel=0.1)
    assert re.search(r"All of them run it in about 1[0-2] min", page)


def test_the_bytes_that_deltas_saved_are_those_of_the_files_that_arrived(client: TestClient, fleet: Fleet) -> None:
    ((sent, whole, files),) = rows(
        fleet,
        "SELECT sum(action.size), sum(release.size), count(*) FROM action JOIN release ON release.id = action.release "
        "JOIN ledger ON ledger.action = action.id WHERE action.kind = 'delta' AND ledger.distributed IS NOT NULL",
    )
    told = client.get("/software/index.json").json()["saved"]
    assert (told["sent"], told["whole"], told["files"]) == (sent, whole, files)
    assert told["bytes"] == int(str(whole)) - int(str(sent)) > 0
    for path in ("/", "/software"):
        assert f"<b>{words.amount(told['bytes'])}</b>" in client.get(path).text


def test_the_heat_of_a_sector_is_the_share_of_its_bytes_that_differ(client: TestClient, fleet: Fleet) -> None:
    told = client.get("/terminals/hub-01/index.json").json()
    ((old, new),) = rows(
        fleet,
        "SELECT action.base, release.image FROM action JOIN release ON release.id = action.release "
        "JOIN terminal ON terminal.n = action.terminal WHERE terminal.id = 'hub-01'",
    )
    before, after = fleet.store.files.read(str(old)), fleet.store.files.read(str(new))
    bank = [cell for cell in told["cells"] if cell["role"] == "bank"]
    for place, cell in enumerate(bank):
        span = range(place * 4096, min(place * 4096 + 4096, len(after)))
        other = sum(at >= len(before) or before[at] != after[at] for at in span)
        assert cell["changed"] == (other > 0)
        assert cell["heat"] == pytest.approx(other / max(len(span), 1))
