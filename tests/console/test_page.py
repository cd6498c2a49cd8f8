"""The console in a real browser: it is live, it is whole on a closed network, it is light, it reads in Japanese."""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neurath.server.fleet.access import Enrolment, register
from neurath.wire.report import Phase, Verdict
from tests.console.browser import Browser, browser
from tests.console.fleet import Fleet
from tests.console.serving import served
from tests.parts import absent, need

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        yield found


@pytest.fixture
def page(started: Browser) -> Browser:
    started.open("about:blank")  # a page left open asks its server again and again
    started.ask("Network.clearBrowserCookies")
    started.events.clear()
    return started


@pytest.fixture(scope="module")
def console(fleet: Fleet) -> Iterator[str]:
    with served(fleet.store, fleet.delivery.why) as address:
        yield address


def test_progress_in_the_ledger_appears_on_an_open_page_without_reload(page: Browser, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    terminal = fleet.terminal("t1", "hub", heard=1)
    fleet.shows(terminal, old, ago=1)
    with served(fleet.store, fleet.delivery.why) as address:
        page.look(1280)
        page.open(address)
        page.run("window.untouched = true")
        page.until(lambda: "live" in page.text("#pulse") and "not" not in page.text("#pulse"))
        assert "older release" in page.text("#line-DEFAULT-t1")
        fleet.now = time.time()
        action = fleet.offered(terminal, new, old, 8192, ago=4)
        fleet.report(action, Phase.DOWNLOADING, done=2048, ago=3)
        fleet.report(action, Phase.DOWNLOADING, done=4096, ago=0)
        page.until(lambda: "4.0 KiB of 8.0 KiB" in page.text("#line-DEFAULT-t1"))
        assert "receiving" in page.text("#line-DEFAULT-t1")
        assert "3 s left" in page.text("#line-DEFAULT-t1")
        fleet.report(action, Phase.UPDATING, done=8192, ago=0)
        page.until(lambda: "rewriting" in page.text("#line-DEFAULT-t1"))
        assert "confirmed" not in page.text("#line-DEFAULT-t1")
        fleet.verdict(action, Verdict.CONFIRMED, ago=0)
        fleet.shows(terminal, new, ago=0)
        page.until(lambda: "up to date" in page.text("#line-DEFAULT-t1"))
        assert page.text("h1") == "The one terminal runs the newest release"
        assert page.run("window.untouched") is True
    page.until(lambda: "not live" in page.text("#pulse"))
    fleet.close()


def test_the_matrix_follows_a_terminal_through_every_step_on_an_open_page(page: Browser, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    terminal, other = fleet.terminal("t1", "hub", heard=1), fleet.terminal("t2", "hub", heard=1)
    for one in (terminal, other):
        fleet.shows(one, old, ago=1)
    with served(fleet.store, fleet.delivery.why) as address:
        page.look(1280)
        page.open(f"{address}/matrix?model=hub" if not address.endswith("/") else f"{address}matrix?model=hub")
        page.run("window.untouched = true")
        page.until(lambda: "live" in page.text("#pulse") and "not" not in page.text("#pulse"))
        assert page.text("#matrix").count("undistributed") == 2
        assert "0 % on the newest" in page.text("#matrix")
        fleet.now = time.time()
        action = fleet.offered(terminal, new, old, 8192, ago=4)
        page.until(lambda: "told" in page.text("#matrix tbody"))
        fleet.report(action, Phase.DOWNLOADING, done=4096, ago=0)
        page.until(lambda: "4.0 KiB of 8.0 KiB" in page.text("#matrix tbody"))
        fleet.report(action, Phase.DOWNLOADED, done=8192, ago=0)
        page.until(lambda: "distributed" in page.text("#matrix tbody tr:first-child"))
        fleet.verdict(action, Verdict.CONFIRMED, ago=0)
        fleet.shows(terminal, new, ago=0)
        page.until(lambda: "installed" in page.text("#matrix tbody tr:first-child"))
        assert "50 % on the newest" in page.text("#matrix")
        assert "undistributed" in page.text("#matrix tbody tr:last-child")
        assert page.run("window.untouched") is True
    fleet.close()


def test_no_request_leaves_the_machine_and_nothing_is_refused(page: Browser, console: str) -> None:
    for path in ("", "?lang=ja", "terminals/hub-01", "terminals/hub-10", "matrix?model=primehub"):
        page.open(console + path)
    assert len(page.requests()) > 8
    assert [url for url in page.requests() if not url.startswith(console)] == []
    assert page.complaints() == []


def test_the_first_page_weighs_little_and_no_more_for_a_larger_fleet(page: Browser, tmp_path: Path) -> None:
    weights = []
    for count in (60, 1000):
        fleet = Fleet(tmp_path / str(count), time.time())
        fleet.model("hub", 65536)
        with fleet.store.write() as db:
            for n in range(count):
                register(db, Enrolment(f"t{n:04}", "hub"), time.time())
        with served(fleet.store) as address, httpx.Client(trust_env=False) as client:
            page.open(address)
            page.until(lambda: "not" not in page.text("#pulse"))  # everything it needs is there
            asked = {url for url in page.requests() if url.startswith(address) and not url.endswith("/live")}
            assert {url.rpartition("/")[2] for url in asked} >= {"", "console.css", "console.js"}
            weights.append(sum(len(gzip.compress(client.get(url).content)) for url in asked))
            shown = page.run("document.querySelectorAll('*').length")
        fleet.close()
    assert max(weights) <= 200 * 1024
    assert max(weights) - min(weights) < 1024, weights
    assert shown < 2000


def test_every_state_is_colour_shape_and_word(page: Browser, console: str) -> None:
    page.look(1280)
    page.open(console)
    seen = page.run(
        """[...document.querySelectorAll("td .badge")].map(b => [b.innerText.trim(),
           b.querySelector("use").getAttribute("href"), getComputedStyle(b).color])"""
    )
    distinct = {tuple(one) for one in seen}
    words, shapes = {word for word, _, _ in distinct}, {shape for _, shape, _ in distinct}
    assert len(distinct) == len(words) == len(shapes) == 10
    assert all(page.run(f"!!document.querySelector('symbol{shape}')") for shape in shapes)


CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => { for (; node; node = node.parentElement) {
    const seen = rgb(getComputedStyle(node).backgroundColor); if (seen[3] === 255) return seen; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim());
    if (!own || node.closest("svg, noscript, .skip") || !node.offsetParent) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(node.className + " " + node.innerText.slice(0, 30) + " " + ratio.toFixed(2));
  }
  return bad;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("path", ["", "terminals/hub-10", "terminals/nobody", "matrix?model=primehub"])
def test_words_stand_out_by_4_5_to_1_in_light_and_dark(page: Browser, console: str, dark: bool, path: str) -> None:
    page.look(1280, dark=dark)
    page.open(console + path)
    assert page.text("h1")
    page.run('document.querySelectorAll("details").forEach(d => d.open = true)')
    assert page.run(CONTRAST) == []


def test_nothing_runs_out_of_a_narrow_screen(page: Browser, console: str) -> None:
    page.look(360)
    for path in ("", "terminals/hub-workshop", "matrix?model=primehub"):
        page.open(console + path)
        assert page.run("document.documentElement.scrollWidth") <= 360


def test_japanese_is_drawn_as_japanese(page: Browser, console: str) -> None:
    page.open(console + "?lang=ja")
    assert page.run("document.documentElement.lang") == "ja"
    assert page.text("h1") == "18 台中 6 台が最新版で動作中"
    assert "修復待ち" in page.text("#terminal-lines")
    if not subprocess.run([need("fc-list"), ":lang=ja"], capture_output=True, check=True).stdout.strip():
        absent("no Japanese font is on this machine (apt: fonts-noto-cjk)")
    # A font without the glyph draws every unknown letter alike; these two must differ.
    drawn = page.run(
        """(() => { const draw = (t) => { const c = document.createElement("canvas"); c.width = c.height = 40;
           const x = c.getContext("2d"); x.font = "30px " + getComputedStyle(document.body).fontFamily; x.fillText(t, 2, 32);
           return c.toDataURL(); }; return [draw("端"), draw("最"), draw("\\u{10fffd}")]; })()"""
    )
    assert len(set(drawn)) == 3


def test_keys_reach_everything_and_the_first_leads_to_the_figures(page: Browser, console: str) -> None:
    page.look(1280)
    page.open(console)
    press = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
    names = []
    for _ in range(60):
        page.ask("Input.dispatchKeyEvent", type="keyDown", **press)
        page.ask("Input.dispatchKeyEvent", type="keyUp", **press)
        names.append(page.run("document.activeElement.innerText || document.activeElement.name || ''"))
    assert names[0] == "Skip to the figures"
    assert {"日本語", "hub-workshop", "q"} <= {name.strip() for name in names}
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
