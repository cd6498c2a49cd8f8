"""The census counts what the store says, whatever happened in between; figures that take long are kept for a moment only."""

from __future__ import annotations

import gc
import os
import random
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, delete, func, insert, select

from neurath.console import board
from neurath.console.keeping import TIMES, Keeping
from neurath.server.delivery.sightings import Sighting
from neurath.server.fleet import figures
from neurath.server.fleet.census import ANEW, BLOCK, PARTS, Census, Names, entry
from neurath.server.fleet.figures import PAGE, State, Wanted
from neurath.server.software import catalog
from neurath.server.store.tables import action, component, event, ledger, terminal
from neurath.units import Seconds, UnixTime
from neurath.wire.report import Phase, Verdict
from tests.console.fleet import Fleet, every_state
from tests.server.served import serve

WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"


def agrees(fleet: Fleet, census: Census, now: float) -> None:
    with fleet.store.read() as db:
        counted = census.count(db, UnixTime(now))
        assert counted.counts == figures.states(db, UnixTime(now), census.silent)
        for state in (None, *State):
            lines, found = figures.lines(db, Wanted(state=state, silent=census.silent), UnixTime(now))
            numbers = counted.page(state, 0, PAGE)
            again = board.chosen(db, counted, numbers, UnixTime(now))
            assert [(line.tenant, line.id, line.state) for line in again] == [(x.tenant, x.id, x.state) for x in lines]
            assert found == (sum(counted.counts.values()) if state is None else counted.counts.get(state, 0))


def test_after_any_change_the_census_is_what_a_full_count_says(tmp_path: Path, seed: int) -> None:
    """One census through a random life; the full count is the judge."""
    now = time.time()
    fleet = every_state(tmp_path, now)
    chance = random.Random(seed)
    census = Census(Seconds(chance.choice((900, 1350))))
    agrees(fleet, census, now)
    with fleet.store.read() as db:
        old, new = catalog.find_release(db, "primehub/3.4.0"), catalog.find_release(db, "primehub/3.5.0")
    terminals, current = [], {}
    for step in range(300 if WHOLE else 16):
        now += chance.choice((1, 5, 60, 400))
        fleet.now = now
        match chance.randrange(6):
            case 0:
                one = fleet.terminal(f"new-{step:03}", "primehub", heard=chance.choice((None, 1.0)))
                terminals.append(one)
            case 1 if terminals:
                fleet.shows(chance.choice(terminals), chance.choice((old, new, None)), ago=1)
            case 2 if terminals:
                one = chance.choice(terminals)
                current[one.n] = fleet.offered(one, new, old, 5000, ago=1)
            case 3 if current:
                fleet.report(chance.choice(list(current.values())), chance.choice((Phase.DOWNLOADING, Phase.UPDATING)), ago=0)
            case 4 if current:
                n = chance.choice(list(current))
                fleet.verdict(current.pop(n), chance.choice((Verdict.CONFIRMED, Verdict.FAILED, Verdict.RESTORATION)), ago=0)
            case _ if terminals:
                fleet.delivery.sightings.note(chance.choice(terminals).n, Sighting("http", "192.0.2.1", now))
                fleet.delivery.flush()
        agrees(fleet, census, now)
    fleet.close()


def test_a_new_release_makes_those_who_were_newest_older(tmp_path: Path) -> None:
    now = time.time()
    fleet = Fleet(tmp_path, now)
    model = fleet.model("hub", 65536)
    old = fleet.release(model, "1.0", 1, 40_000)
    fleet.shows(fleet.terminal("t1", "hub", heard=1), old, ago=1)
    census = Census(Seconds(900.0))
    with fleet.store.read() as db:
        assert census.count(db, UnixTime(now)).counts == {State.CURRENT: 1}
    fleet.release(model, "1.1", 2, 40_100)
    with fleet.store.read() as db:
        assert census.count(db, UnixTime(now + 1)).counts == {State.OLDER: 1}
        assert census.count(db, UnixTime(now + 1000)).counts == {State.SILENT: 1}  # by the clock alone
    fleet.close()


def test_a_new_release_is_counted_without_reading_the_terminals_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = every_state(tmp_path, time.time())
    census = Census()
    agrees(fleet, census, fleet.now)
    fleet.release(fleet.model("other", 65536), "9.0", 9, 40_000)
    read: list[int] = []
    whole = figures.standings

    def seen(db: Connection, numbers: Sequence[int]) -> Iterator[figures.Standing]:
        read.extend(numbers)
        return whole(db, numbers)

    monkeypatch.setattr(figures, "standings", seen)
    agrees(fleet, census, fleet.now + 60)
    with fleet.store.read() as db:
        everybody = sum(figures.states(db, UnixTime(fleet.now)).values())
    assert len(read) < everybody, "everybody was read again"
    fleet.close()


def test_names_stay_in_order_however_many_come_and_go(seed: int) -> None:
    chance, names, there = random.Random(seed), Names(), {}
    for step in range(60):
        many = chance.choice((1, 3, 40, 2 * BLOCK))
        fresh = [
            (b"%d\0t%d" % (chance.randrange(2), step * 10_000 + chance.randrange(10_000)), step * 10_000 + n)
            for n in range(many)
        ]
        fresh = list(dict(fresh).items())
        names.add([entry(key, n) for key, n in fresh])
        there |= dict(fresh)
        gone = set(chance.sample(sorted(there.values()), len(there) // 9))
        names.remove(gone)
        there = {key: n for key, n in there.items() if n not in gone}
        assert list(names) == [there[key] for key in sorted(there)]
        assert len(names) == len(there)


def test_a_terminal_costs_the_census_fifty_bytes(tmp_path: Path) -> None:
    """A worker keeps one for 100,000 terminals beside everything else it holds."""
    many, census = 20_000, Census()
    fleet = Fleet(tmp_path, time.time())
    with fleet.store.write() as db:
        db.execute(insert(terminal), [{"tenant": "DEFAULT", "id": f"dev-{n}", "registered": 0.0} for n in range(many)])
    with fleet.store.read() as db:
        db.scalar(select(func.count()).select_from(terminal))
        tracemalloc.start()
        census.count(db, UnixTime(fleet.now))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert census.count(db, UnixTime(fleet.now)).counts == {State.UNHEARD: many}
    fleet.close()
    assert held < 50 * many + 500_000  # what is loaded and compiled once


def test_a_part_of_any_size_is_read_in_one_question(tmp_path: Path) -> None:
    """A list of a million numbers is more than a database takes."""
    fleet = every_state(tmp_path, time.time())
    with fleet.store.read() as db:
        every = list(figures.standings(db, range(1, 1_000_000)))
        assert {one[0] for one in every} == set(db.scalars(select(terminal.c.n).where(terminal.c.decommissioned.is_(None))))
        assert [one[0] for one in figures.standings(db, range(3, 5))] == [3, 4]
    fleet.close()


def test_what_changed_without_a_moment_is_seen_within_five_minutes_of_watching(tmp_path: Path) -> None:
    """A terminal that is gone, one whose name was given to another: found part by part, and at once after a long pause."""
    fleet = every_state(tmp_path, time.time())
    for step in (ANEW / PARTS + 0.1, ANEW + 1):
        census, now = Census(), fleet.now
        agrees(fleet, census, now)
        with fleet.store.write() as db:
            gone = db.scalars(select(terminal.c.n).order_by(terminal.c.n)).all()[3]
            for table in (event.c.terminal, action.c.terminal, ledger.c.terminal, component.c.terminal, terminal.c.n):
                db.execute(delete(table.table).where(table == gone))
        end = now + ANEW + step
        while now < end:
            now += step
            with fleet.store.read() as db:
                counted = census.count(db, UnixTime(now))
        assert gone not in counted.page(None, 0, 10_000)
        agrees(fleet, census, now)
    fleet.close()


def test_pages_walk_through_every_state_in_order(tmp_path: Path) -> None:
    fleet = every_state(tmp_path, time.time())
    with fleet.store.read() as db:
        counted = Census().count(db, UnixTime(fleet.now))
        whole = counted.page(None, 0, 1000)
        assert [n for first in range(0, len(whole), 3) for n in counted.page(None, first, 3)] == whole
        assert len(set(whole)) == sum(counted.counts.values())
    fleet.close()


def test_quick_figures_are_always_new_and_slow_ones_for_a_moment_old() -> None:
    keeping, made = Keeping(), []

    def quick() -> int:
        made.append(1)
        return len(made)

    assert [keeping.get("a", quick) for _ in range(3)] == [1, 2, 3]

    def slow() -> int:
        time.sleep(0.1)
        return quick()

    began = time.monotonic()
    first = keeping.get("b", slow)
    assert keeping.get("b", slow) == first
    while keeping.get("b", slow) == first:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    assert time.monotonic() - began >= TIMES * 0.1


def test_a_page_from_memory_is_the_page_from_scratch(tmp_path: Path) -> None:
    fleet = every_state(tmp_path, time.time())
    memory = board.Memory()
    for wanted in (Wanted(), Wanted(state=State.FAILED), Wanted(words="hub"), Wanted(page=2)):
        kept = board.overview(fleet.store, wanted, lambda *_: "why", UnixTime(fleet.now), memory)
        assert kept == board.overview(fleet.store, wanted, lambda *_: "why", UnixTime(fleet.now))
    fleet.close()


@pytest.mark.parametrize(("after", "silent"), [(1200, True), (86400, False)])
def test_a_screen_calls_silent_whom_the_server_was_told_to(tmp_path: Path, after: int, *, silent: bool) -> None:
    fleet = Fleet(tmp_path / "data", time.time())
    model = fleet.model("hub", 65536)
    fleet.shows(fleet.terminal("t1", "hub", heard=1800.0), fleet.release(model, "1.0", 1, 40_000), ago=1800.0)
    fleet.close()
    with serve(tmp_path / "data", "--silence", str(after)) as served:
        for page in ("/index.json", "/terminals/index.json?q=t1"):
            (told,) = httpx.get(f"http://127.0.0.1:{served.port}{page}").json()["lines"]
            assert (told["state"] == "silent") is silent, told
        told = httpx.get(f"http://127.0.0.1:{served.port}/terminals/t1/index.json").json()
        assert (told["line"]["state"] == "silent") is silent
