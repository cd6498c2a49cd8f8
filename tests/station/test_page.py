"""The station's web page says what its screen says, from this machine alone, and takes a label from nobody else's page."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName
from neurath.station import records
from neurath.station.desk import Desk, Job
from neurath.station.machine import Verdict
from neurath.station.page import Page
from neurath.station.stock import Index, Stock
from tests.station.bench import at_work
from tests.station.device import Device
from tests.station.rig import Rig

SMALL = Model(ModelName("phone"), simple_layout(8192, sector=4096, group=4096, leaf=4096), ram=65536)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    stock = Stock(tmp_path / "stock")
    stock.keep(Index())
    made = Page(Desk(Job(stock), [str(tmp_path / "a"), str(tmp_path / "<b>")]), "127.0.0.1", 0)
    yield made
    made.close()


def asked(page: Page, path: str, body: bytes | None = None, **heads: str) -> str:
    request = urllib.request.Request(page.url + path, body, heads)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        return str(answer.read().decode())


def test_the_page_is_whole_by_itself_and_escapes_what_it_shows(page: Page) -> None:
    text = asked(page, "/")
    assert text.count("PLUG IN") == 2
    assert "Safe to unplug now?" in text
    assert "<b>" not in text.replace("<b>Safe", "")
    assert "<strong>YES</strong>" in text
    assert "&lt;b&gt;" in text
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text) == []
    assert "http-equiv=refresh" in text  # readable with JavaScript off
    twin = json.loads(asked(page, "/state.json"))
    assert [one["unplug"] for one in twin["ports"]] == ["yes", "yes"]


def test_a_label_comes_from_this_page_alone(page: Page) -> None:
    assert "label: lab-3" in asked(page, "/label", b"label=lab-3", Origin=page.url)
    for heads in ({"Origin": "http://elsewhere.example"}, {"Host": "rebound.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            asked(page, "/label", b"label=lab-4", **heads)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        asked(page, "/label", b"label=" + b"x" * 9999)
    assert page.desk.label == "lab-3"


def test_a_terminal_plugged_in_is_seen_on_the_page_and_counted_for_the_shift(tmp_path: Path, page: Page) -> None:
    desk = page.desk
    device = Device(SMALL, buffer=1024, name="=lab-7")
    device.break_it()
    wire = Rig(device, tmp_path / "a")
    try:
        with at_work(desk), urllib.request.urlopen(page.url + "/events", timeout=120) as stream:
            for line in stream:
                if b"NO RELEASE" in line:
                    break
    finally:
        wire.close()
    assert desk.shift == {Verdict.NO_RELEASE: 1}
    assert "1 no release for it in the stock" in asked(page, "/")
    table = asked(page, "/records.csv").splitlines()
    assert table[0] == ",".join(records.FIELDS)
    assert len(table) == 2
    assert ",'=lab-7,phone," in table[1]  # a spreadsheet runs no formula of ours
    sheet = asked(page, "/records.txt")
    assert "1 terminals: 1 no release" in sheet
    assert "Name ____" in sheet
