"""CoAP against the real server: the contract of all carriers, heartbeats, files block by block, and who is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.carriers import datagram
from neurath.carriers.coap import Coap, with_block
from neurath.carriers.datagram import Link, Request
from neurath.carriers.http import Place
from neurath.errors import DataError, LinkError, RefusedError
from neurath.ids import digest
from neurath.server.device import Policy
from neurath.server.fleet import access
from neurath.sim.datagrams import DatagramLink, Weather
from neurath.terminal.heart import Spare
from neurath.terminal.staging.durable import Folder
from neurath.terminal.staging.trickle import Session
from neurath.wire import coap, trickle
from neurath.wire.coap import Block, Code
from neurath.wire.trickle import Ask, Reply, State
from tests.contracts.carrier import CarrierContract, Site, secured
from tests.contracts.riding import RidesContract, RideSite, Shelf
from tests.contracts.served import NEW, OLD, Damage, ServedSite
from tests.server.coap_site import CoapServer, serving

#: How long an answer is waited for that comes, seconds.
PATIENCE = 10.0


class RealSite(ServedSite):
    """A link that is whole is waited for as long as a busy machine takes, a cut one for a second."""

    def __init__(self, running: CoapServer, link: DatagramLink, cut: float = 1.0) -> None:
        carrier = Coap(Place(link.url, "unit", running.enrol("unit"), message_limit=PATIENCE))
        super().__init__(running.world, link, carrier)
        self._link, self._cut = carrier._link, cut

    def cut_after(self, count: int) -> None:
        super().cut_after(count)
        self._link.limit = self._cut

    def mend(self) -> None:
        super().mend()
        self._link.limit = PATIENCE


class TestCoap(CarrierContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with serving(tmp_path / "data") as running, DatagramLink(("127.0.0.1", running.port)) as link:
            site = RealSite(running, link)
            yield site
            site.carrier.close()


class TestCoapInBadWeather(CarrierContract):
    """The same where a tenth of the datagrams is lost, doubled or late."""

    @pytest.fixture
    def site(self, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
        for name in ("ACK_TIMEOUT", "SHORTEST"):
            monkeypatch.setattr(datagram, name, 0.1)  # a loopback's round trip: seconds would only make the test slow
        weather = Weather(loss=0.04, double=0.1, late=0.02)
        with serving(tmp_path / "data") as running, DatagramLink(("127.0.0.1", running.port), weather, seed) as link:
            site = RealSite(running, link, cut=PATIENCE)
            yield site
            site.carrier.close()

    def test_a_dead_link_is_a_link_error_everywhere(self, site: Site) -> None:
        """Waits for five deadlines: the clear weather's test is enough."""


class HeartbeatSite:
    """A shelf where the server asks what is to ride, behind the server's own CoAP plane."""

    terminal = "unit"
    cost = 1

    def __init__(self, running: CoapServer, link: DatagramLink, shelf: Shelf) -> None:
        self.shelf = shelf
        self.link = link
        self.rides = Coap(Place(link.url, "unit", running.enrol("unit"), message_limit=PATIENCE))
        self.damage = Damage(self.rides._link)

    def packets(self) -> int:
        return self.link.towards

    def cut(self) -> None:
        self.link.allow(0)
        self._patience(0.5)

    def mend(self) -> None:
        self.link.mend()
        self._patience(PATIENCE)

    def _patience(self, seconds: float) -> None:
        self.rides._place = replace(self.rides._place, message_limit=seconds)


class TestHeartbeat(RidesContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[RideSite]:
        shelf = Shelf()
        with serving(tmp_path, riding=shelf) as running, DatagramLink(("127.0.0.1", running.port)) as link:
            site = HeartbeatSite(running, link, shelf)
            yield site
            site.rides.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoapServer]:
    with serving(tmp_path_factory.mktemp("coap") / "data") as made:
        made.world.release("1.0", OLD, 1)
        made.new = made.world.release("1.1", NEW, 2)  # type: ignore[attr-defined]
        yield made


def terminal(running: CoapServer, name: str, *, waits: bool, **place: object) -> Coap:
    link = Coap(replace(Place(running.url, name, running.enrol(name), message_limit=5), **place))  # type: ignore[arg-type]
    assert link.check(running.world.says(OLD, stage=1 << 20)).offer is None
    if waits:
        with running.world.store.read() as db:
            running.world.start(running.new, access.find(db, name))  # type: ignore[attr-defined]
    return link


def test_the_file_comes_whole_on_heartbeats_and_the_check_in_after_it_gives_its_ticket(
    running: CoapServer, tmp_path: Path
) -> None:
    link = terminal(running, "whole", waits=True)
    session = Session(Folder(tmp_path, 1 << 20))
    complete = None
    while complete is None:
        complete = session.accept(link.beat(trickle.encode_state(session.state(1024, 255)))).complete
    offer = link.check(running.world.says(OLD, stage=1 << 20)).offer
    assert offer is not None
    assert (offer.file, offer.size) == (complete.file, complete.size)
    assert offer.ticket
    assert digest((tmp_path / f"{offer.file[:16].hex()}.nru").read_bytes()) == offer.file
    with pytest.raises(RefusedError):  # A6: the bulk route stays closed until memory is secured
        next(iter(link.fetch(offer.file, 0, offer.size)))


def test_what_a_piece_of_200_bytes_costs_beside_itself(running: CoapServer) -> None:
    link = terminal(running, "narrow", waits=True)
    seen: list[int] = []
    receive = link._link._receive

    def measured(timeout: float):  # type: ignore[no-untyped-def]
        message = receive(timeout)
        if message is not None:
            seen.append(len(coap.encode(message)))
        return message

    link._link._receive = measured  # type: ignore[method-assign]
    reply = trickle.decode_reply(link.beat(trickle.encode_state(State(room=208))))
    assert (len(reply.pieces), reply.size) == (1, 200)
    assert seen == [200 + 17]


def test_a_heartbeat_is_two_datagrams_with_and_without_an_update(running: CoapServer, seed: int) -> None:
    counts = []
    for name, waits in (("idle", False), ("busy", True)):
        with DatagramLink(("127.0.0.1", running.port), seed=seed) as link:
            carrier = terminal(running, name, waits=waits, url=link.url)
            before = link.datagrams
            state = State(room=carrier.descriptor.reply_room, link=255)
            came = [trickle.decode_reply(carrier.beat(trickle.encode_state(state))) for _ in range(20)]
            counts.append(link.datagrams - before)
            assert any(reply.pieces for reply in came) is waits
    assert counts == [40, 40]


def wide(counts: list[int]) -> bool:
    return counts[-1] >= 3


def narrow(counts: list[int]) -> bool:
    return counts[-4:] == [1, 1, 1, 1]


def test_the_number_of_pieces_goes_up_and_down_with_the_line(running: CoapServer) -> None:
    """B9, T23 over CoAP: a wide line, one of 3,000 bytes a second, and the wide one again."""
    with DatagramLink(("127.0.0.1", running.port)) as link:
        carrier = terminal(running, "varies", waits=True, url=link.url)
        program = trickle.decode_reply(carrier.beat(trickle.encode_state(State(room=208)))).program
        spare = Spare()
        for weather, reached in ((Weather(), wide), (Weather(rate=3000.0), narrow), (Weather(), wide)):
            link.weather = weather
            counts = [0]
            for beat in range(250):
                room = 8 if beat % 8 == 1 else 1024
                state = State(Ask.PIECES, program, 0, room, trickle.link_class(spare.rate))
                began = time.monotonic()
                data = carrier.beat(trickle.encode_state(state))
                spare = spare.heard(len(data) - 8, time.monotonic() - began)
                counts += [len(trickle.decode_reply(data).pieces)] if room > 8 else []
                if reached(counts):
                    break
                time.sleep(0.2)
            assert reached(counts), counts


def test_a_lost_heartbeat_is_lost_and_the_next_one_is_answered(running: CoapServer) -> None:
    with DatagramLink(("127.0.0.1", running.port)) as link:
        carrier = terminal(running, "lossy", waits=False, url=link.url)
        patient = carrier._place
        link.allow(0)
        carrier._place = replace(patient, message_limit=0.5)
        with pytest.raises(LinkError):
            carrier.beat(trickle.encode_state(State()))
        link.mend()
        carrier._place = patient
        assert trickle.decode_reply(carrier.beat(trickle.encode_state(State()))) == Reply()


def test_a_stranger_and_a_malformed_state_are_refused(running: CoapServer) -> None:
    link = terminal(running, "odd", waits=False)
    for body in (b"", b"\x40", bytes(12), bytes(1000)):
        with pytest.raises((RefusedError, DataError)):
            link.beat(body)
    for name, token in (("odd", "wrong"), ("odd", ""), ("nobody", "wrong")):
        with pytest.raises(RefusedError) as caught:
            Coap(Place(running.url, name, token, message_limit=5)).beat(trickle.encode_state(State()))
        assert "4.01" in caught.value.why
        assert "neurath terminal add" in caught.value.hint


def test_a_terminal_of_another_tenant_is_another_terminal(running: CoapServer) -> None:
    own = Place(running.url, "twin", running.enrol("twin", "blue"), "blue", message_limit=5)
    assert trickle.decode_reply(Coap(own).beat(trickle.encode_state(State()))) == Reply()
    with pytest.raises(RefusedError):
        Coap(replace(own, tenant="DEFAULT")).beat(trickle.encode_state(State()))


def test_the_server_sets_the_pace(tmp_path: Path) -> None:
    with serving(tmp_path, Policy(77)) as running:
        link = Coap(Place(running.url, "unit", running.enrol("unit"), message_limit=5))
        assert 70 <= link.check(running.world.says(OLD)).again_in <= 84  # its own of them


def test_an_unknown_terminal_is_let_in_where_the_operator_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, Policy(300, plug_and_play=True)) as running:
        running.world.release("1.0", OLD, 1)
        link = Coap(Place(running.url, "new", message_limit=5))
        assert link.check(running.world.says(OLD)).offer is None
        with running.world.store.read() as db:
            assert access.find(db, "new").model == "phone"  # taken from its check-in


def test_every_malformed_request_is_a_4xx_and_never_a_5xx(running: CoapServer) -> None:
    token = running.enrol("prober")
    link = Link(running.url, 5)
    shown = ((coap.TOKEN_OPTION, token.encode()),)
    cases = [
        (code, (*coap.path(*where), *shown), body)
        for code in (Code.GET, Code.POST, Code.PUT)
        for where in (
            (),
            ("c",),
            ("c", "prober"),
            ("r", "prober"),
            ("h", "prober"),
            ("f", "prober", "zz"),
            ("x", "zz"),
            ("q",),
        )
        for body in (b"", b"\xff\xff", b"\xa1\x01\x01")
    ]
    for code, options, body in cases:
        assert link.ask(Request(code, options, body)).code >> 5 == 4, (code, options, body)
    there = link.ask(Request(Code.GET, coap.path(".well-known", "core")))
    assert b'rt="neurath.heartbeat"' in there.payload


def test_a_block_beyond_the_file_is_refused_and_small_blocks_come_whole(running: CoapServer) -> None:
    carrier = terminal(running, "blocks", waits=True)
    offer = carrier.check(running.world.says(OLD)).offer
    assert offer is not None
    carrier.report(secured(offer))
    file = running.world.store.files.verified(offer.file.hex()).read_bytes()
    request = carrier._request(Code.GET, coap.FILE, offer.file[:16].hex())
    for exponent in (0, 2, 6):
        size = 16 << exponent
        answer = carrier._link.ask(with_block(request, Block(3, False, exponent)))
        assert answer.payload == file[3 * size : 4 * size]
        assert answer.block(coap.BLOCK2) == Block(3, True, exponent)
    assert carrier._link.ask(with_block(request, Block(0xFFFF))).code == Code.BAD_REQUEST
