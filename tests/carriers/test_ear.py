"""A terminal's ear behind a proxy that holds streams back, and what it makes of the events it gets."""

from __future__ import annotations

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from neurath.carriers import ears, notice, stream
from neurath.carriers.http import Place
from neurath.carriers.stream import Ear
from neurath.errors import UsageError

SECONDS = 15.0


class Buffering(BaseHTTPRequestHandler):
    """A server behind a proxy that passes an answer on when it has ended: a stream never does."""

    protocol_version = "HTTP/1.1"
    asked: queue.SimpleQueue[dict[str, str]]
    events: queue.SimpleQueue[bytes]
    headers_first = False

    def do_GET(self) -> None:
        self.asked.put({key.lower(): value for key, value in self.headers.items()})
        if "Prefer" not in self.headers:
            if self.headers_first:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
            threading.Event().wait(5)
            self.close_connection = True
            return
        body = self.events.get() if self.headers.get("Last-Event-ID") else b"event: check\ndata: {}\n\n"
        self.send_response(200 if body else 204)
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("headers_first", [False, True])
def test_behind_a_proxy_that_holds_streams_back_the_terminal_polls_by_itself(headers_first, monkeypatch) -> None:
    monkeypatch.setattr(stream, "FIRST", 0.3)
    monkeypatch.setattr(notice, "APART", 0.05)
    handler = type("Handler", (Buffering,), {})
    handler.asked, handler.events, handler.headers_first = queue.SimpleQueue(), queue.SimpleQueue(), headers_first
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        ear = Ear(Place(f"http://127.0.0.1:{server.server_port}", "t1", "word"), lambda: heard.put("check"))
        try:
            assert handler.asked.get(timeout=SECONDS)["accept"] == "text/event-stream"
            first = handler.asked.get(timeout=SECONDS)
            assert (first["prefer"], first["authorization"]) == ("wait=50", "TargetToken word")
            assert heard.get(timeout=SECONDS) == "check"
            again = handler.asked.get(timeout=SECONDS)
            assert again["last-event-id"] == "p"
            handler.events.put(b"")  # nothing within the time: it asks again
            assert handler.asked.get(timeout=SECONDS)["last-event-id"] == "p"
            handler.events.put(b"event: check\ndata: {}\n\n")
            assert heard.get(timeout=SECONDS) == "check"
        finally:
            ear.close()
            for _ in range(4):
                handler.events.put(b"")
            server.shutdown()


def test_what_brings_notices_is_named_by_an_address() -> None:
    with pytest.raises(UsageError):
        ears.ear("carrier-pigeon:", Place("http://127.0.0.1:1", "t1"), print)
