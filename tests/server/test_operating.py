"""What whoever runs a server asks of it: figures over all its processes, health, a log that programs read, an upgrade that
loses nobody's check-in."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import text
from starlette.types import Receive, Scope, Send

from neurath.errors import RefusedError
from neurath.server.door import Door
from neurath.server.fleet import access
from neurath.server.fleet.access import Enrolment
from neurath.server.metrics import BOUNDS, PLANES, Board, lines
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.rigs.postgres import Postgres
from tests.server.served import Served, serve
from tests.server.test_http import Client

TOKEN = "0" * 32
LINE = re.compile(r'neurath_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (\+Inf|inf|-?[0-9.e+-]+)')


def page(port: int) -> dict[str, float]:
    """The metrics page, read as strictly as Prometheus does."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request("GET", "/metrics")
    answer = link.getresponse()
    assert (answer.status, answer.getheader("content-type", "").partition(";")[0]) == (200, "text/plain")
    found = {}
    for line in answer.read().decode().splitlines():
        if not line.startswith("# "):
            assert LINE.fullmatch(line), line
            name, _, value = line.rpartition(" ")
            assert name not in found, f"{name} twice"
            found[name] = float(value)
    link.close()
    return found


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A data directory with terminals t0 to t3 that have said what they are."""
    return furnished(tmp_path / "data")


@pytest.fixture
def emptied(postgresql: Postgres) -> Iterator[str]:
    """A PostgreSQL that is thrown away."""
    url = postgresql.database()
    yield url
    postgresql.drop(url)


def furnished(data: Path, url: str = "") -> Path:
    store = Store(data, url)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        for n in range(4):
            access.register(db, Enrolment(f"t{n}", "lab", token=TOKEN), 0.0)
            access.configure(db, access.find(db, f"t{n}"), {"hw": "1"}, 0.0)
    store.close()
    return data


def test_every_process_answers_for_all_of_them_and_one_that_begins_again_counts_on(lab: Path) -> None:
    with serve(lab, "--workers", "2") as served:
        before = page(served.port)
        assert before["neurath_workers"] == 2
        for n in range(60):
            assert Client(served.port, TOKEN, f"t{n % 4}").ask("GET", "").status == 200
        assert Client(served.port, "wrong", "t0").ask("GET", "").status == 401
        for _ in range(4):  # whichever process is asked
            after = page(served.port)
            assert after['neurath_requests_total{plane="device",code="2xx"}'] == 60
            assert after['neurath_requests_total{plane="device",code="4xx"}'] == 1
        assert after['neurath_request_seconds_count{plane="device"}'] == 61
        assert after["neurath_terminals"] == 4
        assert after["neurath_database_up"] == 1
        os.kill(served.workers()[0], signal.SIGKILL)
        assert page(served.port)['neurath_requests_total{plane="device",code="2xx"}'] == 60


def test_classes_of_times_add_up_and_the_last_one_holds_everything() -> None:
    board = Board(3)
    for worker, seconds in enumerate((0.0005, 0.2, 100.0)):
        board.row(worker).request(0, 200, seconds, 1000)
    text = "".join(lines(board))
    counts = [float(one) for one in re.findall(r'seconds_bucket\{plane="device",le="[^"]+"\} (\d+)', text)]
    assert len(counts) == len(BOUNDS) + 1
    assert (counts[0], counts[-2], counts[-1]) == (1, 2, 3)
    assert counts == sorted(counts)
    assert 'neurath_response_bytes_total{plane="device"} 3000' in text
    assert len(PLANES) == 3


def test_health_is_told_to_anybody_and_readiness_ends_with_the_database(lab: Path) -> None:
    with serve(lab) as served:
        ask = Client(served.port).ask
        assert (ask("GET", "/health/live").status, ask("GET", "/health/ready").status) == (200, 200)
        (lab / "neurath.db").rename(lab / "away.db")
        for path in lab.glob("neurath.db-*"):
            path.unlink()
        (lab / "neurath.db").write_bytes(b"no database at all" * 1000)
        until(lambda: ask("GET", "/health/ready").status == 503, "it is ready without a database")
        assert ask("GET", "/health/live").status == 200


def until(so: object, what: str, limit: float = 120.0) -> None:
    end = time.monotonic() + limit
    while not so():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_each_line_of_the_log_is_one_object_for_programs(lab: Path) -> None:
    words = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(lab), "--port", "0", "--json", "--log", "json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    found = [json.loads(line) for line in said.splitlines()]
    assert {"time", "level", "logger", "message", "process"} <= found[0].keys()
    assert [one["message"].partition(":")[0] for one in found if one["logger"] == "neurath.cli.serving"] == ["serves", "ends"]
    assert process.returncode == 0


# ---- upgrades -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(listener: socket.socket, data: Path, *words: str) -> Iterator[Served]:
    """A server on a socket that somebody else holds, as systemd hands it over."""
    serving = f"{sys.executable} -m neurath.cli.main serve --data {data} --json {' '.join(words)}"
    line = f"exec env LISTEN_FDS=1 LISTEN_PID=$$ {serving}"
    process = subprocess.Popen(
        ["bash", "-c", f"{line} 3<&{listener.fileno()}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[listener.fileno()],
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate(timeout=60)[1]
        yield Served(process, int(json.loads(first)["port"]), data)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=120)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as made:
        yield made


def migrated(data: Path, url: str = "") -> None:
    """What the next version's migration may do: tables and columns come, nothing goes."""
    store = Store(data, url)
    with store.write() as db:
        db.execute(text("ALTER TABLE terminal ADD COLUMN next_version TEXT NOT NULL DEFAULT ''"))
        db.execute(text("CREATE TABLE next_version (id INTEGER PRIMARY KEY)"))
    store.close()


def test_who_had_just_connected_is_answered_by_a_server_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "head_deadline", 600.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, http=Door, log_config=None, ws="none", lifespan="off", timeout_graceful_shutdown=600)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    fresh, begun, before = (http.client.HTTPConnection("127.0.0.1", port, timeout=120) for _ in range(3))
    for link in (fresh, begun):
        link.connect()
    assert begun.sock is not None
    begun.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # and the rest does not come yet
    before.request("GET", "/")
    assert before.getresponse().read() == b"ok"  # all of them were accepted
    server.should_exit = True
    until(lambda: not _accepts(port), "it does not end")
    fresh.request("GET", "/")
    assert fresh.getresponse().status == 200
    begun.sock.sendall(b"\r\n")
    answer = http.client.HTTPResponse(begun.sock)
    answer.begin()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    for link in (fresh, begun, before):
        link.close()
    thread.join(120)
    assert not thread.is_alive()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_upgrade_with_two_workers_loses_no_check_in(
    kind: str, tmp_path: Path, listener: socket.socket, request: pytest.FixtureRequest
) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("emptied")
    lab, words = furnished(tmp_path / "data", url), ("--workers", "2", "--drain", "120")
    words += ("--database", f"'{url}'") if url else ()
    port, over, seen = listener.getsockname()[1], threading.Event(), []

    def polls(name: str) -> None:
        while not over.is_set():
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            link.request("GET", f"/DEFAULT/controller/v1/{name}", headers={"Authorization": f"TargetToken {TOKEN}"})
            answer = link.getresponse()
            answer.read()
            link.close()
            seen.append(answer.status)

    failures: list[BaseException] = []

    def guarded(name: str) -> None:
        try:
            polls(name)
        except BaseException as fault:
            failures.append(fault)

    threads = [threading.Thread(target=guarded, args=(f"t{n}",)) for n in range(4)]

    def more(count: int = 50) -> None:
        before = len(seen)
        until(lambda: len(seen) >= before + count or failures, "nobody is answered")

    with contextlib.ExitStack() as servers:
        servers.callback(over.set)
        old = servers.enter_context(held(listener, lab, *words))
        for one in threads:
            one.start()
        more()
        migrated(lab, url)  # the old workers beside the new schema
        more()
        for _ in range(2):
            assert old.end() == 0  # who connects now waits in the socket that is held
            old = servers.enter_context(held(listener, lab, *words))
            more()
        over.set()
        for one in threads:
            one.join(120)
    assert failures == []
    assert set(seen) == {200}


def test_a_database_of_a_newer_program_is_refused_in_words_and_stays_as_it_is(lab: Path) -> None:
    store = Store(lab)
    with store.write() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(RefusedError, match="newer program"):
        Store(lab)
