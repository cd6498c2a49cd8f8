"""How often a terminal that is looked up makes the server ask its database: each question is waited for, with a whole fleet
behind it. A bound that is passed here is a rollout that starts slower."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event

from neurath.server.device import Policy
from neurath.server.fleet import access, reach, rollout, waves
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.server.test_http import serving
from tests.server.world import image

PACKAGE = random.Random(2).randbytes(3000)


@dataclass
class Asked:
    """Questions in the order in which they were asked; `views`: transactions."""

    texts: list[str] = field(default_factory=list)
    views: int = 0

    def twice(self) -> list[str]:
        """What was asked more than once with the same words."""
        return [one for one in {*self.texts} if self.texts.count(one) > 1]


def beside() -> bool:
    return threading.current_thread().name.startswith("asyncio")


@contextlib.contextmanager
def counted(store: Store) -> Iterator[Asked]:
    """What the store is asked meanwhile on a terminal's account: what a server does beside has threads of another name."""
    found = Asked()

    def asked(_link, _cursor, statement, _given, _context, _many) -> None:
        if not beside() and not statement.startswith(("BEGIN", "PRAGMA")):
            found.texts.append(" ".join(statement.split()))

    def begun(_link) -> None:
        found.views += not beside()

    engines = (store._database.engine, store._database._writer)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", asked)
        event.listen(engine, "begin", begun)
    yield found
    for engine in engines:
        event.remove(engine, "before_cursor_execute", asked)
        event.remove(engine, "begin", begun)


@pytest.fixture
def site(tmp_path):
    with serving(tmp_path / "data", Policy(300)) as running:
        yield running


def test_a_terminal_that_is_offered_a_package_costs_few_questions_and_the_next_poll_fewer(site):
    store = site.world.store
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
    release = add(store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="f.swu"), 0.0)
    client = site.enrol("t1", "lab")
    client.ask("PUT", "configData", {"data": {"a": "b"}})
    with store.write() as db:
        made = rollout.create(db, Plan(release, None), time.time())
        rollout.move(db, made.id, "start", time.time())
    with counted(store) as first:
        assert client.link("deploymentBase")
    assert len(first.texts) <= 16, first.texts
    # Who it is; what its tenant lets pass, asked once for all terminals; what it may have; the offer; how it is put.
    assert first.views <= 5
    assert len(first.twice()) <= 3, first.twice()  # before the lock, and again under it
    with store.write():
        pass  # something that may concern everybody
    with counted(store) as again:
        assert client.link("deploymentBase")
    assert len(again.texts) <= 9, again.texts
    assert again.views <= 4  # the tenant's rule may have changed with whatever was written
    assert not again.twice()


def test_a_check_in_of_ours_costs_few_questions(world):
    old, new = image(1), image(2)
    terminal = world.terminal()
    world.release("1", old, 1)
    release = world.release("2", new, 2)
    world.start(release)
    world.delivery.check(terminal, world.says(old), world.now)  # its file is built
    other = world.terminal("t2")
    with counted(world.store) as found:
        assert world.delivery.check(other, world.says(old), world.now)
    assert len(found.texts) <= 25, found.texts  # the last: is its way back built?
    assert found.views <= 6
    with world.store.read() as db:
        assert access.find(db, "t2")


def test_no_fleet_is_counted_while_nobody_else_can_write(site, monkeypatch):
    store, under = site.world.store, []
    for name in ("targets", "tally", "gate"):
        count = getattr(reach, name)

        def looked(*given, count=count, name=name):
            under.append((name, bool(given[0].get_execution_options().get("writing"))))
            return count(*given)

        monkeypatch.setattr(reach, name, looked)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
    release = add(store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="f.swu"), 0.0)
    clients = [site.enrol(f"t{n}", "lab") for n in range(4)]
    with store.write() as db:
        made = rollout.create(db, Plan(release, None, policy=waves.policy("waves=50% go-on=100% halt=50%")), time.time())
    api = http.client.HTTPConnection("127.0.0.1", site.port)
    api.request("POST", f"/api/v1/rollouts/{made.id}/start")
    assert api.getresponse().status == 200
    assert {name for name, _ in under} >= {"targets", "gate"}
    given = [one for one in clients if one.link("deploymentBase")]
    assert len(given) == 2
    for one in given:
        number = one.link("deploymentBase").partition("?")[0].rpartition("/")[2]
        closed = {"id": number, "status": {"execution": "closed", "result": {"finished": "success"}, "details": []}}
        assert one.ask("POST", f"deploymentBase/{number}/feedback", closed).status == 200
    rollout.advance(store, time.time())  # or the server itself, beside
    assert all(one.link("deploymentBase") for one in clients if one not in given)
    assert {name for name, _ in under} == {"targets", "gate", "tally"}
    assert not [name for name, locked in under if locked]
