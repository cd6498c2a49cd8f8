"""A run writes its part of a page of figures and no more of it; a claim of a benchmark rests on all that it is made of."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from bench.page import put

ROOT = Path(__file__).resolve().parents[2]
PAGE = "# Page\n\n<!-- run: a -->\nold\n<!-- end: a -->\n\nby hand\n\n<!-- run: b -->\n<!-- end: b -->\n"


def test_a_run_writes_its_part_and_leaves_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    put(page, "a", ["one", "", "two"])
    put(page, "b", ["three"])
    once = page.read_text()
    assert once == PAGE.replace("old", "one\n\ntwo").replace("b -->\n<", "b -->\nthree\n<")
    put(page, "a", ["one", "", "two"])
    assert page.read_text() == once
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        PAGE.replace("<!-- end: a -->", ""),
        PAGE.replace("<!-- run: a -->", ""),
        PAGE + PAGE,
        PAGE.replace("old", "<!-- run: a -->"),
        "<!-- end: a -->\n<!-- run: a -->\n",
    ],
    ids=["no marks", "no end", "no begin", "twice", "begun twice", "the wrong way round"],
)
def test_a_page_whose_marks_are_in_doubt_stays_as_it_is(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(SystemExit, match="nothing was written"):
        put(page, "a", ["new"])
    assert page.read_text() == text


def made_of(program: str) -> set[str]:
    """A program of bench/ and the files of bench/ that it needs, as far as imports and names of files say."""
    found, left = set(), [program]
    while left:
        file = left.pop()
        if file in found:
            continue
        found.add(file)
        if not file.endswith(".py"):
            continue
        text = (ROOT / file).read_text()
        for node in ast.walk(ast.parse(text)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            files = [f"bench/{name}.py" for name in names]
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+\.\w+", node.value):
                files.append(f"bench/{node.value}")
            left += [name for name in files if (ROOT / name).exists()]
    return found


def test_a_claim_of_a_benchmark_rests_on_all_that_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    claims = [
        (claim, re.findall(r"bench/\w+\.py", claim.command.replace("make bench-delta", "bench/delta.py")))
        for claim in import_module("assurance").Table.read().claims
    ]
    assert sum(1 for _, programs in claims if programs) >= 4
    for claim, programs in claims:
        needs = set().union(*map(made_of, programs))
        assert needs <= set(claim.rests_on), f"{claim.name} does not rest on {sorted(needs - set(claim.rests_on))}"


@pytest.mark.parametrize("program", ["server", "trickle", "change", "delta"])
def test_every_part_that_a_program_writes_has_its_marks(program: str) -> None:
    parts = re.findall(r'\bput\((?:args\.write|page), "(\w+)"', (ROOT / f"bench/{program}.py").read_text())
    assert parts, "it writes no page"
    pages = [path.read_text() for path in (ROOT / "docs/assurance").glob("*.md")]
    for part in parts:
        assert sum(f"<!-- run: {part} -->\n" in page and f"<!-- end: {part} -->\n" in page for page in pages) == 1, part
