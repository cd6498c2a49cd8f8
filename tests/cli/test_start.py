"""The command starts fast because it loads nothing that was not asked for, and a terminal needs nothing of a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.cli.main import VERBS
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from tests.rigs.verbs import verb as command

#: What makes a start slow, or a terminal install large.
HEAVY = frozenset(
    "alembic bsdiff4 cbor2 cryptography fastapi httpx jinja2 msgspec pydantic "
    "serial smpclient sqlalchemy starlette uvicorn".split()
)


def loaded(code: str) -> set[str]:
    """Top-level names of the modules that this code loads, in a process of its own."""
    names = "{name.partition('.')[0] for name, one in sys.modules.items() if type(one).__name__ != 'Later'}"
    tail = f"\nimport json, sys; print(json.dumps(sorted({names})))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_a_verb_loads_nothing_heavy(verb: str) -> None:
    code = f"""
import contextlib, io
from neurath.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main([{verb!r}, "--help"])
"""
    assert loaded(code) & HEAVY == set()


def test_an_agent_loads_nothing_of_a_server() -> None:
    code = """
import neurath.cli.agent, neurath.terminal.compose, neurath.terminal.install, neurath.terminal.restoration
import neurath.carriers.http, neurath.carriers.serial, neurath.flash.wire
"""
    assert loaded(code) & (HEAVY - {"cbor2", "cryptography"}) == set()


def test_an_agents_first_word_waits_for_nothing_that_only_later_words_need(tmp_path: Path) -> None:
    """bench/start.py says what it costs: modules that only people, a wire, an offer or a list of keys need are not loaded."""
    (tmp_path / "lamp.toml").write_text(model_to_toml(Model(ModelName("lamp"), simple_layout(32768), ram=65536)))
    (tmp_path / "app.bin").write_bytes(bytes(range(256)) * 40)
    command("key", "create", "release", "-o", tmp_path)
    image, envelope, model = tmp_path / "app.bin", tmp_path / "app.env", ("--model", tmp_path / "lamp.toml")
    named = ("--version", "1", "--sequence", "1")
    command("sign", image, *model, *named, "--key", tmp_path / "release.pem", "-o", envelope)
    bank = ("--bank", tmp_path / "t.bank", *model)
    trusted = ("--release-key", tmp_path / "release.pub.pem")
    command("agent", "provision", *bank, "--id", "t", "--image", image, "--envelope", envelope, *trusted)
    words = ["agent", "run", *map(str, bank), "--server", "http://127.0.0.1:9", "--once"]
    code = f"from neurath.cli.main import main\nassert main({words!r}) == 6"
    names = "[name for name, one in sys.modules.items() if type(one).__name__ != 'Later']"
    tail = f"\nimport json, sys; print(json.dumps({names}))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    later = {f"neurath.terminal.{one}" for one in ("people", "asking", "notices", "desk", "restoration", "control", "heart")}
    assert "neurath.terminal.install" in modules
    assert not modules & (later | {"neurath.wire.keylist", "neurath.wire.offer", "neurath.carriers.pty", "cryptography"})
