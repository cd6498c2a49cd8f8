"""What a page is drawn with lies under addresses that name its content: kept for ever, never mixed with another version's."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import pytest

from neurath.console import assets
from neurath.server.fleet.access import Enrolment, register
from tests.console.browser import browser
from tests.console.fleet import Fleet
from tests.console.serving import served, visitor
from tests.parts import need

SOON = 300.0


def test_every_asset_is_kept_for_ever_under_an_address_that_names_its_content(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    client = visitor(fleet.store)
    found = re.findall(r'(?:href|src)="/(static/[^"]+)"', client.get("/").text)
    assert sorted(place.rpartition("/")[2] for place in found) == ["console.css", "console.js", "ship.svg"]
    for place in found:
        answer = client.get("/" + place)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(answer.content).hexdigest()[:16] == place.split("/")[1]
        # Another version's address gives nothing, rather than this version's script.
        for other in (place.replace(place.split("/")[1], "0" * 16), "static/" + place.rpartition("/")[2]):
            assert client.get("/" + other).status_code == 404
    assert client.get("/").headers["Cache-Control"] == "no-store"
    fleet.close()


@pytest.mark.heavy
def test_an_open_page_takes_the_script_of_an_upgraded_server_with_its_page_and_not_while_somebody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, time.time())
    with browser(need("chromium")) as page, served(fleet.store) as address:
        page.open(address)
        page.until(lambda: "not" not in page.text("#pulse"), SOON)
        old = page.run("document.querySelector('script[src]').getAttribute('src')")
        page.run("""(() => { window.asked = 0; const take = window.fetch; window.fetch = (...all) => take(...all).then(
          (answer) => answer.clone().text().then(() => { window.asked += 1; return answer; }));
          const field = document.createElement("input"); field.id = "mine"; field.value = "half a word";
          document.querySelector("main").append(field); field.focus(); })()""")
        newer = {place: data + b"\n" for place, data in assets.shelf().items()}
        renamed = {
            f"static/{hashlib.sha256(data).hexdigest()[:16]}/{place.split('/')[2]}": data for place, data in newer.items()
        }
        monkeypatch.setattr(assets, "shelf", lambda: renamed)
        assets.address.cache_clear()

        def change(name: str) -> None:
            with fleet.store.write() as db:
                register(db, Enrolment(name), time.time())

        try:
            change("first")
            page.until(lambda: page.run("window.asked") >= 2, SOON)
            assert page.run("document.querySelector('#mine').value") == "half a word"
            page.run("document.querySelector('#mine').blur()")
            change("second")
            page.until(lambda: page.run("window.asked") is None and "second" in page.text("#terminal-lines"), SOON)
            assert page.run("document.querySelector('script[src]').getAttribute('src')") != old
        finally:
            monkeypatch.undo()
            assets.address.cache_clear()
    fleet.close()
