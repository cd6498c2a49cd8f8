"""An identity has its share of a worker and no more, whoever else stands behind its address; and bodies come in time."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest

from neurath.server import shares
from neurath.server.access import people, sessions, tokens
from neurath.server.access.people import Newcomer
from neurath.server.access.roles import Actor, Role
from neurath.server.access.tokens import Asked
from neurath.server.shares import Overdrawn, Share, Shares
from tests.server.test_http import Client, serving


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_so_many_at_once_and_so_many_a_second_and_nobody_elses_are_counted():
    clock = Clock()
    book = Shares(Share(at_once=2, rate=10.0, burst=4.0), clock)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(book.taken("one"))
        with pytest.raises(Overdrawn), book.taken("one"):
            pass
        with book.taken("other"):
            pass
    for _ in range(2):
        with book.taken("one"):
            pass
    with pytest.raises(Overdrawn) as caught, book.taken("one"):
        pass
    assert caught.value.wait > 0
    clock.now = 0.25
    for _ in range(2):
        with book.taken("one"):
            pass
    with pytest.raises(Overdrawn), book.taken("one"):
        pass
    clock.now = 1000.0
    for _ in range(4):  # an account never holds more than its burst
        with book.taken("one"):
            pass
    with pytest.raises(Overdrawn), book.taken("one"):
        pass


def test_a_failed_request_is_over_too():
    book = Shares(Share(at_once=1, rate=1000.0, burst=1000.0))
    for _ in range(3):
        with pytest.raises(ValueError, match="mine"), book.taken("one"):
            raise ValueError("mine")


def test_who_has_all_of_his_again_is_forgotten_and_who_owes_something_is_not(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(shares, "MOST", 100)
    book = Shares(Share(at_once=1, rate=1.0, burst=2.0), clock)
    for who in ("greedy", "greedy", *(f"t{n}" for n in range(99))):
        with book.taken(who):
            pass
    clock.now = 1.5
    with book.taken("late"):
        pass
    assert set(book._accounts) == {"greedy", "late"}
    with book.taken("greedy"):
        pass
    with pytest.raises(Overdrawn), book.taken("greedy"):
        pass


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A server whose shares are two requests; what comes in a second is next to nothing."""
    patch = pytest.MonkeyPatch()
    small = Share(at_once=64, rate=0.001, burst=2.0)
    patch.setattr("neurath.server.device.TERMINAL", small)
    patch.setattr("neurath.server.access.gate.OPERATOR", small)
    patch.setattr(shares, "BODY_DEADLINE", 0.5)
    with serving(tmp_path_factory.mktemp("narrow") / "data") as running:
        with running.world.store.write() as db:
            people.add(db, Newcomer("mila", Role.ADMIN, "seven words that nobody has said"), time.time())
        yield running
    patch.undo()


def bearer(narrow, name):
    with narrow.world.store.write() as db:
        given = tokens.add(db, Asked(name, Role.VIEWER, 9), Actor("", Role.ADMIN, "command"), time.time())
    return {"Authorization": f"Bearer {given}"}


def test_a_terminal_that_asks_too_much_waits_and_its_neighbour_behind_the_same_address_does_not(narrow):
    greedy, modest = narrow.enrol("greedy"), narrow.enrol("modest")
    answers = [greedy.ask("GET", "confirmationBase") for _ in range(4)]
    assert [one.status for one in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json["errorCode"] == "NRT-370"
    assert modest.ask("GET", "confirmationBase").status == 200
    # Whoever only says the greedy one's name takes nothing from anybody.
    assert Client(narrow.port, "a" * 48, "modest").ask("GET", "confirmationBase").status == 401
    assert modest.ask("GET", "confirmationBase").status == 200


def test_a_token_and_a_session_that_ask_too_much_wait_and_others_do_not(narrow):
    api, anyone = "/api/v1/models", Client(narrow.port)
    one, two = bearer(narrow, "one"), bearer(narrow, "two")
    answers = [anyone.ask("GET", api, **one) for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert anyone.ask("GET", api, **two).status == 200
    with narrow.world.store.write() as db:
        secret = sessions.begin(db, people.find(db, "mila"), "127.0.0.1", time.time())
    cookie = {"Cookie": f"neurath_session={secret}"}
    assert [anyone.ask("GET", api, **cookie).status for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("path", ["/api/v1/terminals/import", "/api/v1/terminals", "/api/v1/session"])
def test_a_body_that_does_not_come_is_waited_for_no_longer_than_its_deadline(narrow, path):
    name = path.strip("/").replace("/", "-")
    with narrow.world.store.write() as db:
        given = tokens.add(db, Asked(name, Role.ADMIN, 9), Actor("", Role.ADMIN, "command"), time.time())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    shown = "" if path == "/api/v1/session" else f"Authorization: Bearer {given}\r\n"  # one signs in with nothing to show
    with socket.create_connection(("127.0.0.1", narrow.port), 60) as link:
        link.sendall(f"{head}{shown}\r\nhalf".encode())
        answer = b"".join(iter(lambda: link.recv(65536), b""))  # the server hangs up, or this waits for ever
    assert answer[9:12] in (b"400", b"422"), answer[:200]
