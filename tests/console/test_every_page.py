"""Every page of the console in a real browser, once started: light and dark, wide and narrow, English and Japanese. Nothing
runs out of the screen, no word is missing, no request leaves the machine, axe-core finds nothing against WCAG AA (on one
screen of each page in each language, by a fixed rotation; on all of them in `make assurance`), every page can be read with
scripts off, and the main pages look as they are kept in looks.json. Pictures of what axe saw go to out/screens."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from neurath.console import japanese, sheet
from neurath.console.pages import Desk, routes
from neurath.server.store import Store
from tests.console.browser import Browser, browser
from tests.console.fleet import every_state
from tests.console.looks import KEPT, LOOKS, NOON, far, grid
from tests.console.serving import served
from tests.parts import need
from tests.rigs import axe

pytestmark = [pytest.mark.heavy, pytest.mark.network]

PAGES = [path[1:] for path, _ in sheet.PAGES]
PAGES += ["rollouts/1", "terminals/hub-10", "terminals/nobody", "matrix?model=primehub", "deltas?model=primehub"]
PAGES += ["keys", "audit", "set-up"]
WIDE, NARROW = (1280, 800), (390, 844)
LANGUAGES, LOOKS_EACH = ("en", "ja"), tuple(itertools.product((WIDE, NARROW), (False, True)))
WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
SCREENS = Path(__file__).resolve().parents[2] / "out/screens"
#: What a page says only where its script runs.
RUNNING = re.compile(r"^(not )?live$| ago$|^just now$")
ONLY_LIVE = {"Drop the image and its envelope anywhere on this form."}
AXE = """axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
  resultTypes: ["violations"]}).then(found => found.violations.flatMap(
    one => one.nodes.map(node => one.id + " " + node.target.join(" ") + " " + (node.any[0]?.message ?? ""))))"""


class Noting(dict[str, str]):
    """A dictionary that notes what was looked for in vain."""

    def __init__(self, words: dict[str, str]) -> None:
        super().__init__(words)
        self.missed: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        if key not in self:
            self.missed.add(key)
        return super().get(key, default)


@pytest.fixture(scope="module")
def words() -> Iterator[Noting]:
    with pytest.MonkeyPatch.context() as patch:
        noting = Noting(japanese.JAPANESE)
        patch.setattr("neurath.console.words.JAPANESE", noting)
        yield noting


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, words: Noting) -> Iterator[str]:
    fleet = every_state(tmp_path_factory.mktemp("fleet"), NOON)
    # The clock stands still: what is drawn over time is the same whenever it is drawn.
    with served(fleet.store, fleet.delivery.why, lambda: NOON + 1) as address:
        yield address
    fleet.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        yield found


@pytest.fixture
def page(started: Browser) -> Browser:
    started.open("about:blank")  # a page left open asks its server again and again
    started.events.clear()
    return started


def keep(page: Browser, name: str) -> None:
    """The screen as it stands, as an artefact."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    shot = page.ask("Page.captureScreenshot", format="jpeg", quality=60)
    (SCREENS / f"{name}.jpg").write_bytes(base64.b64decode(shot["data"]))


#: What is no page: a stream, files, and addresses that lead to another one.
NO_PAGES = {"/live", "/static/{path:path}", "/sign-in", "/oidc/start", "/oidc/callback"}


def test_no_page_of_the_console_is_left_out_here(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = [
        route for route in routes(Desk(store, lambda *_: "")) if isinstance(route, Route) and "GET" in (route.methods or ())
    ]
    pages = {route.path: route.path_regex for route in found if not route.path.endswith("/index.json")}
    store.close()
    assert pages.keys() >= NO_PAGES
    seen = ["/" + path.partition("?")[0] for path in PAGES]
    assert [path for path in pages.keys() - NO_PAGES if not any(pages[path].match(one) for one in seen)] == []


@pytest.mark.parametrize("path", PAGES)
def test_every_page_can_be_read_by_everybody_on_every_screen_in_both_languages(
    page: Browser, console: str, words: Noting, path: str
) -> None:
    script, wrong, number = axe.source(), [], PAGES.index(path)
    for turn, language in enumerate(LANGUAGES):
        name = f"{path.replace('/', '-').replace('?model=', '-') or 'overview'}-{language}"
        page.look(*WIDE)
        page.open(f"{console}{path}{'&' if '?' in path else '?'}lang={language}")
        assert page.run("document.documentElement.lang") == language
        page.run(script + "; 0")
        for look, ((width, height), dark) in enumerate(LOOKS_EACH):
            page.look(width, height, dark=dark)
            mood = "dark" if dark else "light"
            if page.run("document.documentElement.scrollWidth") > width:
                wrong.append(f"{name}: runs out of {width}")
            # Of a page, one look in English and the opposite one in Japanese; the next page has the next.
            if WHOLE or look == (number + 2 * turn) % len(LOOKS_EACH):
                wrong += [f"{name} {width} {mood}: {one}" for one in page.run(AXE)]
                keep(page, f"{name}-{width}-{mood}")
    assert wrong == []
    assert words.missed == set()
    assert [url for url in page.requests() if not url.startswith((console, "data:"))] == []
    assert [said for said in page.complaints() if "404" not in said] == []


def test_an_empty_console_can_be_read_by_everybody(page: Browser, tmp_path: Path) -> None:
    script, wrong, store = axe.source(), [], Store(tmp_path)
    empty = [path for path in PAGES if "/" not in path and "?" not in path]
    turns = itertools.cycle(itertools.product(LANGUAGES, LOOKS_EACH))
    with served(store) as address:
        for path, (language, (size, dark)) in zip(empty, turns, strict=False):
            page.look(*size, dark=dark)
            page.open(f"{address}{path}?lang={language}")
            page.run(script + "; 0")
            name = f"{path or 'overview'} {language} {size[0]} {'dark' if dark else 'light'}"
            if page.run("document.documentElement.scrollWidth") > size[0]:
                wrong.append(f"{name}: runs out")
            wrong += [f"{name}: {one}" for one in page.run(AXE)]
    store.close()
    assert wrong == []


def test_every_page_draws_the_same_words_without_its_script(page: Browser, console: str) -> None:
    page.look(*WIDE)
    for path in PAGES:
        url = f"{console}{path}{'&' if '?' in path else '?'}lang=en"
        lively = page.drawn(url)
        page.look(*WIDE, scripts=False)
        still = page.drawn(url)
        page.look(*WIDE)
        assert "Reload the page for newer figures." in still - lively, path
        # What only the script does is said only where it runs.
        assert {line for line in lively - still if not RUNNING.search(line)} <= ONLY_LIVE, path


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_the_main_pages_look_as_they_should(page: Browser, console: str, name: str) -> None:
    path, size, dark = LOOKS[name]
    seen = grid(page, console + path, size, dark)
    assert far(seen, json.loads(KEPT.read_text())[name]) == ""
