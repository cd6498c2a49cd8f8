"""Which time it is, where several servers work on one database: the database's (fault 35)."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.clock import FRESH, Clock
from neurath.server.fleet import access, rollout, waves
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.parts import ASSURANCE
from tests.rigs.clock import shifted
from tests.rigs.postgres import Postgres
from tests.server.served import Served, serve
from tests.server.test_http import Client
from tests.server.test_operating import page

HOUR = 3600.0
TOKEN = "0" * 32


class Hands:
    """Two clocks of one machine, moved by hand."""

    def __init__(self) -> None:
        self.local, self.runs = 5_000.0, 100.0
        self.clock = Clock(lambda: self.local, lambda: self.runs)

    def told(self, said: float, took: float = 0.0) -> None:
        self.clock.told(said, self.runs - took, self.runs)


def test_who_was_told_nothing_goes_by_the_machine() -> None:
    hands = Hands()
    assert hands.clock.now() == 5_000.0
    hands.local = 1.0
    assert hands.clock.now() == 1.0


def test_what_was_told_runs_on_and_nobody_sets_it() -> None:
    hands = Hands()
    hands.told(9_000.0)
    hands.local, hands.runs = 77.0, 160.0
    assert hands.clock.now() == 9_060.0


def test_the_answer_that_came_fastest_counts_until_it_is_old() -> None:
    hands = Hands()
    hands.told(9_000.0, took=0.02)  # said half way: 9000.01 now
    hands.told(9_000.0, took=2.0)  # would be 9001, give or take one
    assert hands.clock.now() == pytest.approx(9_000.01)
    hands.told(9_000.1, took=0.2)
    assert hands.clock.now() == pytest.approx(9_000.01)
    hands.runs += FRESH + 1
    hands.told(9_061.2, took=0.3)
    assert hands.clock.now() == pytest.approx(9_061.35)


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    hands = Hands()
    hands.told(9_000.0)
    hands.told(5_400.0, took=0.5)
    assert hands.clock.now() == pytest.approx(5_400.25)


@pytest.fixture
def lab(tmp_path: Path, postgresql: Postgres) -> Iterator[tuple[Store, str]]:
    """A rollout that waits for its start: one wave of two, with half an hour's patience."""
    url = postgresql.url("migrated")
    store = Store(tmp_path / "lab", url)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        for n in range(2):
            access.register(db, Enrolment(f"t{n}", "lab", token=TOKEN), 0.0)
            access.configure(db, access.find(db, f"t{n}"), {"hw": "1"}, 0.0)
    release = add(store, Upload(b"package" * 100, "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
    with store.write() as db:
        rollout.create(db, Plan(release, None, 60.0, waves.policy("waves=2 go-on=100% halt=0% patience=30m")), 0.0)
    yield store, url
    store.close()
    postgresql.empty("migrated")


def _asked(served: Served, method: str, path: str) -> dict[str, object]:
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    link.request(method, f"/api/v1/{path}")
    answer = link.getresponse()
    said = answer.read()
    assert answer.status == 200, said
    found: dict[str, object] = json.loads(said)
    return found


@pytest.mark.parametrize("ahead", [HOUR, -HOUR] if ASSURANCE else [-HOUR])
def test_spans_are_the_databases_whatever_the_servers_clocks_say(
    ahead: float, lab: tuple[Store, str], tmp_path: Path, postgresql: Postgres
) -> None:
    """One server is an hour ahead and one an hour behind: a wave's patience of half an hour and a silence of half an hour are
    neither over at once nor an hour late, and every moment that is written down is the database's."""
    _, url = lab
    words = ["--database", url, "--silence", "1800"]
    with (
        serve(tmp_path / "a", *words, env=shifted(tmp_path, ahead)) as one,
        serve(tmp_path / "b", *words, env=shifted(tmp_path, -ahead)) as two,
    ):
        _asked(one, "POST", "rollouts/1/start")
        assert "deploymentBase" in Client(two.port, TOKEN, "t0").ask("GET", "").json["_links"]
        assert "deploymentBase" in Client(one.port, TOKEN, "t1").ask("GET", "").json["_links"]
        deadline = time.monotonic() + 60
        while postgresql.run("SELECT 1 FROM terminal WHERE heard IS NULL", "migrated"):
            assert time.monotonic() < deadline, "last-seen times are not written"
            time.sleep(0.05)
        for served in (one, two):
            assert page(served.port)["neurath_terminals_silent"] == 0
            found = _asked(served, "GET", "rollouts/1")
            assert (found["state"], found["tally"]["silent"]) == ("running", 0)  # type: ignore[index]  # a document
        verb = [sys.executable, "-m", "neurath.cli.main", "terminal", "add", "t2", "--model", "lab", "--data"]
        said = subprocess.run(
            [*verb, tmp_path / "c", "--database", url],
            env=os.environ | shifted(tmp_path, ahead),
            capture_output=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        spans = "SELECT abs(extract(epoch FROM clock_timestamp()) - {}) FROM {}"
        moments = [("heard", "terminal WHERE id <> 't2'"), ("registered", "terminal WHERE id = 't2'"), ("offered", "ledger")]
        for what, where in moments:
            off = [float(str(row[0])) for row in postgresql.run(spans.format(what, where), "migrated")]
            assert off, what
            assert max(off) < HOUR / 2, (what, off)  # seconds where nothing holds it up
