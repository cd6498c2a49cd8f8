"""Flags before the environment before the file before an option's own default, and `neurath config show` says which it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurath.cli.main import main, parser, unsettled
from neurath.cli.settings import LASTING, every, sources
from neurath.cli.tree import below


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody has set anything: no variable of ours, an empty home."""
    import os

    for name in [name for name in os.environ if name.startswith("NEURATH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "neurath/neurath.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def port(*words: str) -> int:
        return int(parser("serve").parse_args(words).port)

    assert port() == 8642
    written(tmp_path, 'data = "/srv/n"\n[serve]\nport = 7001\nplug-and-play = true\n')
    assert port() == 7001
    monkeypatch.setenv("NEURATH_SERVE_PORT", "7002")
    assert port() == 7002
    assert port("--port", "7003") == 7003
    told = parser("serve").parse_args([])
    assert told.plug_and_play is True
    assert (told.data, told.sleep) == (Path("/srv/n"), 300)
    assert parser("model").parse_args(["list"]).data == Path("/srv/n")


def test_what_is_set_need_not_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURATH_STATION_STOCK", "/var/stock")
    monkeypatch.setenv("NEURATH_STATION_SERVER", "http://here")
    told = parser("station").parse_args(["sync"])
    assert (told.stock, told.server) == (Path("/var/stock"), "http://here")
    monkeypatch.setenv("NEURATH_TOKEN", "t")
    assert parser("agent").parse_args(["run"]).token == "t"
    assert parser("terminal").parse_args(["add", "t-1", "--model", "m"]).token == ""


def test_config_show_names_each_value_and_who_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, 'database = "postgresql://neurath:word@db/n"\n[carrier-mqtt]\ntoken = "secret"\n')
    monkeypatch.setenv("NEURATH_AGENT_POLL", "2.5")
    assert main(["config", "show", "--json"]) == 0
    said = {line["setting"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert said["database"] == {
        "setting": "database", "value": "postgresql://neurath:...@db/n", "origin": f"file {file}"
    }  # fmt: skip
    assert said["carrier-mqtt.token"]["value"] == "(set)"
    assert said["agent.poll"] == {"setting": "agent.poll", "value": "2.5", "origin": "environment NEURATH_AGENT_POLL"}
    assert said["serve.port"] == {"setting": "serve.port", "value": "8642", "origin": "default"}
    assert main(["config", "show", "--set"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["config", "show", "nothing"]) == 3


@pytest.mark.parametrize(
    ("name", "value", "file"),
    [
        ("NEURATH_SERVE_PORT", "eighty", ""),
        ("NEURATH_SERVE_PIECE", "201", ""),
        ("NEURATH_SERVE_PLUG_AND_PLAY", "perhaps", ""),
        ("NEURATH_CONFIG", "/nowhere/neurath.toml", ""),
        ("", "", "[serve]\nprot = 1\n"),
        ("", "", "[sevre]\nport = 1\n"),
        ("", "", "dta = 1\n"),
        ("", "", "serve = 1\n"),
        ("", "", "no toml"),
    ],
)
def test_what_is_no_setting_is_refused_and_says_where_it_stands(
    name: str, value: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name:
        monkeypatch.setenv(name, value)
    place = written(tmp_path, file) if file else ""
    assert main(["config", "show"]) in (1, 2, 4)
    said = capsys.readouterr().err
    assert (name or str(place)) in said
    assert len(said.splitlines()) == 3


def test_every_option_of_a_lasting_command_with_one_value_is_a_setting() -> None:
    names = {one.name.rpartition(".")[2] for one in every(sources({}))}
    taken_each_time = {"dry-run", "once", "kill-at", "label", "release", "reason", "accept-keys", "observe", "drain", "help"}
    for words in LASTING:
        for path, command in below([words[0]], unsettled(words[0])):
            if tuple(path[: len(words)]) == words:
                for action in command._actions:
                    for option in action.option_strings:
                        once = type(action).__name__ in ("_StoreAction", "_StoreTrueAction") and action.nargs in (None, 0)
                        assert not once or option[:2] != "--" or option[2:] in names | taken_each_time, (path, option)
