"""The command starts fast because it loads nothing that was not asked for, and a terminal needs nothing of a server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from neurath.cli.main import VERBS

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
