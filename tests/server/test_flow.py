"""What pages say of rollouts over time, of questions, and of what files cost: the same as the ledger says, nothing guessed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.flash.native import need
from neurath.ids import FIRMWARE
from neurath.server.fleet import access, asked, flow, progress, reach, rollout, spread
from neurath.server.fleet.flow import Flow
from neurath.server.software import catalog, cost, hopeless
from neurath.server.software.models import find_model
from neurath.units import UnixTime
from neurath.wire.report import Phase
from tests.console.fleet import Fleet, every_state
from tests.console.serving import proof, visitor


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    found = every_state(tmp_path_factory.mktemp("fleet"), time.time())
    yield found
    found.close()


def drawn(fleet: Fleet, span: tuple[float, float]) -> Flow:
    with fleet.store.read() as db:
        found = rollout.find(db, 1)
        each = reach.each(db, rollout.course(db, found), catalog.find_release(db, str(found.release)))
        return flow.flow(db, each, span, [])


def test_at_every_moment_each_terminal_stands_once_and_the_last_is_what_is_counted(fleet: Fleet) -> None:
    seen = drawn(fleet, (fleet.now - 900, fleet.now))
    layers = (seen.installed, seen.failed, seen.distributed, seen.offered, seen.rest)
    assert {sum(one) for one in zip(*layers, strict=True)} == {11}
    assert all(min(layer) >= 0 for layer in layers)
    with fleet.store.read() as db:
        now = spread.rollout_now(db, 1, UnixTime(fleet.now))
    assert (seen.installed[-1], seen.failed[-1]) == (now.confirmed, now.failed) == (4, 2)
    assert list(seen.installed) == sorted(seen.installed)
    assert (seen.installed[0], seen.rest[0]) == (0, 11)  # nobody had it before anybody was offered it


def course(installed: list[int], seconds: float) -> Flow:
    at = tuple(UnixTime(seconds * step / (len(installed) - 1)) for step in range(len(installed)))
    none = (0,) * len(installed)
    return Flow(at, tuple(installed), none, none, none, none, ())


def test_the_finish_is_told_by_the_pace_of_late_and_not_at_all_where_nothing_moves() -> None:
    steady = course(list(range(101)), 1000.0)  # one in ten seconds
    assert flow.finish(steady, 50) == pytest.approx(1500.0)
    assert flow.finish(steady, 0) is None
    assert flow.finish(course([10] * 101, 1000.0), 50) is None
    faster = course([0] * 50 + list(range(0, 102, 2)), 1000.0)  # of late one in five seconds
    assert flow.finish(faster, 50) == pytest.approx(1250.0, abs=5)


def test_failures_are_grouped_by_reason_and_named(fleet: Fleet) -> None:
    with fleet.store.read() as db:
        found = rollout.find(db, 1)
        each = reach.each(db, rollout.course(db, found), catalog.find_release(db, str(found.release)))
        told = flow.reasons(db, each)
        saved = flow.saved(db, each)
    assert {(one.reason, one.count, one.named[0][1]) for one in told} == {
        ("battery 12 %, needs 30 %", 1, "hub-meter"),
        ("first boot not confirmed in 3 tries", 1, "hub-workshop"),
    }
    assert (saved.sent, saved.whole) == (saved.files * 13_120, saved.files * 237_920)


def test_a_question_stands_until_it_is_answered_and_its_answer_is_what_came_next(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    terminal = fleet.terminal("t1", "hub")
    fleet.shows(terminal, old)
    action = fleet.offered(terminal, new, old, 8192, ago=50)
    fleet.report(action, Phase.WAITING_FOR_USER, done=8192, ago=40, reason="in use: recorder")
    with fleet.store.read() as db:
        (one,) = asked.open_questions(db)
        assert asked.answers(db) == []
    assert (one.id, one.version, one.what, one.reason) == ("t1", "1.1", "waiting-for-user", "in use: recorder")
    assert one.since == pytest.approx(fleet.now - 40)
    with fleet.store.write() as db:
        progress.note(db, progress.Key(terminal.n, str(FIRMWARE), 0), "reminded", "please", fleet.now - 30)
    fleet.report(action, Phase.UPDATING, done=8192, ago=10)
    with fleet.store.read() as db:
        assert asked.open_questions(db) == []
        (answer,) = asked.answers(db)
    assert (answer.id, answer.said) == ("t1", "updating")  # a reminder is no answer
    fleet.close()


def test_a_file_costs_its_bytes_the_ram_the_core_wants_and_seconds_by_its_link(fleet: Fleet) -> None:
    with fleet.store.read() as db:
        told = cost.costs(db, "primehub", need)
        model = find_model(db, "primehub")
    assert model is not None
    assert (told.new, told.old) == (("3.5.0", "3.4.0"), ("3.4.0",))
    cell = told.cells[0][0]
    assert cell is not None
    assert (cell.size, cell.ram) == (13_120, need(model.layout, 237_920, 13_120, 18_000, True))
    assert cell.seconds[0] == pytest.approx(13_120 / 1200)
    assert told.cells[0][1] is None  # nobody goes from a version to itself
    assert told.cells[1][1] is None  # never built


def test_a_file_that_cannot_be_built_stands_in_the_matrix_with_its_cause(fleet: Fleet) -> None:
    with fleet.store.write() as db:
        new = catalog.find_release(db, "dial/1.8.0")
        for _ in range(2):
            hopeless.note(db, ("", new.image, "x", 2), "its update file could not be built (too dear)", 0.0)
    client = visitor(fleet.store)
    shown = client.get("/deltas?model=dial").text
    assert "cannot be built" in shown
    why = "its update file could not be built (too dear), 2 times; again at 1970-01-01 00:02 UTC"
    assert why in shown
    assert client.get("/deltas/index.json?model=dial").json()["costs"]["unbuilt"][1][1] == why


def test_acts_change_those_that_are_ticked_and_no_others(fleet: Fleet) -> None:
    client = visitor(fleet.store)
    given = {"csrf": proof(client, "/terminals"), "t:DEFAULT/hub-01": "on", "t:DEFAULT/hub-02": "on"}
    more = {"on": "field east", "back": "/terminals?q=hub"}
    answer = client.post("/terminals/acts/tag", data=given | more, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/terminals?q=hub")
    assert {one["id"] for one in client.get("/terminals/index.json?target=tag:field").json()["lines"]} == {"hub-01", "hub-02"}
    assert client.post("/terminals/acts/pin", data=given | {"release": "primehub/3.4.0"}).status_code == 200
    with fleet.store.read() as db:
        pins = [progress.shown(db, access.find(db, name).n)[0].pin for name in ("hub-01", "hub-02", "hub-03")]
    assert pins[0] == pins[1] is not None
    assert pins[2] is None
    none = client.post("/terminals/acts/tag", data={"csrf": given["csrf"], "on": "x"})
    assert none.status_code == 400
    assert "tick the terminals" in none.text
    away = client.post("/terminals/acts/tag", data=given | {"back": "//evil.test/terminals"}, follow_redirects=False)
    assert away.headers["location"] == "/terminals"


def test_filters_of_the_list_name_terminals_by_what_they_run(fleet: Fleet) -> None:
    client = visitor(fleet.store)
    shares = client.get("/software/index.json").json()["shares"]
    for one in shares:
        if one["image"] and one["model"] != "router":
            found = client.get("/terminals/index.json", params={"model": one["model"], "image": one["image"]}).json()
            assert found["found"] == one["count"], one
    strange = client.get("/terminals/index.json", params={"model": "dial", "image": "none"}).json()
    assert [line["id"] for line in strange["lines"]] == ["dial-02"]
    assert client.get("/terminals?target=saved:nothing").status_code == 404
    assert client.get("/terminals?target=((").status_code == 400
