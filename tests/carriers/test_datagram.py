"""CoAP's message layer against a far end whose every datagram is chosen: what is an answer, what comes again, when it ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from neurath.carriers import datagram
from neurath.carriers.datagram import Link, Request, RoundTrip, address, free, place_of
from neurath.errors import LinkError, NeurathError, UsageError
from neurath.wire import coap
from neurath.wire.coap import Code, Message, Type
from tests.journey.site import until

ASK = Request(Code.GET, coap.path("q"))
#: Given a request and the how-manieth datagram it is, the datagrams to answer with.
Says = Callable[[Message, int], Iterable[bytes]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACK_TIMEOUT", "SHORTEST"):
        monkeypatch.setattr(datagram, name, 0.05)


@contextmanager
def far(says: Says) -> Iterator[tuple[Link, list[Message]]]:
    heard: list[Message] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        end.settimeout(0.05)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    data, sender = end.recvfrom(2000)
                except TimeoutError:
                    continue
                heard.append(coap.decode(data))
                for answer in says(heard[-1], len(heard)):
                    end.sendto(answer, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        link = Link(f"coap://127.0.0.1:{end.getsockname()[1]}", 20.0)
        yield link, heard
        link.close()
        ended.set()
        thread.join()


def ack(request: Message, payload: bytes = b"good", **more: object) -> Message:
    made = Message(Type.ACK, Code.CONTENT, request.mid, request.token, (), payload)
    return replace(made, **more)  # type: ignore[arg-type]


def test_what_is_no_answer_to_this_request_is_passed_over() -> None:
    def says(request: Message, count: int) -> list[bytes]:
        other = bytes(4) if request.token != bytes(4) else b"1234"
        return [
            b"",
            b"\xff\xff\xff",
            coap.encode(ack(request, b"another token", token=other)),
            coap.encode(ack(request, b"another id", mid=request.mid ^ 1)),
            coap.encode(ack(request, b"not asked", type=Type.NON, token=other)),
            coap.encode(ack(request, b"confirmed to nobody", type=Type.CON, token=other, mid=7)),
            coap.encode(ack(request)),
        ]

    with far(says) as (link, heard):
        assert link.ask(ASK).payload == b"good"
        time.sleep(0.1)
        assert [(m.type, m.mid) for m in heard[1:]] == [(Type.RST, 7)], (
            "who waits for a confirmation is told that nobody asked"
        )


def test_an_answer_to_a_request_that_is_not_confirmable_is_known_by_its_token_alone() -> None:
    def says(request: Message, count: int) -> list[bytes]:
        wrong = ack(request, b"forged", type=Type.NON, mid=9, token=bytes(b ^ 255 for b in request.token))
        return [coap.encode(wrong), coap.encode(ack(request, type=Type.NON, mid=9))]

    with far(says) as (link, heard):
        assert link.ask(replace(ASK, confirmable=False)).payload == b"good"
        assert [m.type for m in heard] == [Type.NON]


def test_a_separate_answer_is_acknowledged_and_the_request_not_sent_again() -> None:
    def says(request: Message, count: int) -> list[bytes]:
        if request.code == Code.EMPTY:
            return []
        threading.Thread(target=later, args=(ack(request, type=Type.CON, mid=77), box[0]), daemon=True).start()
        return [coap.encode(Message(Type.ACK, Code.EMPTY, request.mid))]

    def later(answer: Message, send: Callable[[bytes], object]) -> None:
        """The far end thinks for 0.3 s after its acknowledgement was heard."""
        until(lambda: link._took, 20)
        time.sleep(0.3)
        send(coap.encode(answer))

    box: list[Callable[[bytes], object]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        heard: list[Message] = []

        def serve() -> None:
            for _ in range(2):
                data, sender = end.recvfrom(2000)
                heard.append(coap.decode(data))
                box[:] = [lambda data, to=sender: end.sendto(data, to)]
                for answer in says(heard[-1], len(heard)):
                    end.sendto(answer, sender)

        link = Link(f"coap://127.0.0.1:{end.getsockname()[1]}", 30.0)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        began = time.monotonic()
        assert link.ask(ASK).payload == b"good"
        took = time.monotonic() - began
        thread.join(20)
        link.close()
    assert 0 < link.round_trip.mean <= took - 0.3, "how long the far end thinks says nothing about the way"
    assert [(m.type, m.code) for m in heard] == [(Type.CON, Code.GET), (Type.ACK, Code.EMPTY)]
    assert heard[1].mid == 77


def test_a_confirmable_request_is_sent_five_times_at_most_and_the_same_each_time() -> None:
    with far(lambda request, count: []) as (link, heard):
        link.limit = 30.0
        with pytest.raises(LinkError) as caught:
            link.ask(ASK)
        assert caught.value.exit_code == 6
        assert len(heard) == 5
        assert len({coap.encode(m) for m in heard}) == 1


def test_one_that_is_not_is_sent_once() -> None:
    with far(lambda request, count: []) as (link, heard):
        with pytest.raises(LinkError):
            link.ask(replace(ASK, confirmable=False), 0.4)
        assert len(heard) == 1


def test_the_limit_is_absolute_whatever_drips_in() -> None:
    def says(request: Message, count: int) -> Iterator[bytes]:
        begun = time.monotonic()
        while not ended.wait(0.05) and time.monotonic() - begun < 8:
            yield b"noise"

    ended = threading.Event()
    with far(says) as (link, _):
        began = time.monotonic()
        with pytest.raises(LinkError):
            link.ask(ASK, 0.4)
        ended.set()
        assert time.monotonic() - began < 4


def test_a_reset_and_a_closed_port_end_it_at_once() -> None:
    with far(lambda request, count: [coap.encode(Message(Type.RST, Code.EMPTY, request.mid))]) as (link, _):
        began = time.monotonic()
        with pytest.raises(LinkError):
            link.ask(ASK)
        gone = Link(f"coap://127.0.0.1:{free('127.0.0.1', 0)}", 5.0)
        with pytest.raises(LinkError):
            gone.ask(ASK)
        assert time.monotonic() - began < 4


def test_a_request_of_the_far_end_is_handed_on_once_and_answered_each_time_it_comes() -> None:
    write = Message(Type.CON, Code.PUT, 500, b"ab", coap.path("5", "0", "0"), b"piece")

    def says(request: Message, count: int) -> list[bytes]:
        return [coap.encode(write), coap.encode(write), coap.encode(ack(request))] if count == 1 else []

    with far(says) as (link, heard):
        assert link.ask(ASK).payload == b"good"
        asked = link.asked(time.monotonic() + 10)
        assert asked == write
        link.answer(asked, Code.CHANGED)
        link._note(write)  # it comes once more: its answer was lost
        assert link.asked(time.monotonic() + 0.1) is None
        time.sleep(0.1)
        assert [(m.type, m.code, m.mid, m.token) for m in heard[1:]] == [(Type.ACK, Code.CHANGED, 500, b"ab")] * 2


def test_patience_follows_the_line() -> None:
    assert RoundTrip().patience == datagram.ACK_TIMEOUT
    slow = RoundTrip()
    for _ in range(20):
        slow = slow.heard(2.05)
    assert 2.05 < slow.patience < 4
    assert RoundTrip(100, 10).patience == datagram.LONGEST
    assert RoundTrip().heard(0.001).patience == datagram.SHORTEST


@pytest.mark.parametrize("url", ["", "http://h", "coap://", "coap://h:x", "coap://h/path", "coap://h:99999"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        place_of(url)


def test_places_and_ports_are_read_as_people_write_them() -> None:
    assert place_of("coap://h") == ("h", coap.PORT)
    assert place_of("coap://[::1]:99") == ("::1", 99)
    assert address("") == ("127.0.0.1", coap.PORT)
    assert address("5000") == ("127.0.0.1", 5000)
    assert address("0.0.0.0:5000") == ("0.0.0.0", 5000)
    assert address("[::1]:5000") == ("::1", 5000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NeurathError) as caught:
            free("127.0.0.1", taken.getsockname()[1])
    assert "ss -lunp" in caught.value.hint
