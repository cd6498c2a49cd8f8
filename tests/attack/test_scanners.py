"""Debian's own tools of attack against a server of ours: sqlmap looks for a query that believes what it is sent, slowhttptest
holds connections open. What finds nothing is shown to find something: a hole of the test's own."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurath.server.device import Policy
from neurath.server.fleet import rollout
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from tests.parts import ASSURANCE, need
from tests.server.test_http import Client, Running, serving

pytestmark = pytest.mark.heavy
#: How much sqlmap tries of each place, and how many places.
THOROUGH = ["--level", "3", "--risk", "2"] if ASSURANCE else ["--level", "1", "--risk", "1", "--technique", "BE"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Running, Client]]:
    with serving(tmp_path / "data", Policy(300)) as running:
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        release = add(running.world.store, Upload(b"package" * 100, "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
        client = running.enrol("t1", "lab")
        with running.world.store.write() as db:
            rollout.move(db, rollout.create(db, Plan(release, None), 0.0).id, "start", 0.0)
        client.ask("PUT", "configData", {"data": {"hw": "1"}})
        assert client.link("deploymentBase")
        yield running, client


def sqlmap(folder: Path, url: str, *more: str) -> str:
    """What it says of the places that are marked with a star."""
    need("sqlmap")
    words = ["sqlmap", "--batch", "--disable-coloring", "--flush-session", "--output-dir", str(folder), "--ignore-code", "*"]
    words += ["--timeout", "60", "--threads", "2", "--smart"] if not ASSURANCE else ["--timeout", "60"]
    done = subprocess.run([*words, *THOROUGH, "-u", url, *more], capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


PLACES = [
    ("/DEFAULT/controller/v1/t1*", ()),
    ("/DEFAULT/controller/v1/t1/deploymentBase/1*?actionHistory=1*", ()),
    ("/DEFAULT/controller/v1/t1/configData", ("--method", "PUT", "--data", '{"data":{"hw":"1*"}}')),
    ("/DEFAULT/controller/v1/t1/softwaremodules/1*/artifacts/a.swu*", ()),
    ("/api/v1/terminals?model=lab*", ()),
    ("/api/v1/releases/lab*", ()),
]


@pytest.mark.timeout(7200 if ASSURANCE else 300)
@pytest.mark.parametrize("place", PLACES if ASSURANCE else PLACES[1:2], ids=lambda place: place[0])
def test_sqlmap_finds_nothing(site: tuple[Running, Client], tmp_path: Path, place: tuple[str, tuple[str, ...]]) -> None:
    running, client = site
    shown = ("-H", f"Authorization: TargetToken {client.token}") if "controller" in place[0] else ()
    kind = ("-H", "Content-Type: application/json") if place[1] else ()
    said = sqlmap(tmp_path / "map", f"http://127.0.0.1:{running.port}{place[0]}", *shown, *kind, *place[1])
    assert "injection point" not in said
    assert "not appear to be injectable" in said or "not injectable" in said, said[-2000:]


@contextlib.contextmanager
def hole() -> Iterator[int]:
    """A server whose query is made of what it is sent."""
    store = sqlite3.connect(":memory:", check_same_thread=False)
    store.executescript("CREATE TABLE t (id TEXT, n INT); INSERT INTO t VALUES ('t1', 1), ('t2', 2);")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = urllib.parse.unquote(self.path.rpartition("=")[2])
            try:
                status, body = 200, repr(store.execute(f"SELECT n FROM t WHERE id = '{asked}'").fetchall())
            except sqlite3.Error as fault:
                status, body = 500, f"sqlite3.OperationalError: {fault}"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"<html><body>found {body}</body></html>".encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.timeout(300)
def test_sqlmap_finds_a_hole_where_there_is_one(tmp_path: Path) -> None:
    with hole() as port:
        assert "injection point" in sqlmap(tmp_path / "map", f"http://127.0.0.1:{port}/t?id=t1*", "--dbms", "sqlite")


@pytest.mark.timeout(600)
def test_slowhttptest_holds_nothing_open_and_the_server_answers_meanwhile(
    site: tuple[Running, Client], tmp_path: Path
) -> None:
    need("slowhttptest")
    running, client = site
    url = f"http://127.0.0.1:{running.port}{client.base}"
    count, length = (240, 120) if ASSURANCE else (100, 60)
    bodies, heads = ("-B", "-t", "PUT", "-u", f"{url}/configData"), ("-H", "-u", url)
    for mode in (bodies, heads) if ASSURANCE else (bodies,):
        words = ["slowhttptest", *mode, "-c", str(count), "-i", "2", "-r", "100", "-l", str(length), "-p", "30", "-x", "8"]
        done = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        answered = 0
        while done.poll() is None:
            assert client.ask("GET", "").status == 200
            answered += 1
        assert done.stdout is not None
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.read())
        assert answered > 5
        # Whoever was slow was shut before it gave up by itself.
        assert "No open connections left" in said, said[-1500:]
