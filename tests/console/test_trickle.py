"""The console's page of what is on its way, in a real browser: figures, life, a reminder from its button, Japanese."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neurath.server.delivery.sightings import Sighting
from neurath.server.fleet import access, progress
from neurath.server.software import catalog
from neurath.wire.report import Phase
from tests.console.browser import Browser, browser
from tests.console.fleet import Fleet
from tests.console.serving import served
from tests.parts import need

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        yield found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path, time.time())
    model = found.model("hub", 65536)
    old, new = found.release(model, "1.0", 1, 40_000), found.release(model, "1.1", 2, 40_100)
    found.actions = []  # type: ignore[attr-defined]
    for name, ago in (("near", 5.0), ("mute", 9000.0)):
        terminal = found.terminal(name, "hub", heard=ago)
        found.shows(terminal, old, ago=ago)
        with found.store.write() as db:
            db.exec_driver_sql("UPDATE component SET stage = 1000000")
        found.actions.append(found.offered(terminal, new, old, 8192, ago=86_400))  # type: ignore[attr-defined]
    yield found
    found.close()


def confirmed(fleet: Fleet, held: int) -> None:
    action = fleet.actions[0]  # type: ignore[attr-defined]
    with fleet.store.write() as db:
        progress.trickled(db, action, held, 200, time.time())
    fleet.delivery.sightings.note(action.terminal, Sighting("mobile ip", "10.0.0.5 care of 192.0.2.77", time.time()))
    fleet.delivery.flush()


def test_progress_network_priority_and_day_are_on_the_page_and_follow_the_ledger(page: Browser, fleet: Fleet) -> None:
    confirmed(fleet, 2048)
    with fleet.store.write() as db:
        catalog.set_priority(db, "hub/1.1", 7)
    with served(fleet.store, fleet.delivery.why) as address:
        page.look(1280)
        page.open(address + "trickle")
        line = page.text("#run-DEFAULT-near-firmware")
        assert "25 %" in line
        assert "11 of 41 pieces" in line
        assert "pieces of 200 bytes" in line
        assert "priority 7" in line
        assert "2.0 KiB of 8.0 KiB" in line
        assert "mobile ip" in line
        assert "10.0.0.5 care of 192.0.2.77" in line
        assert time.strftime("%Y-%m-%d", time.gmtime(time.time() + 3 * 86_400)) in line
        assert "stalled" not in line
        assert "stalled" in page.text("#run-DEFAULT-mute-firmware")
        page.run("window.untouched = true")
        confirmed(fleet, 4096)
        page.until(lambda: "50 %" in page.text("#run-DEFAULT-near-firmware"))
        assert page.run("window.untouched") is True
        fleet.report(fleet.actions[0], Phase.WAITING_FOR_USER, done=8192, ago=0, reason="asked, no answer yet")  # type: ignore[attr-defined]
        page.until(lambda: "whole, waiting for the user" in page.text("#run-DEFAULT-near-firmware"))
        page.open(address + "trickle?lang=ja")
        assert "配信中" in page.text("h1")
        assert "停滞" in page.text("#run-DEFAULT-mute-firmware")
        page.open(address + "trickle?lang=en")
        assert page.complaints() == []
        assert [url for url in page.requests() if not url.startswith(address)] == []


def test_the_button_reminds_the_user_of_that_terminal(page: Browser, fleet: Fleet) -> None:
    confirmed(fleet, 2048)
    with served(fleet.store, fleet.delivery.why) as address:
        page.open(address + "trickle")
        page.run("document.querySelector('#run-DEFAULT-near-firmware button').click()")
        page.until(lambda: "The user of near will be reminded" in page.text())
        page.open(address + "trickle")
        assert "reminder not fetched yet" in page.text("#run-DEFAULT-near-firmware")
        foreign = httpx.post(address + "terminals/near/remind", headers={"Origin": "http://evil.example"}, trust_env=False)
        assert foreign.status_code == 403
    with fleet.store.read() as db:
        assert [e.kind for e in progress.timeline(db, access.find(db, "near").n)].count("reminded") == 1


def test_an_empty_page_says_how_to_fill_it(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    with served(fleet.store, fleet.delivery.why) as address:
        assert "neurath agent run --trickle" in httpx.get(address + "trickle", trust_env=False).text
        assert httpx.get(address + "trickle/index.json", trust_env=False).json()["terminals"] == []
    fleet.close()
