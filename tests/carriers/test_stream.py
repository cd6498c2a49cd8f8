"""The agent's ear against a real HTTP server on loopback: notices, streams that break, servers without streams."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from neurath.carriers.http import Place
from neurath.carriers.stream import Ear


@contextmanager
def server(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request like this and ends the connection; what it was asked, with the token."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{found.server_port}", asked
    finally:
        found.shutdown()
        found.server_close()


def test_each_notice_is_heard_and_a_lost_stream_is_taken_up_again() -> None:
    rings = threading.Semaphore(0)
    body = b"retry: 1000\n\nevent: check\ndata: {}\n\n: keep-alive\n\nevent: other\n\nevent: check\n\n"
    with server(200, body) as (url, asked):
        ear = Ear(Place(url, "t 1", "secret"), rings.release)
        for _ in range(4):  # two of each stream
            assert rings.acquire(timeout=20)
        ear.close()
        assert asked[0] == "/DEFAULT/neurath/v1/t%201/events TargetToken secret"
        assert len(asked) >= 2


@pytest.mark.parametrize(("status", "body"), [(404, b""), (503, b""), (401, b"event: check\n\n")])
def test_a_server_without_a_stream_is_left_alone_for_long(status: int, body: bytes) -> None:
    rings = threading.Event()
    with server(status, body) as (url, asked):
        ear = Ear(Place(url, "t1"), rings.set)
        assert not rings.wait(2.5)
        ear.close()
        assert len(asked) == 1


def test_junk_on_the_stream_is_no_notice_and_ends_no_ear() -> None:
    rings = threading.Event()
    with server(200, b"\xff" * 9000 + b"\nretry: -5\nretry: 99999999999999\nretry: 0\nevent:check\ndata:\n") as (url, _):
        ear = Ear(Place(url, "t1"), rings.set)
        assert rings.wait(20)
        ear.close()
