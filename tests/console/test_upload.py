"""Files dropped on the form in a real browser: how much was sent is shown, it can be called off, and what is wrong with them
is said where they were dropped."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neurath.server.software import catalog
from neurath.wire import manifest
from tests.console import fleet as pretended
from tests.console.browser import Browser, browser
from tests.console.fleet import Fleet
from tests.console.serving import served
from tests.parts import need

pytestmark = pytest.mark.heavy
SOON = 300.0
#: More than the sockets between a browser and a server hold.
LARGE = 48 << 20


class Lock:
    """Stands before a server: while it is shut, no more of a form is taken than its first parts."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, inside: ASGIApp) -> ASGIApp:
        async def through(scope: Scope, receive: Receive, send: Send) -> None:
            parts = 0

            async def slowly() -> Message:
                nonlocal parts
                parts += 1
                while scope["method"] == "POST" and parts > 20 and not self.open.is_set():
                    await asyncio.sleep(0.02)
                return await receive()

            await inside(scope, slowly if scope["type"] == "http" else receive, send)

        return through


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser(need("chromium")) as found:
        found.look(1280, 1000)
        yield found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path / "data", time.time())
    model = found.model("hub", 65536)
    data = pretended.image("hub", "1.1", 40_100)
    (tmp_path / "fw.bin").write_bytes(data)
    (tmp_path / "fw.env").write_bytes(
        manifest.sign(manifest.contents_of(data, model, sequence=2, version="1.1"), pretended.KEY)
    )
    (tmp_path / "other.env").write_bytes(
        manifest.sign(manifest.contents_of(data[:-1], model, sequence=2, version="1.1"), pretended.KEY)
    )
    with (tmp_path / "large.bin").open("wb") as large:
        large.truncate(LARGE)
    yield found
    found.close()


def drop(page: Browser, *files: Path) -> None:
    """As a hand drops files on the form."""
    x, y = page.run(
        "(() => { const r = document.querySelector('form.drop').getBoundingClientRect(); return [r.x + 9, r.y + 9] })()"
    )
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        page.ask("Input.dispatchDragEvent", type=step, x=x, y=y, data=data)


def chosen(page: Browser, name: str) -> str:
    return str(page.run(f"document.querySelector('form.drop [name={name}]').files[0]?.name ?? ''"))


def catalogued(fleet: Fleet) -> list[str]:
    with fleet.store.read() as db:
        return [one.name for one in catalog.list_releases(db)]


def test_dropped_files_are_sent_with_progress_called_off_and_sent_again(
    page: Browser, fleet: Fleet, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock = Lock()
    with served(fleet.store, around=lock) as address:
        page.open(f"{address}software?lang=en")
        drop(page, tmp_path / "large.bin", tmp_path / "fw.env")
        assert (chosen(page, "image"), chosen(page, "envelope")) == ("large.bin", "fw.env")
        assert page.run("document.activeElement.name") == "version"
        page.ask("Input.insertText", text="1.1")
        page.run("document.querySelector('form.drop button').click()")
        page.until(lambda: 0 < page.run("document.querySelector('.sent progress').value") < 1, SOON)
        assert "of 48.0 MiB sent" in page.text(".sent")
        # Nothing is taken now: what was sent stands, and is less than all.
        page.run("document.querySelector('form.drop .cancel').click()")
        page.until(lambda: "Called off: nothing was added." in page.text(".sent"), SOON)
        assert page.run("document.querySelector('.sent progress').value") == 0
        assert page.run("document.querySelector('.cancel').hidden") is True
        lock.open.set()
        assert page.run("document.querySelector('form.drop [name=version]').value") == "1.1"
        drop(page, tmp_path / "fw.bin")
        page.run("document.querySelector('form.drop button').click()")
        page.until(lambda: "hub/1.1 is in the catalog" in page.text("h1"), SOON)
        assert page.run("document.activeElement.id") == "main"
    assert catalogued(fleet) == ["hub/1.1"]
    assert "Traceback" not in capfd.readouterr().err  # a form that is called off is no fault of the server


def test_what_is_wrong_with_dropped_files_is_said_in_the_form_with_its_cause_and_cure(
    page: Browser, fleet: Fleet, tmp_path: Path
) -> None:
    with served(fleet.store) as address:
        page.open(f"{address}software?lang=en")
        drop(page, tmp_path / "fw.bin", tmp_path / "other.env")
        page.ask("Input.insertText", text="1.1")
        page.run("document.querySelector('form.drop button').click()")
        page.until(lambda: page.text(".refused"), SOON)
        said = page.text(".refused").split("\n")
        assert "Not added" in page.text(".sent")
        assert "why" in said
        assert "try" in said
        assert any(line.startswith("NRT-") for line in said)
        assert page.run("document.querySelector('form.drop [name=version]').value") == "1.1"
        assert catalogued(fleet) == []
        drop(page, tmp_path / "fw.env")
        page.run("document.querySelector('form.drop button').click()")
        page.until(lambda: "hub/1.1 is in the catalog" in page.text("h1"), SOON)
        assert "NRT-" not in page.text()
    assert catalogued(fleet) == ["hub/1.1"]


def test_a_server_that_is_gone_is_said_and_what_was_typed_stays(page: Browser, fleet: Fleet, tmp_path: Path) -> None:
    with served(fleet.store) as address:
        page.open(f"{address}software?lang=en")
        drop(page, tmp_path / "fw.bin", tmp_path / "fw.env")
        page.ask("Input.insertText", text="1.1")
    page.run("document.querySelector('form.drop button').click()")
    page.until(lambda: "Not sent: the server does not answer." in page.text(".sent"), SOON)
    assert page.run("document.querySelector('form.drop [name=version]').value") == "1.1"
    assert catalogued(fleet) == []
