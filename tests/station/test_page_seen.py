"""The station's web page in a real browser, before real terminals on their wires: six steps, the cable pulled in each, two
ports at once, the wrong device; whether it is safe to unplug is answered at every moment, axe-core finds nothing in any."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurath.station import line
from neurath.station.desk import Desk, Job
from neurath.station.page import Page
from neurath.station.stock import Stock
from tests.console.browser import Browser, browser
from tests.parts import need
from tests.rigs import axe
from tests.station.bench import NEW, Wire, at_work, broken, stocked
from tests.station.rig import boots

pytestmark = [pytest.mark.heavy, pytest.mark.network]
SOON = 300.0
#: Notes what every port says, each time it says something else.
WATCH = """(() => { window.seen = []; const look = () => window.seen.push(
    [...document.querySelectorAll("section")].map((one) => one.innerText));
  look(); new MutationObserver(look).observe(document.querySelector("main"), {childList: true}); })()"""
AXE = """axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}).then(
  (found) => found.violations.flatMap((one) => one.nodes.map((node) => one.id + " " + node.html)))"""


@pytest.fixture(scope="module")
def view() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        yield found


@contextmanager
def station(stock: Stock, *ports: Path) -> Iterator[Page]:
    """A station at work, and its page."""
    desk = Desk(Job(stock), [str(port) for port in ports])
    page = Page(desk, "127.0.0.1", 0)
    try:
        with at_work(desk):
            yield page
    finally:
        page.close()


def opened(view: Browser, page: Page) -> None:
    view.look(1280, 800)
    view.open(page.url + "/")
    view.run(axe.source() + "; 0")
    view.run(WATCH)


def shows(view: Browser, *words: str, port: int = 1) -> str:
    """What a port says once it says all of this; it can be read by everybody, on any screen."""
    selector = f"section:nth-of-type({port})"
    view.until(lambda: all(word in view.text(selector) for word in words), SOON)
    found = view.text(selector)
    assert view.run(AXE) == []
    view.look(390, 844)
    assert view.run("document.documentElement.scrollWidth") <= 390
    view.look(1280, 800)
    return found


def step(view: Browser) -> str:
    return str(view.run("document.querySelector('li[aria-current]').innerText"))


def test_six_steps_are_seen_and_a_cable_pulled_in_each_ends_in_a_restored_terminal(
    view: Browser, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANSWER", "QUICK", "SLOW", "VERDICT"):  # as long as a held step is looked at
        monkeypatch.setattr(line, name, 600.0)
    stock, port = stocked(tmp_path / "stock"), place / "a"
    with station(stock, port) as page:
        opened(view, page)
        assert "unplug now? YES" in shows(view, "PLUG IN")
        assert step(view) == "Connect"

        wire = Wire(broken(), port)
        wire.pull()
        wire.held = "identify"
        wire.plug()
        assert "unplug now? WAIT" in shows(view, "WHO IS IT")
        assert step(view) == "Identify"
        wire.pull()
        shows(view, "PLUG IN")

        # The image can be read when it is written to: a pipe holds the choice up.
        image = stock.path(stock.index().entries[0].image)
        os.mkfifo(place / "pipe")
        whole = image.rename(place / "whole")
        (place / "pipe").rename(image)
        wire.held = "write"
        wire.plug()
        shows(view, "CHOOSING", "lab-07")
        assert step(view) == "Choose"
        wire.pull()
        with image.open("wb", buffering=0) as pipe:
            whole.rename(image)
            pipe.write(NEW)
        shows(view, "PLUG IN")

        wire.plug()
        view.until(lambda: view.run("document.querySelector('progress')?.value > 0"), SOON)
        assert "unplug now? NO" in shows(view, "WRITING", "lab-07", "1.6")
        assert step(view) == "Write"
        wire.pull()
        assert "unplug now? NO" in shows(view, "PLUG IN", "it was unplugged before it was done")

        wire.held = "judge"
        wire.plug()
        assert "unplug now? WAIT" in shows(view, "JUDGING")
        assert step(view) == "Judge"
        wire.pull()
        shows(view, "PLUG IN")
        wire.held = ""
        wire.plug()
        assert "unplug now? YES" in shows(view, "RESTORED")
        assert step(view) == "Unplug"
        assert view.run("getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(20, 105, 47)"
        wire.pull()
        assert "unplug now? YES" in shows(view, "PLUG IN")
        assert "1 restored" in view.text("#shift")
        said = [text for texts in view.run("window.seen") for text in texts]
    assert len(said) > 8
    assert [text for text in said if not any(f"unplug now? {word}" in text for word in ("YES", "NO", "WAIT"))] == []
    assert [text for text in said if "100 %" in text] == []
    assert wire.device.bank(len(NEW)) == NEW
    assert boots(wire.device)
    assert [url for url in view.requests() if not url.startswith((page.url, "data:"))] == []


def test_two_ports_at_once_and_the_wrong_device_are_told_apart_on_the_page(view: Browser, tmp_path: Path, place: Path) -> None:
    stock = stocked(tmp_path / "stock")
    with station(stock, place / "a", place / "b") as page:
        opened(view, page)
        left, right = Wire(broken("lab-07"), place / "a"), Wire(broken("lab-08"), place / "b")
        assert "lab-07" in shows(view, "RESTORED")
        assert "lab-08" in shows(view, "RESTORED", port=2)
        right.pull()
        shows(view, "PLUG IN", port=2)
        copy = Wire(broken("lab-07"), place / "b")
        assert "unplug now? YES" in shows(view, "WRONG DEVICE", "one of the two is a copy", port=2)
        copy.pull()
        shows(view, "PLUG IN", port=2)
        # A scanner types, and Enter is enough.
        view.run("window.before = true; document.querySelector('[name=label]').focus()")
        view.ask("Input.insertText", text="lab-10")
        view.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        view.until(lambda: not view.run("window.before") and "label: lab-10" in view.text("#shift"), SOON)
        view.run(axe.source() + "; 0")
        wrong = Wire(broken("lab-09"), place / "b")
        assert "lab-10" in shows(view, "WRONG DEVICE", port=2)
        wrong.pull()
        shows(view, "PLUG IN", port=2)
        meant = Wire(broken("lab-10"), place / "b")
        shows(view, "RESTORED", "lab-10", port=2)
        twin = json.loads(view.run("fetch('/state.json').then((answer) => answer.text())"))
        assert [one["terminal"] for one in twin["ports"]] == ["lab-07", "lab-10"]
        meant.pull()
        left.pull()
    for untouched in (copy, wrong):
        assert untouched.device.bank(len(untouched.device.old)) == untouched.device.old
    for restored in (left, right, meant):
        assert restored.device.bank(len(NEW)) == NEW
