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
        words = ["node", str(script), str(running.port), "unit", "2"]
        environment = {"NODE_PATH": str(folder / "node_modules"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and '"op"' not in line]
    assert said[0]["registered"].startswith("rd/"), done.stdout + done.stderr
    assert said[-1] == {"ended": True}
    updates = [[base64.b64decode(value) for value in one["wrote"]] for one in said if "update" in one]
    # One write after each Update until all is there, and none after the last piece.
    assert [len(wrote) for wrote in updates] == [1] * (len(updates) - 2) + [0, 0]
    wrote = [data for (data,) in updates[:-2]]
    firsts = [trickle.decode_reply(data).first for data in wrote]
    assert sorted(set(firsts)) == list(range(stream.plan.count))
    # A busy server may meet an Update before the answer to the write ahead of it, and brings that piece again.
    assert firsts == sorted(firsts)
    assert stream.plan.count <= running.registry.written <= len(firsts) <= stream.plan.count + 4
    assert running.registry.sessions == {}, "it deregistered"
    session = Session(Ram(1 << 20))
    complete = next((done for data in wrote if (done := session.accept(data).complete)), None)
    assert complete is not None
    assert complete.file == digest(FILE)
    assert {seen.terminal for seen in shelf.seen} == {"unit"}
