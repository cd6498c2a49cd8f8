"""What a shell offers at Tab is what the parsers and the store say: asked of the real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.cli.completion import SCRIPTS, candidates
from neurath.cli.main import main
from neurath.cli.tree import tree
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from tests.parts import need

#: How each shell is made to say what it would offer for a line that it was given word by word.
ASKED = {
    "bash": 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _neurath; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": 'compdef() { }; source "$1"; shift; compadd() { shift; print -l -- "$@" }; _files() { print FILES }; '
    'words=("$@"); CURRENT=$#; _neurath',
    "fish": 'source $argv[1]; complete -C "$argv[2..-1]" | string split -f1 \\t',
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model and three terminals."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "phone.toml").write_text(model_to_toml(Model(ModelName("phone"), simple_layout(65536), ram=65536)))
    place = ["--data", str(folder / "data")]
    assert main(["model", "add", str(folder / "phone.toml"), *place]) == 0
    for name in ("lab-1", "lab-2", "shop-1"):
        assert main(["terminal", "add", name, "--model", "phone", *place]) == 0
    return folder / "data"


def words(line: list[str]) -> list[str]:
    return [word for word, _ in candidates(line)]


def test_verbs_commands_options_and_choices_come_from_the_parsers() -> None:
    assert {"terminal", "station", "sim"} <= set(words([""]))
    assert words(["sta"]) == ["station"]
    assert "why" in words(["terminal", ""])
    assert words(["terminal", "wh"]) == ["why"]
    assert "--dry-run" in words(["rollout", "create", "--"])
    assert words(["delta", "create", "--profile", ""]) == ["large", "small", "quick", "tiny"]
    assert words(["agent", "answer", "recorder", "t"]) == ["tonight"]
    assert words(["sing", ""]) == []
    assert words(["sign", "app"]) == []


def test_every_option_of_every_command_is_offered() -> None:
    for line, made in tree():
        options = {name for action in made._actions for name in action.option_strings if name.startswith("--")}
        assert options <= set(words([*line, "--"])), line


def test_ids_are_those_of_the_store_that_the_line_names(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words(["terminal", "why", "--data", str(store), "lab"]) == ["lab-1", "lab-2"]
    monkeypatch.setenv("NEURATH_DATA", str(store))
    assert words(["terminal", "show", ""]) == ["lab-1", "lab-2", "shop-1"]
    assert words(["terminal", "add", "new", "--model", ""]) == ["phone"]
    assert words(["gateway", "add", "osaka", "lab-1", "sh"]) == ["shop-1"]
    monkeypatch.setenv("NEURATH_DATA", "/nowhere")
    assert words(["terminal", "show", ""]) == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_real_shell_offers_the_same(shell: str, store: Path, tmp_path: Path) -> None:
    need(shell)
    command = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{command}:{os.environ['PATH']}", "NEURATH_DATA": str(store), "HOME": str(tmp_path)}
    script = tmp_path / "script"
    with script.open("w") as out:
        subprocess.run([command / "neurath", "completion", shell], stdout=out, env=env, check=True, timeout=60)
    for line in (["terminal", "wh"], ["terminal", "why", "lab"], ["delta", "create", "--pro"]):
        asked = [shell, "-c", ASKED[shell], *(["_"] if shell != "fish" else []), str(script), "neurath", *line]
        done = subprocess.run(asked, capture_output=True, text=True, env=env, check=False, timeout=60)
        assert (done.stdout.split(), done.stderr) == (words_in(env, line), "")


def words_in(env: dict[str, str], line: list[str]) -> list[str]:
    asked = [sys.executable, "-m", "neurath.cli.main", "completion", "words", "--", *line]
    done = subprocess.run(asked, capture_output=True, text=True, env=env, check=True, timeout=60)
    assert done.stdout
    return [said.partition("\t")[0] for said in done.stdout.splitlines()]
