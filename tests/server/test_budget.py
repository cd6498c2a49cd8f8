"""Bytes a terminal may be sent in a month: counted as they leave, an offer withheld with its reason where they do not suffice,
free again at the month's turn or by an operator's word."""

from __future__ import annotations

import datetime
import json

import pytest
from starlette.testclient import TestClient

from neurath.cli.main import main
from neurath.errors import UsageError
from neurath.server.api import management
from neurath.server.delivery.calls import Nothing, Offered
from neurath.server.fleet import actions, budget, tenants
from neurath.server.fleet.tenants import Tenant
from tests.server.world import image

#: The stand-in delta of a phone's image.
SIZE = 5000
APRIL = datetime.datetime(2027, 4, 30, 23, 59, 50, tzinfo=datetime.UTC).timestamp()


def give(world, terminal, count):
    with world.store.write() as db:
        budget.give(db, terminal, count)


def account(world, terminal, now=APRIL):
    with world.store.read() as db:
        return budget.account(db, terminal, now)


@pytest.fixture
def offered(world):
    """A terminal for which a delta of 5,000 bytes is waiting."""
    world.now = APRIL
    world.release("1", image(1), 1)
    world.start(world.release("2", image(2), 2))
    terminal = world.terminal()
    world.delivery.record(terminal, world.says(image(1)), APRIL)
    return terminal


def test_an_offer_that_costs_more_than_is_left_is_withheld_and_why_says_so(world, offered):
    give(world, offered, SIZE - 1)
    decision = world.delivery.decide(offered, "firmware", APRIL)
    assert isinstance(decision, Nothing)
    assert decision.reason == "its budget of 4,999 bytes a month has 4,999 left, and this takes 5,000: until 2027-05-01"
    assert world.delivery.why(offered, "firmware", APRIL) == decision.reason
    assert decision.until == APRIL + 10  # a poll that is kept is not kept longer
    give(world, offered, SIZE)
    assert "next check-in" in world.delivery.why(offered, "firmware", APRIL)
    assert isinstance(world.delivery.decide(offered, "firmware", APRIL), Offered)


def test_bytes_are_counted_as_they_leave_and_free_again_at_the_months_turn(world, offered):
    give(world, offered, SIZE + 100)
    action = world.delivery.decide(offered, "firmware", APRIL).action
    assert world.delivery.served(action, 0, 3000, APRIL)
    assert world.delivery.served(action, 0, 2000, APRIL)  # sent twice is paid twice
    assert (account(world, offered).used, account(world, offered).left) == (5000, 100)
    # What was offered is not cut short: it would have cost what it did and brought nothing.
    assert world.delivery.served(action, 2000, 3000, APRIL)
    assert isinstance(world.delivery.decide(offered, "firmware", APRIL), Offered)
    assert account(world, offered).left == 0
    with world.store.write() as db:
        actions.end(db, action, "closed", APRIL)
    assert isinstance(world.delivery.decide(offered, "firmware", APRIL + 9), Nothing)
    assert isinstance(world.delivery.decide(offered, "firmware", APRIL + 10), Offered)
    assert account(world, offered, APRIL + 10).used == 0
    assert account(world, offered).used == 8000  # last month's account stays


def test_a_tenants_budget_is_everybodys_who_has_none_of_his_own(world, offered):
    with world.store.write() as db:
        tenants.keep(db, "DEFAULT", Tenant(budget=10))
    assert isinstance(world.delivery.decide(offered, "firmware", APRIL), Nothing)
    give(world, offered, 0)  # no limit for this one
    assert account(world, offered).left is None
    assert "next check-in" in world.delivery.why(offered, "firmware", APRIL)
    give(world, offered, None)
    assert "budget of 10 bytes" in world.delivery.why(offered, "firmware", APRIL)
    with pytest.raises(UsageError):
        give(world, offered, -1)


def test_a_torn_terminal_has_its_file_whatever_it_costs(world, offered):
    action = world.delivery.decide(offered, "firmware", APRIL).action
    give(world, offered, 1)
    torn = world.says(image(1), open_file=bytes.fromhex(action.file)[:16])
    world.delivery.record(offered, torn, APRIL)
    decision = world.delivery.decide(offered, "firmware", APRIL)
    assert isinstance(decision, Offered)
    assert world.delivery.served(decision.action, 0, SIZE, APRIL)


def test_budgets_are_given_by_verb_and_by_request(world, offered, capsys):
    where = ["--data", str(world.store.directory)]
    assert main(["terminal", "budget", "t1", "20M", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["budget"] == 20_000_000
    assert main(["terminal", "budget", "t1", "much", *where]) == 2
    assert main(["tenant", "set", "--budget", "500k", *where]) == 0
    api = TestClient(management(world.store, world.delivery))
    assert api.put("/terminals/t1/budget", json={"bytes": None}).json()["budget"] == 500_000
    assert api.put("/terminals/t1/budget", json={"bytes": 7}).json()["own"]
    assert api.get("/terminals/t1/budget").json()["budget"] == 7
    assert api.put("/terminals/t1/budget", json={"bytes": -1}).status_code == 422
