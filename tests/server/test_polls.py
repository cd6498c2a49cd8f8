"""Polls that are answered without a look into the store: the same answers, to nobody else, and none a moment too long."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc

import pytest

from neurath.server.device import Policy
from neurath.server.fleet import access, rollout, stop, tenants, waves
from neurath.server.fleet.rollout import Plan
from neurath.server.fleet.tenants import Tenant
from neurath.server.polls import APART, LONGEST, Kept, Polls, Shelf, alike, latest
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.server.test_http import Client, serving

PACKAGE = random.Random(2).randbytes(3000)


@pytest.fixture
def site(tmp_path, monkeypatch):
    with serving(tmp_path / "data", Policy(300)) as running:
        delivery, asked = running.world.delivery, []
        decide = delivery.decide_all
        monkeypatch.setattr(delivery, "decide_all", lambda *rest: (asked.append(1), decide(*rest))[1])
        running.asked, running.directory = asked, tmp_path / "data"
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        release = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="f.swu"), 0.0)
        running.release = release
        yield running


def start(running, policy: str = "at-once"):
    with running.world.store.write() as db:
        made = rollout.create(db, Plan(running.release, None, policy=waves.policy(policy)), time.time())
        return rollout.move(db, made.id, "start", time.time())


def settled(running, client: Client):
    """The answer once nothing is written on its account any more."""
    client.ask("PUT", "configData", {"data": {"a": "b"}})
    for _ in range(3):
        answer = client.ask("GET", "")
    running.asked.clear()
    return answer


@pytest.mark.parametrize("work", [False, True])
def test_a_poll_is_answered_again_without_a_look_and_changes_with_every_write_that_concerns_it(site, work):
    client, other = site.enrol("t1", "lab"), site.enrol("t2", "lab")
    made = start(site) if work else None
    first = settled(site, client)
    assert ("deploymentBase" in first.json.get("_links", {})) == work
    again = client.ask("GET", "")
    assert (again.status, again.body, again.headers["etag"]) == (200, first.body, first.headers["etag"])
    assert not site.asked  # nobody looked
    assert client.ask("GET", "", If_None_Match=first.headers["etag"]).status == 304
    settled(site, other)  # what is written about another one
    client.ask("GET", "")
    assert not site.asked
    if made is None:
        start(site)
        assert client.link("deploymentBase")
    else:
        site.world.move(made, "pause")
        assert not client.link("deploymentBase")
        site.world.move(made, "resume")
        assert client.link("deploymentBase")
    settled(site, client)
    beside = Store(site.directory)  # another process
    with beside.write() as db:
        stop.stop(db, stop.Stop(time.time()))
    assert not client.link("deploymentBase")
    beside.close()


def test_nobody_else_is_told_what_was_kept(site):
    client = site.enrol("t1", "lab")
    settled(site, client)
    assert client.ask("GET", "").status == 200
    for token in ("", "a" * 48, client.token[:-1], client.token + "0"):
        assert Client(site.port, token, "t1").ask("GET", "").status == 401
    with site.world.store.write() as db:
        fresh = access.renew_token(db, access.find(db, "t1"))
    assert client.ask("GET", "").status == 401  # from that write on
    assert Client(site.port, fresh, "t1").ask("GET", "").status == 200
    token, kept = tenants.new_gateway_token()
    with site.world.store.write() as db:
        tenants.keep(db, "DEFAULT", Tenant(gateway=kept))
    gateway = {"Authorization": f"GatewayToken {token}"}
    anyone = Client(site.port, "", "t1")
    assert [anyone.ask("GET", "", **gateway).status for _ in range(3)] == [200] * 3
    with site.world.store.write() as db:
        tenants.keep(db, "DEFAULT", Tenant())
    assert anyone.ask("GET", "", **gateway).status == 401


def test_an_answer_is_for_the_form_the_host_and_the_client_that_asked(site):
    client = site.enrol("t1", "lab")
    start(site)
    settled(site, client)
    assert client.ask("GET", "", Host="one.example").json["_links"]["deploymentBase"]["href"].startswith("http://one.example/")
    assert client.ask("GET", "", Host="two.example").json["_links"]["deploymentBase"]["href"].startswith("http://two.example/")
    assert client.ask("GET", "", Accept="application/cbor").headers["content-type"] == "application/cbor"
    assert client.ask("GET", "").headers["content-type"] == "application/json"


def test_what_a_clock_changes_is_not_kept(site):
    client = site.enrol("t1", "lab")
    start(site, "at-once window=daily,00:00-24:00,UTC window=daily,00:00-12:00,UTC")
    settled(site, client)
    client.ask("GET", "")
    assert site.asked  # it looked


def test_who_polls_is_heard_all_the_same(site):
    client = site.enrol("t1", "lab")
    settled(site, client)
    with site.world.store.read() as db:
        terminal = access.find(db, "t1")
    before = site.world.delivery.last_heard(terminal)
    time.sleep(0.02)
    client.ask("GET", "")
    assert not site.asked
    site.world.delivery.flush()
    with site.world.store.read() as db:
        assert access.find(db, "t1").heard > before


def test_more_terminals_than_there_is_room_for_are_still_answered_from_what_is_kept(world):
    """They poll in turn: were each kept in the place of the one before it, none would be found again."""
    looked = []

    async def look(scope, receive, send):
        looked.append(scope["raw_path"])
        polls.keep(scope, 1, Kept((0, 0), time.time() + 100, alike((), b"nothing")))

    async def sent(message):
        pass

    polls = Polls(look, world.delivery, most=100)
    world.store.marks.of = lambda number: (0, 0)
    rounds = []
    for _ in range(20):
        looked.clear()
        for n in range(150):
            headers = [(b"authorization", b"TargetToken %d" % n)]
            path = b"/DEFAULT/controller/v1/t%d" % n
            scope = {"type": "http", "method": "GET", "raw_path": path, "query_string": b"", "scheme": "http"}
            asyncio.run(polls(scope | {"headers": headers, "client": ("127.0.0.1", 1)}, None, sent))
        rounds.append(len(looked))
    assert rounds[0] == 150
    assert max(rounds[1:]) <= 60  # 50 have no room, three of them are let in where three others were
    assert len(polls._kept) == 100


def test_what_is_alike_is_kept_once():
    first, second = (alike(((b"etag", bytes([n])),), b"{}") for n in (65, 65))
    assert first is second


def test_answers_that_are_alike_end_together_and_never_too_late():
    ends = {latest(1_000_000_020 + n) for n in range(int(APART))}
    assert len(ends) == 1
    assert all(0 < latest(at) - at <= LONGEST for at in (0.0, 59.9, 60.0, 1e9 + 0.5))


def test_an_answer_is_kept_once_and_goes_with_the_last_that_has_it():
    shelf = Shelf()
    one, other = (Kept((n, 0), 5.0, alike((), b"nothing")) for n in range(2))
    places = [shelf.take(one), shelf.take(other), shelf.take(Kept((0, 0), 5.0, alike((), b"nothing")))]
    assert places == [0, 1, 0]
    assert (shelf.at(0), shelf.at(1)) == (one, other)
    shelf.leave(0)
    assert shelf.at(0) == one
    shelf.leave(0)
    third = Kept((9, 9), 5.0, alike((), b"nothing"))
    assert shelf.take(third) == 0  # in the place that is free
    assert (shelf.at(0), shelf.at(1)) == (third, other)
    assert shelf.take(one) == 2


def test_an_answer_that_is_kept_takes_150_bytes(world):
    """A worker keeps one for each of 100,000 terminals beside everything else it holds."""
    many, polls = 5_000, Polls(None, world.delivery)
    said = {"type": "http", "method": "GET", "query_string": b"", "scheme": "http", "headers": []}
    tracemalloc.start()
    for n in range(many):
        kept = Kept((0, 0), latest(time.time()), alike((), b"nothing"))
        polls.keep(said | {"raw_path": b"/DEFAULT/controller/v1/t%d" % n}, 1_000_000 + n, kept)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 150 * many
