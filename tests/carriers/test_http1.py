"""Answers in HTTP/1.1: whole, in chunks, cut anywhere, and nonsense; and requests that would be two."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.http1 import LINE, LINES, Broken, Connection, Gone, Response

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"


def answer(data: bytes, method: str = "GET") -> Response:
    return Response(io.BufferedReader(io.BytesIO(data)), method)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [PLAIN, CHUNKS])
def test_a_body_is_read_to_its_end_and_no_further(data: bytes) -> None:
    found = answer(data + b"HTTP/1.1 404 Next\r\n\r\n")
    assert (found.status, found.reason, found.read(100), found.isclosed()) == (200, "OK", b"hello", True)
    assert not found.will_close


@pytest.mark.parametrize("data", [PLAIN, CHUNKS])
def test_cut_anywhere_it_is_never_taken_for_whole(data: bytes) -> None:
    for end in range(len(data)):
        try:
            found = answer(data[:end])
            body = found.read(100)
        except Gone:
            assert end == 0
            continue
        except Broken:
            continue
        assert found.length, f"cut after {end} bytes: {body!r} was taken for whole"


def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    found = answer(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    assert (found.length, found.will_close, found.read(100)) == (None, True, b"all of it")


@pytest.mark.parametrize("head", ["HTTP/1.1 204 Nothing", "HTTP/1.1 304 Same"])
def test_answers_that_have_no_body_have_none(head: str) -> None:
    assert answer(f"{head}\r\nContent-Length: 5\r\n\r\nhello".encode()).read(9) == b""
    assert answer(PLAIN, "HEAD").read(9) == b""


def test_what_comes_before_the_answer_is_passed_over() -> None:
    assert answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + PLAIN).read(9) == b"hello"


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("a length below nothing", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
        ("a length in another alphabet", "HTTP/1.1 200 OK\r\nContent-Length: ٥\r\n\r\nhello".encode()),
        ("a line folded into the next", b"HTTP/1.1 200 OK\r\nX: 1\r\n Y\r\nContent-Length: 0\r\n\r\n"),
        ("a header without a name", b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n"),
        ("compressed", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (
            "a chunk that is longer than it says",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        ),
        ("a chunk without a size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
        ("too many headers", b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * (LINES + 1) + b"\r\n"),
        ("a line without an end", b"HTTP/1.1 200 OK\r\nX: " + b"1" * LINE + b"\r\n\r\n"),
    ],
)
def test_what_is_no_answer_is_refused(why: str, data: bytes) -> None:
    with pytest.raises(Broken):
        answer(data).read(100)


@given(st.sampled_from([b"", PLAIN[:17], PLAIN[:36], CHUNKS[:47]]), st.binary(max_size=200))
def test_no_bytes_do_anything_but_answer_or_break(head: bytes, tail: bytes) -> None:
    with contextlib.suppress(Broken):
        assert len(answer(head + tail).read(1000)) <= len(tail)


@pytest.mark.parametrize(("target", "value"), [("/a\r\nX: 1", "v"), ("/a b", "v"), ("/a", "v\r\nX: 1"), ("/a", "v\0")])
def test_a_request_that_would_be_two_is_never_sent(target: str, value: str) -> None:
    link = Connection(("127.0.0.1", 9), 1)
    link.sock = object()  # type: ignore[assignment]  # whatever were sent would fail otherwise
    with pytest.raises(ValueError, match="would be two"):
        link.request("GET", target, headers={"H": value})
