"""An agent that waits holds little: what its setup does not use is not loaded, and its memory is close to a bare Python's."""

import json
import os
import subprocess
import sys

import pytest

SETUP = """server = "http://127.0.0.1:9"
id = "t"
model = "m"
state = "state"
push = false
notify = false
[[component]]
name = "tool"
installer = "file"
path = "tool"
"""
#: What a client of a server over TLS loads in any case.
PEER = "import argparse, asyncio, dataclasses, http.client, json, ssl"
RESIDENT = "int(open('/proc/self/statm').read().split()[1])"
AGENT = f"""import json, sys
from neurath.cli.main import main
main(["agent", "run", "--setup", sys.argv[1], "--once"])
print(json.dumps([{RESIDENT}, sorted(sys.modules)]))"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, set[str]]:
    """(resident pages, modules) after a first, vain session."""
    place = tmp_path_factory.mktemp("small")
    (place / "tool").write_bytes(b"software")
    (place / "agent.toml").write_text(SETUP)
    words = [sys.executable, "-c", AGENT, str(place / "agent.toml")]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(words, check=True, capture_output=True, timeout=120, env=env)  # byte code is made once
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120, env=env)
    pages, modules = json.loads(done.stdout.splitlines()[-1])
    return pages, set(modules)


def test_what_a_setup_does_not_use_is_not_loaded(loaded: tuple[int, set[str]]) -> None:
    _, modules = loaded
    unused = {"cryptography", "asyncio", "tarfile", "zipfile", "tempfile", "sqlite3"}
    unused |= {f"neurath.terminal.{one}" for one in ("heart", "install", "restoration", "control", "memory.services")}
    unused |= {"neurath.wire.keys", "neurath.flash.signature", "neurath.carriers.ears", "neurath.terminal.software.debian"}
    assert not modules & unused


def test_an_agent_at_rest_is_little_larger_than_a_bare_client(loaded: tuple[int, set[str]]) -> None:
    """Aim: 25 MB; bench/agent.py prints what is reached. Here: not half as much again as a program that does nothing."""
    words = [sys.executable, "-c", f"{PEER}\nprint({RESIDENT})"]
    peer = int(subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert loaded[0] < 1.4 * peer
