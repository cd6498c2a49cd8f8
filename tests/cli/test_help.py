"""The help of every verb and command: at most 40 lines on a screen of 80 columns, with an example that can be parsed."""

from __future__ import annotations

import argparse
import shlex

import pytest

from neurath.cli.main import Parser, main, parser
from neurath.cli.tree import tree

EVERY = list(tree())


@pytest.mark.parametrize(("words", "made"), EVERY, ids=[" ".join(words) for words, _ in EVERY])
def test_help_fits_a_screen_and_ends_with_an_example_that_can_be_typed(
    words: list[str], made: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = made.format_help().splitlines()
    assert len(lines) <= 40
    at = next(n for n, line in enumerate(lines) if line.startswith("example: neurath "))
    typed = shlex.split(" ".join(lines[at:]).removeprefix("example: ").split(" > ")[0])
    assert typed[1] == words[0]
    parser(typed[1]).parse_args([word for word in typed[2:] if word != "--json"])


def test_a_usage_of_many_options_names_those_that_are_needed() -> None:
    made = Parser(prog="neurath x")
    made.add_argument("--needed", required=True)
    for n in range(9):
        made.add_argument(f"--option-{n}")
    usage = made.format_usage()
    assert "[options]" in usage
    assert "--needed" in usage
    assert "--option-1" not in usage


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rolout", "neurath rollout"),
        ("rollout crate", "neurath rollout create"),
        ("rollout create --release a/1 --alll", "--all"),
        ("rollout create --release a/1 --al", "--all"),
        ("delta create a b -o c --profile smal", "--profile small"),
        ("station run --stock s --port p --onse", "--once"),
    ],
)
def test_who_mistypes_a_word_is_told_what_he_may_have_meant(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert f"did you mean `{meant}`?" in said[2]


def test_where_nothing_is_near_the_help_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollout", "create", "--release", "a/1", "--xyzzy"]) == 2
    assert capsys.readouterr().err.endswith("try   neurath rollout create --help\n")
