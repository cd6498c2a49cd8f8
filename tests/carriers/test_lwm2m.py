"""Heartbeats over LwM2M: the contract of riding carriers, registrations and their ends, one exchange more and never two, and
clients that send no state of their own."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from neurath.carriers.datagram import Link, Request
from neurath.carriers.http import Place
from neurath.carriers.lwm2m import Lwm2mHeartbeat, rides
from neurath.errors import RefusedError
from neurath.ids import digest
from neurath.sim.datagrams import DatagramLink, Weather
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import coap, trickle
from neurath.wire.coap import Code
from neurath.wire.trickle import State
from tests.carriers.lwm2m_site import Running, served
from tests.contracts.riding import FILE, RidesContract, RideSite, Shelf, Stream, gathered
from tests.contracts.served import Damage

NEWS = trickle.encode_state(State())


class Lwm2mSite:
    terminal = "unit"
    cost = 2

    def __init__(self, running: Running, link: DatagramLink, shelf: Shelf, patience: float = 10.0) -> None:
        self.shelf, self.running, self.link, self._patience = shelf, running, link, patience
        self.rides = Lwm2mHeartbeat(Place(link.url, "unit", message_limit=patience))
        self.damage = Damage(self.rides._link)

    def packets(self) -> int:
        time.sleep(0.05)  # the answer to the last write is on its way
        return self.link.towards

    def cut(self) -> None:
        self.link.allow(0)
        self.rides._link.limit = 1.0

    def mend(self) -> None:
        self.link.mend()
        self.rides._link.limit = self._patience


@pytest.fixture
def site() -> Iterator[Lwm2mSite]:
    shelf = Shelf()
    with served(shelf) as running, DatagramLink(("127.0.0.1", running.port)) as link:
        made = Lwm2mSite(running, link, shelf)
        yield made
        made.rides.close()


class TestLwm2m(RidesContract):
    @pytest.fixture
    def site(self) -> Iterator[RideSite]:
        shelf = Shelf()
        with served(shelf) as running, DatagramLink(("127.0.0.1", running.port)) as link:
            made = Lwm2mSite(running, link, shelf)
            yield made
            made.rides.close()


def test_exactly_one_exchange_more_for_a_heartbeat_with_pieces_and_none_without(site: Lwm2mSite) -> None:
    site.rides.beat(NEWS)
    counts = []
    for streams in ([], [Stream(FILE)]):
        site.shelf.streams = streams
        before = site.link.datagrams
        for _ in range(20):
            site.rides.beat(trickle.encode_state(State(room=1024)))
        time.sleep(0.1)
        counts.append((site.link.datagrams - before) / 20)
    assert counts == [2, 2 + site.rides.descriptor.extra_packets]


def test_the_end_of_a_registration_is_met_by_a_new_one(site: Lwm2mSite) -> None:
    site.shelf.streams = [Stream(FILE)]
    session = Session(Ram(1 << 20))
    for _ in range(3):
        session.accept(site.rides.beat(trickle.encode_state(session.state(1024))))
    site.running.registry.sessions.clear()  # the server forgot, or was started again
    assert gathered(site, session) is not None
    assert len(site.running.registry.sessions) == 1
    site.rides.leave()
    assert site.running.registry.sessions == {}


def test_a_registration_ends_with_its_lifetime_and_a_second_one_takes_its_place(site: Lwm2mSite) -> None:
    short = Lwm2mHeartbeat(Place(site.link.url, "short", message_limit=10.0), lifetime=1)
    short.beat(NEWS)
    again = Lwm2mHeartbeat(Place(site.link.url, "short", message_limit=10.0), lifetime=1)
    again.beat(NEWS)
    assert [one.who.terminal for one in site.running.registry.sessions.values()] == ["short"]
    time.sleep(1.1)
    site.rides.beat(NEWS)
    assert [one.who.terminal for one in site.running.registry.sessions.values()] == ["unit"]


def test_in_bad_weather_the_file_comes_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurath.carriers import datagram

    for name in ("ACK_TIMEOUT", "SHORTEST"):
        monkeypatch.setattr(datagram, name, 0.1)
    shelf = Shelf([Stream(FILE)], most=5)
    weather = Weather(loss=0.05, double=0.1, late=0.05)
    with served(shelf) as running, DatagramLink(("127.0.0.1", running.port), weather, seed) as link:
        site = Lwm2mSite(running, link, shelf, patience=1.0)  # what is lost is waited for to its end
        complete = gathered(site, Session(Ram(1 << 20)))
        assert complete is not None
        assert complete.file == digest(FILE)
        site.rides.close()


class Plain:
    """A client that follows the standard and knows nothing of ours: it registers, updates, and stores what is written."""

    def __init__(self, running: Running) -> None:
        self.link = Link(f"coap://127.0.0.1:{running.port}", 2.0)
        words = ("ep=plain", "lt=60", "lwm2m=1.0", "b=U")
        options = (*coap.path("rd"), *((coap.URI_QUERY, word.encode()) for word in words))
        answer = self.link.ask(Request(Code.POST, options, b"</1/0>,</3/0>,</5/0>;ver=1.1"))
        self.location = tuple((coap.URI_PATH, part) for part in answer.all(coap.LOCATION_PATH))

    def update(self, store: bool = True) -> bytes | None:
        self.send_update()
        return self.written(0.3, store)

    def send_update(self) -> None:
        answer = self.link.ask(Request(Code.POST, (*self.location, (coap.URI_QUERY, b"lt=60"))))
        assert answer.code == Code.CHANGED
        assert answer.payload == b"", "the standard gives it none"

    def written(self, within: float, store: bool = True) -> bytes | None:
        """What is written to it in the next seconds."""
        asked = self.link.asked(time.monotonic() + within)
        if asked is None:
            return None
        self.link.answer(asked, Code.CHANGED if store else Code.CONFLICT)
        time.sleep(0.05)
        return asked.payload

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """Nobody listens at its port meanwhile."""
        assert self.link._socket is not None
        here, server = self.link._socket.getsockname(), self.link._socket.getpeername()
        self.link.close()
        yield
        self.link._socket = again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        again.bind(here)
        again.connect(server)

    def leave(self) -> None:
        """Deregisters, from another port."""
        other = Link(self.link.url, 5.0)
        assert other.ask(Request(Code.DELETE, self.location)).code == Code.DELETED
        other.close()


def test_a_client_without_a_state_of_its_own_gets_each_piece_once_and_a_refused_one_again(site: Lwm2mSite) -> None:
    stream = Stream(FILE)
    site.shelf.streams, site.shelf.most = [stream], 4
    client = Plain(site.running)
    session = Session(Ram(1 << 20))
    complete, firsts = None, []
    for turn in range(40):
        wrote = client.update(store=turn != 2)
        if wrote is None:
            break
        firsts.append(trickle.decode_reply(wrote).first)
        if turn != 2:
            complete = session.accept(wrote).complete or complete
    assert complete is not None
    assert complete.file == digest(FILE)
    assert firsts[3] == firsts[2]
    assert sorted(set(firsts)) == list(range(0, stream.plan.count, 4))
    assert (site.running.registry.written, site.running.registry.lost) == (len(firsts) - 1, 1)


@pytest.mark.parametrize("moment", [0.0, 0.4, 1.5], ids=["at once", "within a second", "later"])
def test_a_client_that_opens_its_port_only_after_the_answer_is_written_to_once_it_listens(
    site: Lwm2mSite, moment: float
) -> None:
    stream = Stream(FILE)
    site.shelf.streams, site.shelf.most = [stream], 4
    client = Plain(site.running)
    for turn in range(2):
        client.send_update()
        with client.deaf():
            time.sleep(moment)
        wrote = client.written(10.0)
        assert wrote is not None
        assert trickle.decode_reply(wrote).first == 4 * turn
        assert client.written(1.5) is None, "once"
    assert (site.running.registry.written, site.running.registry.lost) == (2, 0)


def test_nothing_more_is_written_to_a_client_that_has_deregistered(site: Lwm2mSite) -> None:
    site.shelf.streams, site.shelf.most = [Stream(FILE)], 4
    client = Plain(site.running)
    client.send_update()
    with client.deaf():
        time.sleep(0.2)  # by now it was refused, and would be written to again
        client.leave()
    assert client.written(2.0) is None
    assert site.running.registry.sessions == {}


MALFORMED = [
    (Code.POST, ("rd",), ("lt=60",)),
    (Code.POST, ("rd",), ("ep=a/b/c",)),
    (Code.POST, ("rd",), ("ep=..",)),
    (Code.POST, ("rd",), ("ep=unit", "lt=0")),
    (Code.POST, ("rd",), ("ep=unit", "lt=minus")),
    (Code.POST, ("rd",), ("ep=unit", "ep=other")),
    (Code.POST, ("rd", "nobody"), ()),
    (Code.DELETE, ("rd", "nobody"), ()),
    (Code.GET, ("rd",), ()),
    (Code.GET, ("q",), ()),
]


@pytest.mark.parametrize(("code", "path", "words"), MALFORMED)
def test_what_the_standard_does_not_say_is_a_4xx(
    site: Lwm2mSite, code: Code, path: tuple[str, ...], words: tuple[str, ...]
) -> None:
    options = (*coap.path(*path), *((coap.URI_QUERY, word.encode()) for word in words))
    assert Link(site.link.url, 2.0).ask(Request(code, options)).code >> 5 == 4
    assert site.running.registry.sessions == {}


def test_a_malformed_state_is_refused_and_a_client_without_object_5_is_left_alone(site: Lwm2mSite) -> None:
    site.shelf.streams = [Stream(FILE)]
    client = Plain(site.running)
    for bad in ("nrt=zz", "nrt=0", "nrt=AA"):
        answer = client.link.ask(Request(Code.POST, (*client.location, (coap.URI_QUERY, bad.encode()))))
        assert answer.code == Code.BAD_REQUEST
    link = Link(site.link.url, 2.0)
    words = (*coap.path("rd"), (coap.URI_QUERY, b"ep=sensor"))
    answer = link.ask(Request(Code.POST, words, b"</3/0>"))
    place = tuple((coap.URI_PATH, part) for part in answer.all(coap.LOCATION_PATH))
    assert link.ask(Request(Code.POST, place)).all(coap.ETAG) == ()
    assert link.asked(time.monotonic() + 0.2) is None


def test_a_server_that_is_none_is_refused(site: Lwm2mSite) -> None:
    class Other(Lwm2mHeartbeat):
        pass

    with pytest.raises(RefusedError):
        Other(Place(site.link.url, "no such/name/", message_limit=10.0)).beat(NEWS)
    assert rides("lwm2m://h", Place("", "unit"))._link.port == 5783
    assert rides("lwm2m://h:99", Place("", "unit"))._link.port == 99
