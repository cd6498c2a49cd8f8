"""Commands in the documents. Those in blocks are run by a test, which is named here: a page with a line that nobody runs is
red. Those in the running text are at least commands, with options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from neurath.cli.main import VERBS
from neurath.cli.tree import tree
from tests.rigs.reader import lines

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    if path.name != "CHANGELOG.md" and path.parent.name != "decisions"
)
FLEET = "tests/sim/test_fleet.py::test_every_terminal_ends_on_the_new_software_through_a_cut_and_a_restoration"
README = {
    "neurath ": "tests/journey/test_readme.py::test_the_commands_by_hand_work_as_they_are_printed",
    "make demo-phone": "tests/sim/test_phone_story.py",
    "make demo": FLEET,
    "make test": "pyproject.toml",
}
#: How the lines of a page's blocks begin -> the test that does the same.
RUN = {
    "README.md": README,
    "README.ja.md": README,
    "docs/tutorial.md": {"": "tests/cli/test_tutorial.py::test_the_tutorial_ends_with_ten_terminals_on_the_new_software"},
    "firmware/README.md": {"make firmware": "tests/firmware/rig.py", "pytest tests/firmware": "tests/firmware"},
}
#: Written by a program from the parsers, whose every example tests/cli/test_help.py reads.
GENERATED = "docs/reference/cli.md"
#: Pages that are read from top to bottom, each command typed.
READ = "docs/how-to"
#: Blocks that begin like a command, and are none.
NONE = {"docs/spec/report.md": "neurath "}
TYPED = re.compile(r"(?:neurath|make|python3?|pytest|pip|bash|sh|curl|sudo|docker|systemctl|apt)\b")
PROSE = re.compile(r"`((?:NEURATH_\w+=\S+ )?(?:neurath|make|python|pytest) [^`\n]+)`")


def typed(page: Path) -> list[str]:
    """What a page's blocks tell people to type."""
    none = NONE.get(str(page), "\0")
    found = [line.text for line in lines((ROOT / page).read_text()) if not line.excuse]
    return [text for text in found if TYPED.match(text) and not text.startswith(none)]


def named(text: str) -> list[str]:
    """What its running text calls a command."""
    return PROSE.findall(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def left(page: Path) -> list[str]:
    """Lines of a page that no test is named for."""
    known = RUN.get(str(page), {})
    return [line for line in typed(page) if not any(line.startswith(begin) for begin in known)]


@pytest.mark.parametrize("page", [page for page in PAGES if str(page) != GENERATED and str(page.parent) != READ], ids=str)
def test_every_line_that_a_page_tells_people_to_type_is_run_by_a_test(page: Path) -> None:
    assert left(page) == []


def test_each_test_that_runs_a_line_is_there() -> None:
    for page, known in RUN.items():
        assert typed(Path(page)), page
        for where in known.values():
            path, _, name = where.partition("::")
            assert (ROOT / path).exists(), where
            assert f"def {name}" in (ROOT / path).read_text() if name else True, where


LEAVES = {" ".join(words): made for words, made in tree()}


def wrong(command: str) -> str:
    """What of a command does not exist, or ""."""
    try:
        words = [word for word in shlex.split(command.replace("...", "")) if not re.match(r"NEURATH_\w+=", word)]
    except ValueError:
        return "cannot be read by a shell"
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return "" if rest[0] in targets else f"no target {rest[0]}"
    if program in ("python", "pytest"):
        paths = [
            word.partition("::")[0] for word in rest if re.search(r"/|\.py\b", word) and not word.startswith(("-", "out/"))
        ]
        return next((f"no {path}" for path in paths[:1] if not (ROOT / path).exists()), "")
    return strange(rest)


def strange(words: list[str]) -> str:
    """What our own parsers do not know of these words."""
    if words[0].startswith("-"):
        return ""
    if words[0] not in VERBS:
        return f"no verb {words[0]}"
    leaf = max((one for one in LEAVES if f"{' '.join(words)} ".startswith(f"{one} ")), key=len)
    known = LEAVES[leaf]._option_string_actions.keys() | {"--json", "--debug"}
    options = [word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--", word)]
    return next((f"{leaf} has no {option}" for option in options if option not in known), "")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_the_running_text_calls_a_command_is_one(page: Path) -> None:
    assert [(one, wrong(one)) for one in named((ROOT / page).read_text()) if wrong(one)] == []


def test_commands_were_found_and_wrong_ones_are() -> None:
    assert sum(len(named((ROOT / page).read_text())) for page in PAGES) > 100
    for command in ("make tea", "python bench/absent.py", "neurath sing", "neurath serve --prot 1", "pytest tests/absent.py"):
        assert wrong(command), command


@pytest.mark.parametrize("target", ["demo ONCE=1", "demo-phone ONCE=1", "test", "quick", "site", "rows"])
def test_what_make_is_told_is_what_the_tests_do(target: str) -> None:
    """The recipe, not run: the command of ours or pytest that it ends in, as it can be parsed."""
    done = subprocess.run(["make", "-n", *target.split()], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    recipe = done.stdout
    if found := re.search(r"-m neurath\.cli\.main (.*)", recipe):
        assert strange(found[1].split()) == ""
    else:
        assert re.search(r"pytest -q|mkdocs build|tools/rows\.py", recipe), recipe
