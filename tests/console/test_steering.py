"""A rollout from the keyboard alone, and one watched while 200 terminals update: what the page says is what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from neurath.carriers.http import Place
from neurath.server.fleet import rollout
from neurath.sim.crowd import LightTerminal
from neurath.wire import manifest
from tests.console import fleet as pretended
from tests.console.browser import Browser, browser
from tests.console.fleet import Fleet
from tests.console.serving import served
from tests.journey.site import Site
from tests.parts import need
from tests.rigs.verbs import verb
from tests.server.world import KEY, World, image

pytestmark = pytest.mark.heavy
#: Seconds that anything may take on a machine that has much else to do.
SOON = 300.0
COUNT = 200
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        found.look(1280, 800)
        yield found


def press(page: Browser, key: str) -> None:
    more = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
    words = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
    page.ask("Input.dispatchKeyEvent", type="keyDown", **words, **more)
    page.ask("Input.dispatchKeyEvent", type="keyUp", **words)


def walk_to(page: Browser, selector: str) -> None:
    """Tab by Tab to a part of the page, as far as it is reached at all."""
    for _ in range(120):
        if page.run(f"document.activeElement.matches({json.dumps(selector)})"):
            assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
        press(page, "Tab")
    raise AssertionError(f"no key leads to {selector}")


def test_software_is_uploaded_rolled_out_and_halted_by_keys_alone(page: Browser, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "data", time.time())
    model = fleet.model("hub", 65536)
    old = fleet.release(model, "1.0", 1, 40_000)
    fleet.shows(fleet.terminal("t1", "hub", heard=1), old, ago=1)
    data = pretended.image("hub", "1.1", 40_100)
    (tmp_path / "fw.bin").write_bytes(data)
    (tmp_path / "fw.env").write_bytes(
        manifest.sign(manifest.contents_of(data, model, sequence=2, version="1.1"), pretended.KEY)
    )
    with served(fleet.store, fleet.delivery.why) as address:
        page.open(address)
        walk_to(page, "a[href$='/software']")
        press(page, "Enter")
        page.until(lambda: page.text("h1") == "Software", SOON)
        walk_to(page, "input[name=version]")
        page.ask("Input.insertText", text="1.1")
        # What stands for the window in which a person picks a file; all else is keys.
        root = page.ask("DOM.getDocument")["root"]["nodeId"]
        for name, file in (("image", "fw.bin"), ("envelope", "fw.env")):
            node = page.ask("DOM.querySelector", nodeId=root, selector=f"input[name={name}]")["nodeId"]
            page.ask("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / file)])
        walk_to(page, "form.drop button")
        press(page, "Enter")
        page.until(lambda: "hub/1.1 is in the catalog" in page.text("h1"), SOON)
        walk_to(page, ".onward a")
        press(page, "Enter")
        page.until(lambda: page.run("document.querySelector('[name=release]')?.value") == "hub/1.1", SOON)
        walk_to(page, "#new button")
        press(page, "Enter")
        page.until(lambda: "running" in page.text("h1"), SOON)
        assert "0 of 1 run it" in page.text("#figure")
        walk_to(page, "form[action$='/pause'] button")
        press(page, "Enter")
        page.until(lambda: "paused" in page.text("h1"), SOON)
        walk_to(page, "form[action$='/resume'] button")
    with fleet.store.read() as db:
        assert [one.state for one in rollout.all_rollouts(db)] == ["paused"]
    fleet.close()


#: Notes what the open page shows, each time it changes: how many run the release, and of each terminal how wide its track is,
#: whether it is whole, and its word.
WATCH = """(() => { window.seen = []; const look = () => { const lines = {};
    for (const row of document.querySelectorAll("tr[id^=line-]")) { const fills = [...row.querySelectorAll(".track .fill")];
      if (fills.length) lines[row.id] = [fills.reduce((sum, one) => sum + one.width.baseVal.value, 0), fills.length === 5,
        row.querySelector(".said b")?.innerText ?? ""]; }
    const figure = document.querySelector("#rollout-lines p.dim").innerText;
    window.seen.push([Number(figure.match(/^\\d+/)[0]), lines]); };
  look(); new MutationObserver(look).observe(document.querySelector("main"), {subtree: true, childList: true}); })()"""


def test_a_rollout_is_watched_live_while_200_terminals_update_and_every_figure_is_theirs(
    page: Browser, tmp_path: Path
) -> None:
    site = Site(tmp_path, serve=("--check-ins", "5000"))
    try:
        (tmp_path / "2.bin").write_bytes(image(2))
        (tmp_path / "2.env").write_bytes(site.seal(image(2), 2))
        given = ("--model", "phone", "--version", "2", "--envelope", tmp_path / "2.env", *site.data)
        verb("image", "add", tmp_path / "2.bin", *given)
        (tmp_path / "all.csv").write_text("id,model\n" + "".join(f"l{number:03},phone\n" for number in range(COUNT)))
        tokens = {one["id"]: one["token"] for one in verb("terminal", "import", tmp_path / "all.csv", *site.data)}
        says = World.says(None, image(1))  # type: ignore[arg-type]  # it needs nothing of a world
        crowd = [LightTerminal(Place(site.url, name, token), says, [KEY.public]) for name, token in tokens.items()]
        verb("rollout", "create", "--release", "phone/2", "--all", "--start", *site.data)
        page.open(f"{site.url}/?lang=en")
        page.run(WATCH)
        with ThreadPoolExecutor(6) as pool:
            for _ in pool.map(LightTerminal.session, crowd):
                pass
        took = [one for one in crowd if [record.version for record in one.records] == ["2"]]
        assert len(took) == COUNT, [one.faults for one in crowd if one not in took][:3]
        page.until(lambda: f"{COUNT} of {COUNT + 1} run it" in page.text("#rollout-lines"), SOON)
        seen = page.run("window.seen")
        assert page.text("h1") == f"{COUNT} of {COUNT + 1} terminals run the newest release"
        told = httpx.get(f"{site.url}/rollouts/1/index.json", trust_env=False, timeout=SOON).json()
        page.open(f"{site.url}/rollouts/1")
        assert page.text("#figure") == f"{COUNT} of {COUNT + 1} run it"
    finally:
        site.end()
    assert told["flow"]["installed"][-1] == told["rollout"]["confirmed"] == COUNT
    assert told["saved"]["sent"] == sum(record.size for one in crowd for record in one.records)
    counts = [count for count, _ in seen]
    assert counts == sorted(counts)
    assert counts[-1] == COUNT
    last: dict[str, float] = {}
    for _, lines in seen:
        for name, (width, whole, word) in lines.items():
            assert width >= last.get(name, 0.0), name
            assert whole == (word == "confirmed"), (name, word)
            last[name] = width
