"""Every link of every document leads somewhere, and the documents become a site by one command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "firmware/README.md"]
LINK = re.compile(r"(?<!`)\]\(<?([^)\s>]+)>?\)|<img[^>]+src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [next(filter(None, found)) for found in LINK.findall(re.sub(r"`[^`\n]*`", "", text))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for link in links(page):
        if not re.match(r"[a-z]+:|#", link):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_links_were_found() -> None:
    assert sum(len(links(page)) for page in PAGES) > 200


def test_the_site_is_built_and_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "-q", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    for page in ("index", "tutorial", "glossary", "how-to/keys", "reference/cli"):
        text = (tmp_path / "site" / f"{page}.html").read_text()
        assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?://[^\" >]+", text) == []
