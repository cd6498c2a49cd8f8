"""The doctor says what is so, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.parts import need
from tests.rigs.verbs import verb


def findings(*words: str | Path) -> dict[str, dict[str, object]]:
    return {str(one["name"]): dict(one) for one in verb("doctor", *words)}


def test_every_limit_has_words_of_its_own() -> None:
    found = findings()
    assert {"core", "clock", "pid namespace", "other users", "limit services", "swap", "notices"} <= found.keys()
    assert found["core"]["good"]
    assert all(one["text"] for one in found.values())


def test_another_pid_namespace_is_seen_and_named() -> None:
    need("root")
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "neurath.cli.main", "doctor"]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=True)
    line = next(line for line in done.stdout.splitlines() if "pid namespace" in line)
    assert line.startswith("LIMIT")
    assert "name a lock file" in line


def test_what_a_setup_cannot_write_is_named(tmp_path: Path) -> None:
    setup = tmp_path / "agent.toml"
    setup.write_text(
        'server = "http://127.0.0.1:9"\nid = "t"\nmodel = "m"\nstate = "state"\n'
        '[[component]]\nname = "tool"\ninstaller = "file"\npath = "/nowhere/at/all/tool"\n'
    )
    found = findings("--setup", setup)
    assert found["state"]["good"]
    assert not found["component tool"]["good"]
    assert not (tmp_path / "state").exists()
