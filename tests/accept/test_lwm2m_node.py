"""A third-party LwM2M client (npm lwm2m-node-lib) registers, updates, and takes one piece after each Update; the stream that
it was written assembles to the file."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from neurath.ids import digest
from neurath.sim.corpus import cache
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import trickle
from tests.carriers.lwm2m_site import served
from tests.contracts.riding import Shelf, Stream
from tests.parts import absent, need

PACKAGE = "lwm2m-node-lib@1.4.0"
SCRIPT = Path(__file__).parent / "lwm2m/client.js"
FILE = bytes(range(256)) * 10


def library() -> Path:
    """The folder in which node finds the client: from the cache, or from its registry by npm, which runs no script of it."""
    folder = cache() / "npm" / PACKAGE.replace("@", "-")
    if not (folder / "node_modules/lwm2m-node-lib/package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = [need("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
        done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            absent(f"{PACKAGE} could not be had: {(done.stderr.strip().splitlines() or ['npm failed'])[-1][:120]}")
    return folder


@pytest.mark.heavy
@pytest.mark.network
def test_a_node_client_takes_a_piece_after_each_update_and_the_file_is_whole(tmp_path: Path) -> None:
    need("node")
    folder = library()
    stream = Stream(FILE)
    shelf = Shelf([stream], most=1)
    script = tmp_path / "client.js"
    script.write_text(SCRIPT.read_text())
    with served(shelf, text=True) as running:
        words = ["node", str(script), str(running.port), "unit", str(stream.plan.count + 2)]
        environment = {"NODE_PATH": str(folder / "node_modules"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and '"op"' not in line]
    assert said[0]["registered"].startswith("rd/"), done.stdout + done.stderr
    assert said[-1] == {"ended": True}
    wrote = [base64.b64decode(one["wrote"]) for one in said if one.get("wrote")]
    # One write after each Update until all is there, and none after the last piece.
    assert [trickle.decode_reply(data).first for data in wrote] == list(range(stream.plan.count))
    assert [one["wrote"] is None for one in said if "update" in one][-2:] == [True, True]
    assert running.registry.written == stream.plan.count
    assert running.registry.sessions == {}, "it deregistered"
    session = Session(Ram(1 << 20))
    complete = [session.accept(data).complete for data in wrote][-1]
    assert complete is not None
    assert complete.file == digest(FILE)
    assert {seen.terminal for seen in shelf.seen} == {"unit"}
