"""The heat on the memory map is that of the flash: what a real rewrite erased, and no word more than is known of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurath.console.heat import differing
from neurath.delta import build
from neurath.delta.simulate import target, terminal
from neurath.flash.geometry import simple_layout
from neurath.server.fleet import progress
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Key
from neurath.wire.report import Phase, Verdict
from tests.console.fleet import Fleet, image
from tests.console.serving import visitor


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path, time.time())
    yield found
    found.close()


def offered(fleet: Fleet) -> Action:
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    one = fleet.terminal("t1", "hub")
    fleet.shows(one, old)
    return fleet.offered(one, new, old, 8192, ago=60)


def test_the_sectors_marked_on_the_page_are_those_a_real_rewrite_erased(fleet: Fleet) -> None:
    action, layout = offered(fleet), simple_layout(65536)
    old, new = image("hub", "1.0", 40_000), image("hub", "1.1", 40_100)
    nor, core = terminal(old, layout)
    bank = [at for span in layout.bank for at in range(span.base, span.base + span.length, 4096)]
    before = {at: nor.erases(at) for at in bank}
    delta = build(old, new, layout)
    core.rewrite(delta.data, target(new, delta.data, layout), delta.ram_needed(layout, staged_in_ram=False))
    core.confirm()
    assert core.bank_bytes(len(new)) == new
    erased = {at for at in bank if nor.erases(at) > before[at]}
    assert 0 < len(erased) < len(bank)
    for phase in (Phase.DOWNLOADING, Phase.UPDATING):
        fleet.report(action, phase, done=8192)
    fleet.verdict(action, Verdict.CONFIRMED)
    told = visitor(fleet.store).get("/terminals/t1/index.json").json()
    assert {cell["address"] for cell in told["cells"] if cell["changed"]} == erased
    assert told["rewrite"] == "done"
    page = visitor(fleet.store).get("/terminals/t1").text
    assert page.count('<rect class="c-bank hot') == len(erased)
    assert f"Sectors the last rewrite changed: {len(erased)} of {len(bank)}, by the images" in page


def by_wire(fleet: Fleet, action: Action) -> None:
    fleet.verdict(action, Verdict.RESTORATION)
    with fleet.store.write() as db:
        progress.note(db, Key.of(action), "wire", "restored: 1.1 (station bench, record r1)", fleet.now)


@pytest.mark.parametrize(
    ("done", "words", "marked"),
    [
        (lambda _f, _a: None, "No rewrite of it was seen here", False),
        (lambda f, a: f.report(a, Phase.DOWNLOADING, done=8192), "No rewrite of it was seen here", False),
        (lambda f, a: f.report(a, Phase.UPDATING, done=8192), "How many are done is not reported.", True),
        (lambda f, a: f.verdict(a, Verdict.RESTORATION), "Which it reached is not reported.", True),
        (lambda f, a: f.verdict(a, Verdict.REFUSED), "No rewrite of it was seen here", False),
        (by_wire, "which sectors that took is not reported", False),
    ],
)
def test_no_more_is_said_of_a_rewrite_than_is_known(
    fleet: Fleet, done: Callable[[Fleet, Action], None], words: str, marked: bool
) -> None:
    done(fleet, offered(fleet))
    page = visitor(fleet.store).get("/terminals/t1").text
    assert words in page
    assert ('class="c-bank hot' in page) == marked
    assert ("· unchanged" in page) == marked


def test_sectors_beyond_the_new_image_are_not_touched() -> None:
    layout = simple_layout(16384)
    start = layout.bank[0].base
    assert differing(layout, bytes(16384), bytes(4096) + b"\x01") == {start + 4096: 1.0}
