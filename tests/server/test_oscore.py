"""OSCORE between our client and the real aiocoap server: what was sent before, who may speak, what can be read."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.carriers import shield
from neurath.carriers.coap import Coap
from neurath.carriers.datagram import Request
from neurath.carriers.http import Place
from neurath.errors import DataError, LinkError
from neurath.server.fleet import access
from neurath.wire import coap, oscore
from neurath.wire.coap import Code, Message, Type
from neurath.wire.report import Phase, Report
from tests.contracts.delivery import OLD
from tests.server.coap_site import CoapServer, serving, stocked


@pytest.fixture
def site(tmp_path: Path) -> Iterator[CoapServer]:
    with stocked(tmp_path / "data") as found:
        yield found


def client(site: CoapServer, token: str, folder: Path, name: str = "t1", tenant: str = "DEFAULT") -> Coap:
    shield._open.clear()  # a new process
    return Coap(Place(site.url, name, token, tenant, message_limit=10.0, oscore=str(folder)))


def test_an_update_goes_its_whole_way_and_nothing_of_it_can_be_read(site: CoapServer, tmp_path: Path) -> None:
    token = site.begun()
    seen: list[bytes] = []
    one = client(site, token, tmp_path)
    send, receive = one._link._send, one._link._receive

    def sent(data: bytes) -> None:
        seen.append(data)
        send(data)

    def received(timeout: float) -> Message | None:
        found = receive(timeout)
        if found is not None:
            seen.append(coap.encode(found))
        return found

    one._link._send, one._link._receive = sent, received  # type: ignore[method-assign]
    offer = one.check(site.world.says(OLD)).offer
    assert offer is not None
    one.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    data = b"".join(one.fetch(offer.file, 0, offer.size))
    assert hashlib.sha256(data).digest() == offer.file
    assert one.still_wanted(offer.action)
    assert not one.still_wanted("999")
    wire = b"".join(seen)
    runs = {data[at : at + 16] for at in range(0, len(data) - 16, 16)} | {token.encode(), offer.file[:16], b"phone"}
    assert not any(run in wire for run in runs)
    assert any(run in data for run in runs)


def test_what_was_heard_once_is_not_heard_again(site: CoapServer, tmp_path: Path) -> None:
    one = client(site, site.begun(), tmp_path)
    assert one._shield is not None
    one.check(site.world.says(OLD))
    outer, asked = one._shield.protect(one._request(Code.GET, coap.ACTION, "1"))
    assert one._shield.unprotect(one._link.ask(outer), asked).code in (Code.CONTENT, Code.NOT_FOUND)
    again = one._link.ask(outer)  # another message id and token: an attacker's, not a repetition
    assert again.code == Code.UNAUTHORIZED
    assert b"Replay" in again.payload


def test_after_a_restart_of_the_server_a_recorded_request_is_asked_for_freshness_and_has_no_effect(tmp_path: Path) -> None:
    with stocked(tmp_path / "data") as site:
        token = site.begun()
        one = client(site, token, tmp_path)
        offer = one.check(site.world.says(OLD)).offer
        assert offer is not None
        assert one._shield is not None
        report = Report(offer.action, Phase.OFFERED, secured=offer.size)
        from neurath.wire import report as reports

        outer, _ = one._shield.protect(one._request(Code.POST, coap.REPORT, payload=reports.encode(report)))
    with serving(tmp_path / "data") as site:
        other = client(site, token, tmp_path / "elsewhere")
        answer = other._link.ask(outer)  # recorded before, never delivered
        assert answer.all(oscore.OSCORE)
        assert site.secured(offer.action) == 0
        one = client(site, token, tmp_path)
        one.report(report)  # the client proves that it is fresh, by itself
        assert site.secured(offer.action) == offer.size


def test_no_number_is_used_twice_whenever_the_terminal_is_cut(site: CoapServer, tmp_path: Path) -> None:
    token = site.begun()
    used: list[int] = []
    for life in range(4):
        one = client(site, token, tmp_path)
        assert one._shield is not None
        used += [one._shield.numbers.take() for _ in range(1 + life * 200)]
    assert len(used) == len(set(used))
    assert used == sorted(used)
    assert int(next(tmp_path.glob("oscore-*")).read_text()) > max(used)
    client(site, token, tmp_path).check(site.world.says(OLD))


def test_a_file_of_numbers_that_is_damaged_is_said_and_not_begun_anew(tmp_path: Path) -> None:
    shield._open.clear()
    one = shield.shield(str(tmp_path), "t1", "DEFAULT", "k" * 32)
    one.numbers.path.write_text("nonsense")
    with pytest.raises(DataError, match="damaged"):
        one.numbers.take()


@pytest.mark.parametrize("wrong", ["another token", "another terminal", "another tenant"])
def test_who_has_not_the_token_is_not_heard(site: CoapServer, tmp_path: Path, wrong: str) -> None:
    token = site.begun()
    site.enrol("t2")
    name = "t2" if wrong == "another terminal" else "t1"
    tenant = "other" if wrong == "another tenant" else "DEFAULT"
    shown = "x" * 48 if wrong == "another token" else token
    with pytest.raises(LinkError, match="not protected"):
        client(site, shown, tmp_path, name, tenant).check(site.world.says(OLD))


def test_a_terminal_cannot_speak_for_another_under_its_own_keys(site: CoapServer, tmp_path: Path) -> None:
    one = client(site, site.begun(), tmp_path)
    site.enrol("t2")
    assert one._shield is not None
    outer, asked = one._shield.protect(Request(Code.GET, coap.path(coap.ACTION, "t2", "1")))
    answer = one._shield.unprotect(one._link.ask(outer), asked)
    if answer.all(oscore.ECHO):
        fresh = one._shield.fresh(Request(Code.GET, coap.path(coap.ACTION, "t2", "1")), answer)
        assert fresh is not None
        outer, asked = one._shield.protect(fresh)
        answer = one._shield.unprotect(one._link.ask(outer), asked)
    assert answer.code == Code.UNAUTHORIZED


def test_a_new_token_ends_the_old_keys_at_once(site: CoapServer, tmp_path: Path) -> None:
    token = site.begun()
    one = client(site, token, tmp_path)
    one.check(site.world.says(OLD))
    with site.world.store.write() as db:
        fresh = access.renew_token(db, access.find(db, "t1"))
    with pytest.raises(LinkError):
        one.check(site.world.says(OLD))
    client(site, fresh, tmp_path).check(site.world.says(OLD))


def test_an_answer_that_somebody_else_sends_in_the_servers_place_is_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind(("127.0.0.1", 0))
        one = Coap(
            Place(f"coap://127.0.0.1:{forger.getsockname()[1]}", "t1", "k" * 48, message_limit=5.0, oscore=str(tmp_path))
        )
        import threading

        def forge() -> None:
            data, address = forger.recvfrom(2048)
            asked = coap.decode(data)
            forger.sendto(coap.encode(Message(Type.ACK, Code.CHANGED, asked.mid, asked.token, (), b"\xa0")), address)

        thread = threading.Thread(target=forge, daemon=True)
        thread.start()
        with pytest.raises(LinkError, match="not protected"):
            one.beat(bytes(12))
        thread.join(5)


def test_who_does_without_is_served_as_ever(site: CoapServer) -> None:
    assert Coap(Place(site.url, "t1", site.begun(), message_limit=10.0)).check(site.world.says(OLD)).offer is not None
