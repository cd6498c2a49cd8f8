"""A forwarding HTTP server that writes down what passes between terminal and server: requests, answers, and when
connections open and close. It changes nothing on the way."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way to the server."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; `probe` is what the test measured at the moment the request came."""

    at: float
    method: str
    path: str
    status: int
    sent: bytes
    answer: bytes
    probe: Any

    @property
    def json(self) -> Any:
        return json.loads(self.sent or b"{}")

    @property
    def answer_json(self) -> Any:
        return json.loads(self.answer or b"{}")


@dataclass
class Trace:
    """Everything that passed, in order; `open` counts client connections that are open now."""

    exchanges: list[Exchange] = field(default_factory=list)
    open: int = 0
    closed_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def places(self, wanted: Callable[[Exchange], bool]) -> list[int]:
        """Positions of the exchanges that fit."""
        return [n for n, exchange in enumerate(self.exchanges) if wanted(exchange)]


@contextmanager
def traced(upstream: str, probe: Callable[[Asked], Any] = lambda asked: None) -> Iterator[tuple[str, Trace]]:
    """A proxy before `upstream` ("127.0.0.1:port"): yields its own base URL and the trace it writes. `probe` runs before a
    request is passed on; what it gives is kept with the exchange."""
    trace = Trace()

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with trace.lock:
                trace.open += 1

        def finish(self) -> None:
            super().finish()
            with trace.lock:
                trace.open -= 1
                trace.closed_at = time.monotonic()

        def log_message(self, *words: Any) -> None:
            pass

        def forward(self) -> None:
            began = time.monotonic()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = probe(Asked(self.command, self.path, body, dict(self.headers.items())))
            link = http.client.HTTPConnection(upstream, timeout=60)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "accept-encoding")}
            link.request(self.command, self.path, body=body or None, headers=kept)
            answer = link.getresponse()
            data = b"" if self.command == "HEAD" else answer.read()
            with trace.lock:
                trace.exchanges.append(Exchange(began, self.command, self.path, answer.status, body, data, seen))
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(key, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            if length is not None and answer.status not in (204, 304):
                self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(data)
            link.close()

        do_GET = do_HEAD = do_PUT = do_POST = forward

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", trace
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
