"""Several processes on one database: each piece of work is done once, what one writes all know, and one that dies is missed by
nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurath.server.fleet import access, recall, rollout, stop
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add, find_release
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.parts import ASSURANCE
from tests.rigs.postgres import Postgres
from tests.server.served import Served, serve
from tests.server.test_http import Client

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 1000 if ASSURANCE else 20


@pytest.fixture
def url(postgresql: Postgres) -> Iterator[str]:
    yield postgresql.url("migrated")
    postgresql.empty("migrated")


def until(so: Callable[[], object], what: str, limit: float = 60.0) -> float:
    begun = time.monotonic()
    while not so():
        assert time.monotonic() - begun < limit, what
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.mark.parametrize("what", ["deltas", "rollout"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.timeout(3600 if ASSURANCE else 300)
def test_eight_that_race_for_one_piece_of_work_come_to_one_result(
    what: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = "" if kind == "sqlite" else request.getfixturevalue("url")
    rounds = ROUNDS if kind == "postgresql" or ASSURANCE else 5
    words = [sys.executable, str(ROOT / "tests/server/race.py"), what, str(tmp_path / "d"), database, str(rounds)]
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == [{"round": n, "did": 1, "there": n + 1} for n in range(rounds)]


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Store:
    """A release that runs for everybody, and terminals t0 to t3."""
    store = Store(tmp_path / "lab", url)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        for n in range(4):
            access.register(db, Enrolment(f"t{n}", "lab", token="0" * 32), 0.0)
            access.configure(db, access.find(db, f"t{n}"), {"hw": "1"}, 0.0)
    release = add(store, Upload(b"package" * 100, "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
    with store.write() as db:
        rollout.move(db, rollout.create(db, Plan(release, None), 0.0).id, "start", time.time())
    return store


def offered(served: Served, name: str) -> bool:
    return "deploymentBase" in Client(served.port, "0" * 32, name).ask("GET", "").json.get("_links", {})


def test_what_is_revoked_or_stopped_is_offered_by_no_server_a_second_later(
    lab: Store, tmp_path: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    names = [f"t{n}" for n in range(4)]
    with serve(tmp_path / "a", "--database", url, "--workers", "2") as one, serve(tmp_path / "b", "--database", url) as two:
        both = (one, two)
        took = []
        for how in ("stop", "go on", "revoke"):
            wanted = how == "go on"
            # Each worker has answered from what it keeps, several times over.
            for _ in range(3):
                assert all(offered(served, name) is not wanted for served in both for name in names)
            with lab.write() as db:
                if how == "stop":
                    stop.stop(db, stop.Stop(time.time(), "ann", "smoke"))
                elif how == "go on":
                    stop.go_on(db)
                else:
                    recall.revoke(db, find_release(db, "lab/2.0"), time.time())
            begun = time.monotonic()
            # From the first answer that knows it, all do; and the first comes at once.
            until(lambda: all(offered(s, n) is wanted for s in both for n in names), how)  # noqa: B023
            took.append(time.monotonic() - begun)
            for _ in range(3):
                assert all(offered(served, name) is wanted for served in both for name in names)
        record_property("seconds", took)
        assert max(took) < 10  # milliseconds where nothing else runs
        workers = one.workers()
        assert (one.end(), two.end()) == (0, 0)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker outlives its server")
    lab.close()


def test_a_worker_that_is_killed_is_missed_by_nobody_and_none_outlives_the_first_process(
    lab: Store, tmp_path: Path, url: str
) -> None:
    with serve(tmp_path / "a", "--database", url, "--workers", "2") as served:
        first = served.workers()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until(lambda: first[0] not in served.workers(), "it lives")
        for _ in range(20):
            assert offered(served, "t1")
        until(lambda: len(served.workers()) == 2, "it does not begin again")
        again = served.workers()
        served.process.kill()
        until(lambda: not any(Path(f"/proc/{one}").exists() for one in again), "a worker outlives its server")
    lab.close()


def test_what_a_worker_cannot_do_ends_all_of_them_in_words(tmp_path: Path) -> None:
    words = ["--database", "postgresql:///x?host=/nowhere", "--workers", "2"]
    with pytest.raises(RuntimeError, match="cannot use the database"), serve(tmp_path / "a", *words):
        pass
