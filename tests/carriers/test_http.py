"""DDI over real sockets, under the contract of all carriers, and what only HTTP can do wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from neurath.carriers.heartbeat import HttpHeartbeat
from neurath.carriers.http import Http, Place
from neurath.carriers.memory import Shelf
from neurath.errors import DataError, LinkError, NeurathError, RefusedError, UsageError
from neurath.ids import digest
from neurath.sim.link import CuttingLink
from neurath.wire.offer import Offer
from neurath.wire.report import Report
from tests.carriers.ddi_stub import TOKEN, DdiStub
from tests.contracts.carrier import CHECK, FILE, OFFER, CarrierContract, Site, secured


class HttpSite:
    check = CHECK

    def __init__(self, server: DdiStub, link: CuttingLink, token: str = TOKEN) -> None:
        self.server = server
        self.far = server.far
        self.link = link
        self.carrier = Http(Place(link.url, "unit", token, message_limit=5))

    def publish(self) -> Offer:
        self.far.offer, self.far.files = OFFER, {digest(FILE): FILE}
        return OFFER

    def data(self) -> bytes:
        return FILE

    def pin(self) -> None:
        self.far.pinned.add(digest(FILE))

    def withdraw(self) -> None:
        self.far.closed.add(OFFER.action)

    def cut_after(self, count: int) -> None:
        self.link.allow(count)

    def mend(self) -> None:
        self.link.mend()

    def told(self) -> list[Report]:
        return self.far.told


class TestHttp(CarrierContract):
    @pytest.fixture
    def site(self) -> Iterator[Site]:
        with DdiStub(Shelf()) as server, CuttingLink(server.place) as link:
            yield HttpSite(server, link)


class TestHeartbeat(CarrierContract):
    """The carrier with a heartbeat is the same carrier."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        with DdiStub(Shelf()) as server, CuttingLink(server.place) as link:
            site = HttpSite(server, link)
            site.carrier = HttpHeartbeat(Place(link.url, "unit", TOKEN, message_limit=5))
            yield site

    def test_a_wrong_token_is_refused_with_a_way_out(self, site: HttpSite) -> None:
        stranger = HttpSite(site.server, site.link, "wrong").carrier
        with pytest.raises(RefusedError) as caught:
            stranger.check(CHECK)
        assert "neurath terminal add" in caught.value.hint
        assert caught.value.exit_code == 5

    def test_a_server_that_ignores_range_is_read_from_the_start(self, site: HttpSite) -> None:
        offer = site.publish()
        site.carrier.check(CHECK)
        site.carrier.report(secured(offer))
        site.server.ignores_range = True
        assert b"".join(site.carrier.fetch(offer.file, 5000, 300)) == FILE[5000:5300]
        assert site.carrier.check(CHECK).offer == offer

    def test_a_server_that_sends_another_range_is_caught(self, site: HttpSite) -> None:
        offer = site.publish()
        site.carrier.check(CHECK)
        site.carrier.report(secured(offer))
        site.server.shifts_range = 7
        with pytest.raises(DataError):
            b"".join(site.carrier.fetch(offer.file, 5000, 300))

    def test_the_server_may_set_the_pace(self, site: HttpSite) -> None:
        assert site.carrier.check(CHECK).again_in == 60.0


def test_a_dead_server_is_a_link_error_with_exit_code_6() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(LinkError) as caught:
        Http(Place(f"http://127.0.0.1:{port}", "unit")).check(CHECK)
    assert caught.value.exit_code == 6
    assert all((caught.value.what, caught.value.why, caught.value.hint))


@pytest.mark.parametrize("url", ["", "ftp://there", "127.0.0.1:8642", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        Http(Place(url, "unit"))


#: The head of a record of TLS, of which the rest is to come.
RECORD = b"\x16\x03\x03\x40\x00"
#: The answer of a proxy to CONNECT, which is no answer of the server's yet.
TUNNEL = b"HTTP/1.1 200 Connection established\r\nX: "


@pytest.mark.parametrize(
    "drip", [b"H", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", RECORD, TUNNEL]
)
def test_a_server_that_drips_is_cut_off_at_an_absolute_deadline(drip: bytes) -> None:
    """Each byte comes in time, the whole never does: idle timeouts alone would wait for ever."""
    stop = threading.Event()
    watch = threading.Timer(60, stop.set)  # its bytes end then, and without a deadline the test with them
    watch.start()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            near, _ = listener.accept()
            with near:
                near.recv(4096)
                near.sendall(drip)
                while not stop.wait(0.05):
                    try:
                        near.sendall(b"a")
                    except OSError:
                        return

        threading.Thread(target=serve, daemon=True).start()
        here = f"127.0.0.1:{listener.getsockname()[1]}"
        place = Place(f"{'https' if drip is RECORD else 'http'}://{here}", "unit", message_limit=0.4)
        if drip is TUNNEL:
            place = replace(place, url="https://server.invalid", proxy=f"http://{here}")
        with pytest.raises(LinkError, match=r"does not answer") as met:
            Http(place).check(CHECK)
        assert not stop.is_set()
        assert "no whole answer within" in str(met.value.why)
        watch.cancel()
        stop.set()


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!"])
def test_an_answer_that_is_no_answer_is_an_error_of_ours(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            near, _ = listener.accept()
            near.recv(4096)
            near.sendall(answer)
            near.close()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(NeurathError):
            Http(Place(f"http://127.0.0.1:{listener.getsockname()[1]}", "unit", message_limit=2)).check(CHECK)
