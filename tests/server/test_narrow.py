"""The narrow profile at one table: our client, our server, and between them one who records, changes, forges and replays."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.carriers import narrowing
from neurath.carriers.coap import Coap
from neurath.carriers.datagram import Link, Request
from neurath.carriers.http import Place
from neurath.errors import LinkError, RefusedError
from neurath.server.device import Policy
from neurath.server.fleet import access
from neurath.wire import coap, narrow
from neurath.wire import report as reports
from neurath.wire.coap import Code, Message, Type
from neurath.wire.report import Phase, Report
from tests.contracts.delivery import OLD
from tests.server.coap_site import CoapServer, serving, stocked


@pytest.fixture
def site(tmp_path: Path) -> Iterator[CoapServer]:
    with stocked(tmp_path / "data") as found:
        yield found


def client(site: CoapServer, token: str, name: str = "t1", tenant: str = "DEFAULT") -> Coap:
    """A terminal whose power was just switched on: it remembers nothing."""
    narrowing._open.clear()
    return Coap(Place(site.url, name, token, tenant, message_limit=10.0, narrow=True))


def sealed(one: Coap, report: Report) -> Request:
    """A report as it goes out, for whoever records it."""
    assert one._shield is not None
    outer, _ = one._shield.protect(one._request(Code.POST, coap.REPORT, payload=reports.encode(report)))
    return outer


def played(site: CoapServer, request: Request) -> Message:
    """What the server says to it, from another socket with another message id: a recording, no repetition."""
    return Link(site.url, 10.0).ask(request)


def test_an_update_goes_its_whole_way_and_the_token_is_nowhere(site: CoapServer) -> None:
    token = site.begun()
    sent: list[bytes] = []
    one = client(site, token)
    send = one._link._send
    one._link._send = lambda data: (sent.append(data), send(data))[1]  # type: ignore[method-assign, func-returns-value]
    offer = one.check(site.world.says(OLD)).offer
    assert offer is not None
    one.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    data = b"".join(one.fetch(offer.file, 0, offer.size))
    assert hashlib.sha256(data).digest() == offer.file
    assert one.still_wanted(offer.action)
    assert not one.still_wanted("999")
    assert len(sent) > 5
    assert not any(token.encode() in datagram for datagram in sent)
    # What it costs: 4 bytes of option, its counter and its tag; the token cost 4 and itself.
    first = coap.decode(sent[-1]).all(narrow.OPTION)
    assert len(first[0]) <= 12


def test_what_was_heard_once_is_not_heard_again(site: CoapServer) -> None:
    one = client(site, site.begun())
    offer = one.check(site.world.says(OLD)).offer
    assert offer is not None
    recorded = sealed(one, Report(offer.action, Phase.OFFERED, secured=7))
    assert played(site, recorded).code == Code.CHANGED
    one.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    again = played(site, recorded)
    assert again.code == Code.UNAUTHORIZED
    assert site.secured(offer.action) == offer.size
    one.check(site.world.says(OLD))  # who was played goes on as ever


def test_requests_that_overtake_one_another_count_once_each(site: CoapServer) -> None:
    one = client(site, site.begun())
    one.check(site.world.says(OLD))
    assert one._shield is not None
    several = [one._shield.protect(one._request(Code.GET, coap.ACTION, "999"))[0] for _ in range(8)]
    random.Random(5).shuffle(several)
    assert {played(site, request).code for request in several} == {Code.NOT_FOUND}
    assert {played(site, request).code for request in several} == {Code.UNAUTHORIZED}


def test_a_bit_that_flips_anywhere_is_found(site: CoapServer) -> None:
    one = client(site, site.begun())
    offer = one.check(site.world.says(OLD)).offer
    assert offer is not None
    request = sealed(one, Report(offer.action, Phase.OFFERED, secured=offer.size))
    whole = coap.encode(Message(Type.CON, request.code, 1, b"tk", request.options, request.payload))
    with contextlib.ExitStack() as held:
        airs = [held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in whole]
        for at in [1, *range(6, len(whole))]:  # message id and token are the message layer's
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            changed[2:4] = at.to_bytes(2, "big")
            airs[at].setblocking(False)
            airs[at].sendto(changed, ("127.0.0.1", site.port))
            # Asked until it is answered: then what was sent before it was looked at.
            assert Link(site.url, 20.0).ask(Request(Code.GET, coap.path(coap.RESCUE, "0"))).code == Code.BAD_REQUEST
            assert site.secured(offer.action) == 0, at
            with contextlib.suppress(BlockingIOError):
                assert coap.decode(airs[at].recv(2000)).code >> 5 != 2, at
    assert played(site, request).code == Code.CHANGED
    assert site.secured(offer.action) == offer.size


def test_after_a_restart_of_the_server_nothing_recorded_counts_and_nobody_is_locked_out(tmp_path: Path) -> None:
    with stocked(tmp_path / "data") as site:
        one = client(site, site.begun())
        offer = one.check(site.world.says(OLD)).offer
        assert offer is not None
        delivered = sealed(one, Report(offer.action, Phase.OFFERED, secured=3))
        held_back = sealed(one, Report(offer.action, Phase.OFFERED, secured=offer.size))
        assert played(site, delivered).code == Code.CHANGED
        assert isinstance(one._shield, narrowing.Narrow)
        assert one._shield.spoken.epoch != narrow.NONE
    with serving(tmp_path / "data") as site:
        assert played(site, delivered).code == Code.UNAUTHORIZED
        assert played(site, held_back).code == Code.UNAUTHORIZED
        assert site.secured(offer.action) == 3
        same = Coap(dataclasses.replace(one._place, url=site.url))  # its power stayed on: epoch and counter are the old ones
        same.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
        assert site.secured(offer.action) == offer.size
        assert played(site, held_back).code == Code.UNAUTHORIZED


def test_recorded_before_a_power_cut_and_played_after_it_nothing_counts_and_nobody_is_locked_out(site: CoapServer) -> None:
    token = site.begun()
    recorded = []
    for life in range(4):
        one = client(site, token)  # no counter, no epoch
        offer = one.check(site.world.says(OLD)).offer
        assert offer is not None
        recorded.append(sealed(one, Report(offer.action, Phase.OFFERED, secured=life + 1)))
        assert played(site, recorded[-1]).code == Code.CHANGED
        recorded.append(sealed(one, Report(offer.action, Phase.OFFERED, secured=100 + life)))  # lost on its way
    fresh = client(site, token)
    assert fresh.check(site.world.says(OLD)).offer is not None
    assert {played(site, request).code for request in recorded} == {Code.UNAUTHORIZED}
    assert site.secured(offer.action) == 4


def test_a_cut_terminal_takes_no_answer_of_its_life_before(site: CoapServer) -> None:
    """Somebody between plays what the server answered to the same question a power cut ago: epoch, offer and all."""
    token = site.begun()
    one = client(site, token)
    answers: list[Message] = []
    asks = one._link.ask

    def recorded(request: Request, limit: float | None = None) -> Message:
        answers.append(asks(request, limit))
        return answers[-1]

    one._link.ask = recorded  # type: ignore[method-assign]
    one.check(site.world.says(OLD))
    assert [answer.code for answer in answers] == [Code.UNAUTHORIZED, Code.CHANGED]
    cut = client(site, token)
    cut._link.ask = lambda request, limit=None: answers.pop(0)  # type: ignore[method-assign]
    with pytest.raises(LinkError, match="not protected"):
        cut.check(site.world.says(OLD))


@pytest.mark.parametrize("wrong", ["another token", "another terminal", "another tenant", "nobody's id"])
def test_who_has_not_the_token_is_asked_as_nobody_known_is(site: CoapServer, wrong: str) -> None:
    token = site.begun()
    site.enrol("t2")
    name = {"another terminal": "t2", "nobody's id": "t9"}.get(wrong, "t1")
    tenant = "other" if wrong == "another tenant" else "DEFAULT"
    one = client(site, "x" * 48 if wrong == "another token" else token, name, tenant)
    assert one._shield is not None
    outer, _ = one._shield.protect(one._request(Code.GET, coap.ACTION, "1"))
    first, second = played(site, outer), played(site, outer)
    for answer in (first, second):
        assert (answer.code, len(answer.all(narrow.ECHO)[0]), len(answer.payload)) == (Code.UNAUTHORIZED, 12, 8)
    assert first.options == second.options
    with pytest.raises(LinkError, match="not protected"):
        one.check(site.world.says(OLD))


def test_one_terminals_request_is_not_anothers(site: CoapServer) -> None:
    """Its path is turned to another terminal of the same token: the key is made for one id."""
    token = site.begun()
    with site.world.store.write() as db:
        access.register(db, access.Enrolment("t2", "phone", token=token), 0.0)
    one = client(site, token)
    one.check(site.world.says(OLD))
    assert one._shield is not None
    outer, _ = one._shield.protect(one._request(Code.GET, coap.ACTION, "1"))
    turned = tuple((number, b"t2" if value == b"t1" else value) for number, value in outer.options)
    assert played(site, dataclasses.replace(outer, options=turned)).code == Code.UNAUTHORIZED
    assert played(site, outer).code in (Code.CONTENT, Code.NOT_FOUND)


def test_an_answer_that_somebody_forges_or_changes_is_none(site: CoapServer) -> None:
    one = client(site, site.begun())
    one.check(site.world.says(OLD))
    asks, dice = one._link.ask, random.Random(3)

    def changed(request: Request, limit: float | None = None) -> Message:
        answer = asks(request, limit)
        data = bytearray(answer.payload)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        return dataclasses.replace(answer, payload=bytes(data))

    def forged(request: Request, limit: float | None = None) -> Message:
        return Message(Type.ACK, Code.CHANGED, 1, b"", (), b"\xa0" + bytes(8))

    for fault in (changed, forged, lambda request, limit=None: Message(Type.ACK, Code.CHANGED, 1, b"", (), b"\xa0")):
        one._link.ask = fault  # type: ignore[method-assign]
        with pytest.raises(LinkError, match="not protected"):
            one.check(site.world.says(OLD))
    one._link.ask = asks  # type: ignore[method-assign]
    assert one.check(site.world.says(OLD)).offer is not None


def test_a_new_token_ends_the_old_key_at_once(site: CoapServer) -> None:
    one = client(site, site.begun())
    one.check(site.world.says(OLD))
    with site.world.store.write() as db:
        fresh = access.renew_token(db, access.find(db, "t1"))
    with pytest.raises(LinkError):
        one.check(site.world.says(OLD))
    client(site, fresh).check(site.world.says(OLD))


def test_of_two_alike_at_once_one_is_let_through(site: CoapServer) -> None:
    one = client(site, site.begun())
    offer = one.check(site.world.says(OLD)).offer
    assert offer is not None
    request = sealed(one, Report(offer.action, Phase.OFFERED, secured=1))
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(played(site, request).code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(codes) == [Code.CHANGED] + [Code.UNAUTHORIZED] * 5


def test_where_the_operator_says_so_a_token_in_the_clear_is_refused_and_it_is_shown_who_sends_one(tmp_path: Path) -> None:
    with stocked(tmp_path / "open") as site:
        token = site.begun()
        for narrowly, shown in ((False, "coap"), (True, "coap+narrow"), (False, "coap")):
            narrowing._open.clear()
            Coap(Place(site.url, "t1", token, message_limit=10.0, narrow=narrowly)).check(site.world.says(OLD))
            site.world.delivery.flush()
            with site.world.store.read() as db:
                assert access.find(db, "t1").carrier == shown
    with stocked(tmp_path / "shut", Policy(300, coap_protected=True)) as site:
        token = site.begun()
        bare = Coap(Place(site.url, "t1", token, message_limit=10.0))
        with pytest.raises(RefusedError):
            bare.check(site.world.says(OLD))
        with pytest.raises(RefusedError):
            bare.beat(bytes([0x40]) + bytes(11))
        assert client(site, token).check(site.world.says(OLD)).offer is not None


def test_a_check_in_like_one_that_is_kept_says_only_that_and_what_changed(site: CoapServer) -> None:
    from neurath.wire import brief, cbor, check, offer

    one = client(site, site.begun())
    whole = check.encode(site.world.says(OLD))
    like = brief.digest(whole)

    def asked(keys: dict[int, object]) -> Message:
        return one._shielded(one._shield, one._request(Code.POST, coap.CHECK, payload=cbor.pack(keys)), 10.0)  # type: ignore[arg-type]

    assert asked({0: like}).code == 0x8C  # nothing is kept yet: 4.12
    said = cbor.unpack(whole, "check").values()
    full = asked({0: b"", **said})
    offered = cbor.unpack(full.payload, "offer").values()
    assert set(offered) == {4, 5, 6, 8}
    again = cbor.unpack(asked({0: like}).payload, "offer").values()
    assert again[5] == offered[5]
    assert asked({0: like, 4: 77}).code == Code.CHANGED  # lends less, all else is as it was
    moved = check.encode(dataclasses.replace(site.world.says(OLD), ram=77))
    assert asked({0: like}).code == 0x8C
    assert asked({0: brief.digest(moved)}).code == Code.CHANGED
    assert asked({0: b"1234567"}).code == Code.BAD_REQUEST
    assert offer.decode(one._whole(one._request(Code.POST, coap.CHECK, payload=whole))[1]) is not None
    by_action = one._request(Code.GET, coap.FILE, str(offered[8]))
    one.report(Report(str(offered[8]), Phase.OFFERED, secured=1_000_000))
    assert one._shielded(one._shield, by_action, 10.0).code == Code.CONTENT  # type: ignore[arg-type]


def test_who_waits_for_a_build_is_told_what_the_last_took_and_then_ever_longer(site: CoapServer) -> None:
    from neurath.server.delivery import told

    waits = told.Waits()
    assert [waits.again(1, 100.0 + gone) for gone in (0, 10, 20, 60, 600)] == [10, 5, 10, 30, 60]
    waits.over(site.world.store, 1)
    assert waits.again(1, 900.0) == 10
