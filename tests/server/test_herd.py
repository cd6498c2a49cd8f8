"""A whole fleet that comes at once without having been told when (fault 27), and many that are slow on purpose (fault 28):
nobody is lost, the wait is bounded, and who came together does not stay together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.herd import Came, herd

from neurath.server.device import Policy
from neurath.server.fleet import access
from neurath.server.fleet.access import Enrolment
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.parts import ASSURANCE
from tests.server.served import Served, serve

#: Ten times what a fleet that polls every ten minutes brings in the same time.
USUAL, TIMES = 600, 10
COUNT, WITHIN = (10_000, 60.0) if ASSURANCE else (300, 0.9)
#: Promised is a second. A machine that does other things is given ten.
PATIENCE = 10_000
TOKEN = "0" * 32


def test_each_terminal_has_a_pace_of_its_own_and_all_of_them_the_usual() -> None:
    paces = [Policy(USUAL).pace(n) for n in range(1, 10_001)]
    assert (min(paces), max(paces)) == (USUAL * 9 // 10, USUAL * 11 // 10)
    assert sum(paces) / len(paces) == pytest.approx(USUAL, rel=0.001)
    for some in (paces[:100], paces[5000:5100], paces[::7][:100]):  # neighbours too, and those of one site
        assert max(some) - min(some) > USUAL * 0.19
        assert sum(some) / len(some) == pytest.approx(USUAL, rel=0.01)
    assert [Policy(sleep).pace(n) for sleep in (1, 5, 9) for n in (1, 2, 3)] == [1, 1, 1, 5, 5, 5, 9, 9, 9]


def _spread(came: Came) -> list[float]:
    # As they would have come within a minute: the sample keeps their order, in less time.
    slow = 60.0 / WITHIN
    return Came([at * slow for at in came.at], came.took, came.sleeps).again(60.0, USUAL, 12)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    store = Store(tmp_path / "data")
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        for n in range(COUNT):
            access.register(db, Enrolment(f"t{n}", "lab", token=TOKEN), 0.0)
    store.close()
    with serve(tmp_path / "data", "--sleep", str(USUAL)) as running:
        yield running


def test_a_fleet_that_comes_within_a_minute_is_answered_and_comes_apart_again(served: Served) -> None:
    def request(n: int) -> bytes:
        head = f"GET /DEFAULT/controller/v1/t{n} HTTP/1.1\r\nHost: b\r\nAuthorization: TargetToken {TOKEN}\r\n"
        return f"{head}Accept: application/json\r\n\r\n".encode()

    came = herd(served.port, request, COUNT, WITHIN)
    assert (came.lost, len(came.took)) == (0, COUNT)
    assert came.share(99) < PATIENCE
    busiest = _spread(came)
    assert busiest[0] == pytest.approx(TIMES, rel=0.01)
    assert busiest[1] < 6
    assert max(busiest[6:]) < 2.5  # within an hour; 300 are few, and few are uneven by chance
