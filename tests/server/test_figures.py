"""What screens show is told from the ledger and the check-ins, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.server.fleet import figures, silence
from neurath.server.fleet.figures import Line, State, Wanted
from neurath.units import UnixTime
from neurath.wire.report import Phase, Verdict
from tests.console.fleet import Fleet

NOW = UnixTime(1_795_000_000.0)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path, NOW)
    yield found
    found.close()


def line(fleet: Fleet, later: float = 0.0) -> Line:
    with fleet.store.read() as db:
        lines, total = figures.lines(db, Wanted(), UnixTime(NOW + later))
    assert total == 1
    return lines[0]


def test_a_terminal_walks_through_its_states_and_is_current_only_by_its_bank(fleet: Fleet) -> None:
    model = fleet.model("hub", 65536)
    old = fleet.release(model, "1.0", 1, 40_000)
    terminal = fleet.terminal("t1", "hub", heard=None)
    assert line(fleet).state is State.UNHEARD
    fleet.shows(terminal, old)
    fleet.delivery.heard(terminal, "http", "", NOW)
    fleet.delivery.flush()
    assert line(fleet).state is State.CURRENT
    new = fleet.release(model, "1.1", 2, 40_100)
    assert (line(fleet).state, line(fleet).installed) == (State.OLDER, "1.0")
    action = fleet.offered(terminal, new, old, 8192, ago=100)
    assert line(fleet).state is State.WAITING
    fleet.report(action, Phase.DOWNLOADING, done=1024, ago=90)
    fleet.report(action, Phase.DOWNLOADING, done=3072, ago=80)
    assert (line(fleet).state, line(fleet).done) == (State.WORKING, 3072)
    assert line(fleet).left == pytest.approx((8192 - 3072) / (3072 / 10))
    fleet.report(action, Phase.WAITING_FOR_USER, done=8192, ago=70)
    assert (line(fleet).state, line(fleet).left) == (State.PEOPLE, None)
    fleet.report(action, Phase.JUDGING, done=8192, ago=50)
    assert line(fleet).state is State.WORKING
    fleet.verdict(action, Verdict.CONFIRMED, ago=40)
    fleet.shows(terminal, new)
    assert (line(fleet).state, line(fleet).installed, line(fleet).wanted) == (State.CURRENT, "1.1", "1.1")
    fleet.shows(terminal, None)
    assert (line(fleet).state, line(fleet).installed) != (State.CURRENT, "1.1")


def test_silence_is_shown_as_silence_whatever_was_last_said(fleet: Fleet) -> None:
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    terminal = fleet.terminal("t1", "hub", heard=0.0)
    fleet.shows(terminal, old)
    action = fleet.offered(terminal, new, old, 8192, ago=100)
    fleet.report(action, Phase.DOWNLOADING, done=1024, ago=90)
    assert line(fleet, silence.AFTER - 1).state is State.WORKING
    assert line(fleet, silence.AFTER + 1).state is State.SILENT
    fleet.verdict(action, Verdict.RESTORATION, ago=1)
    assert line(fleet, silence.AFTER + 1).state is State.RESTORATION


def test_the_histogram_counts_every_terminal_once(fleet: Fleet) -> None:
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    for number, release in enumerate((old, old, new, None)):
        fleet.shows(fleet.terminal(f"t{number}", "hub"), release)
    fleet.terminal("t9", "hub", heard=None)
    with fleet.store.read() as db:
        seen = [(share.version, share.known, share.count, share.newest) for share in figures.shares(db)]
    assert seen == [("1.1", True, 1, True), ("1.0", True, 2, False), ("", True, 1, False), ("", False, 1, False)]


def test_a_store_tells_when_anybody_has_written(fleet: Fleet) -> None:
    with fleet.store.changes() as number:
        before = number()
        assert number() == before
        fleet.terminal("t1", None)
        assert number() != before
