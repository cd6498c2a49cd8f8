"""What the documents tell people to type are commands, and the files they show can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from neurath.cli.main import VERBS, parser
from neurath.flash.geometry import model_from_toml
from tests.rigs.reader import commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    for line in commands(page.read_text()):
        words = shlex.split(line)
        assert words[1] in VERBS, line
        parser(words[1]).parse_args([word for word in words[2:] if word not in ("--json", "--debug")])


def test_pages_with_commands_were_found() -> None:
    assert sum(len(commands(page.read_text())) for page in PAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_model_on_a_page_is_one(page: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        assert model_from_toml(text).layout.bank_size > 0
