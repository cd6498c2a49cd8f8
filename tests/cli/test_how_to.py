"""What the documents tell people to type are commands, and the files they show can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from neurath.cli.main import VERBS, main, parser
from neurath.flash.geometry import model_from_toml, model_to_toml
from neurath.server.fleet import access, actions, progress
from neurath.server.fleet.actions import Draft
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.wire import manifest
from neurath.wire.keys import public_pem, write_private
from tests.server.world import KEY, MODEL, image

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]


def commands(page: str) -> list[str]:
    """Every `neurath VERB ...` line of the page's blocks, continued lines joined, remarks cut off."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.removesuffix("&").strip() for line in lines if line.startswith("neurath ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    for line in commands(page.read_text()):
        words = shlex.split(line)
        assert words[1] in VERBS, line
        parser(words[1]).parse_args([word for word in words[2:] if word not in ("--json", "--debug")])


def test_the_page_about_fleets_does_what_it_says_from_top_to_bottom(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("phone.toml").write_text(model_to_toml(MODEL))
    Path("key.pem").write_bytes(public_pem(KEY.public))
    Path("new.bin").write_bytes(image(2))
    Path("new.env").write_bytes(manifest.sign(manifest.contents_of(image(2), MODEL, sequence=2), KEY))
    Path("list.csv").write_text("id,model\n" + "".join(f"T-000{n},phone\n" for n in range(1, 6)))
    Path("app-1.bin").write_bytes(image(1))
    Path("app-1.env").write_bytes(manifest.sign(manifest.contents_of(image(1), MODEL, sequence=1), KEY))
    write_private(Path("release.pem"), KEY)
    before = ["model add phone.toml --release-key key.pem", "image add new.bin --model phone --version 2.0 --envelope new.env"]
    before += ["image add app-1.bin --model phone --version 1.0 --envelope app-1.env"]
    page = commands((ROOT / "docs/how-to/fleet.md").read_text())
    assert len(page) > 12
    for line in [f"neurath {words}" for words in before] + page:
        wanted = 5 if line.startswith("neurath rollout back") and "--dry-run" in line else 0  # nothing is signed yet
        assert main(shlex.split(line)[1:]) == wanted, line + capsys.readouterr().err
        if line.startswith("neurath rollout approve"):
            _installs(Store(tmp_path / "neurath-data"), "T-0003")


def _installs(store: Store, name: str) -> None:
    """The part of a terminal: it had 1.0, was given 2.0 by rollout 1, and runs it."""
    with store.write() as db:
        old, new = (catalog.find_release(db, f"phone/{version}") for version in ("1.0", "2.0"))
        found = access.find(db, name)
        db.execute(components.insert().values(terminal=found.n, name="firmware", bank=new.image, sequence=2, checked=1.0))
        given = Draft(found.n, "firmware", new.id, 1, "delta", new.image, new.size, base=old.image)
        progress.offered(db, actions.open_action(db, given, 1.0), 1.0)
    store.close()


def test_the_page_about_operations_does_what_it_says_from_top_to_bottom(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model", "add", "--plain", "lab", "--data", "neurath-data"]) == 0
    page = commands((ROOT / "docs/how-to/operations.md").read_text())
    assert len(page) > 3
    for line in page:
        if not line.startswith("neurath serve "):  # deploy/ and the tests of servers have it
            # There is nothing to prune yet.
            wanted = 3 if " prune " in line else 0
            assert main(shlex.split(line)[1:]) == wanted, line + capsys.readouterr().err


def test_pages_with_commands_were_found() -> None:
    assert sum(len(commands(page.read_text())) for page in PAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_model_on_a_page_is_one(page: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        assert model_from_toml(text).layout.bank_size > 0
