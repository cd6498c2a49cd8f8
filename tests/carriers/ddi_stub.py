"""The smallest DDI server that the carrier contract needs, for tests of the carrier alone; the real server passes the same
contract in tests/journey."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from neurath.carriers.memory import Shelf
from neurath.errors import NeurathError, NotFound
from neurath.wire import check as checks
from neurath.wire import ddi, report
from neurath.wire import offer as offers

TOKEN = "t" * 32


class DdiStub(ThreadingHTTPServer):
    """A Shelf behind DDI routes."""

    daemon_threads = True

    def __init__(self, far: Shelf, terminal: str = "unit") -> None:
        super().__init__(("127.0.0.1", 0), _Routes)
        self.far = far
        self.base = f"/DEFAULT/controller/v1/{terminal}"
        self.ignores_range = False
        self.shifts_range = 0
        self.requests: list[tuple[str, str]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def place(self) -> tuple[str, int]:
        return ("127.0.0.1", int(self.server_address[1]))

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Routes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DdiStub
    disable_nagle_algorithm = True

    def log_message(self, *words: Any) -> None:
        pass

    def do_PUT(self) -> None:
        check = checks.from_attributes(ddi.attributes_from(self.body()).data)
        assert check is not None
        self.server.far.check(checks.encode(check))
        self.answer(200, b"")

    def do_POST(self) -> None:
        action = self.path.split("/")[-2]
        heard = report.from_feedback(action, ddi.feedback_from(self.body()).details)
        assert heard is not None
        self.server.far.report(report.encode(heard))
        self.answer(200, b"")

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", "")))
        far = self.server.far
        offer = far.offer if far.open_actions() else None
        if not self.path.startswith("/DEFAULT/neurath/") and self.headers.get("Authorization") != f"TargetToken {TOKEN}":
            self.answer(401, b'{"message":"unknown terminal"}')
        elif self.path.partition("?")[0] == self.server.base:
            link = f"{self.server.base}/deploymentBase/{offer.action}?c=1" if offer else ""
            self.document(ddi.poll_to(ddi.Poll(60, deployment=link)))
        elif offer and self.path.startswith(f"{self.server.base}/deploymentBase/"):
            self.document(ddi.deployment_to(_deployment(offer, self.server.base)))
        else:
            self.file(self.path.rsplit("/", 1)[-1].removesuffix(".nru"))

    def file(self, name: str) -> None:
        try:
            data = self.server.far.file(bytes.fromhex(name))
        except (NeurathError, ValueError) as fault:
            self.answer(404 if isinstance(fault, NotFound | ValueError) else 409, json.dumps({"message": str(fault)}).encode())
            return
        if self.server.ignores_range:
            self.answer(200, data)
            return
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        first += self.server.shifts_range
        self.answer(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def body(self) -> object:
        return ddi.parse(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def document(self, value: dict[str, object]) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _deployment(offer: offers.Offer, base: str) -> ddi.Deployment:
    href = f"{base}/softwaremodules/1/artifacts/{offer.file.hex()}.nru"
    artifact = ddi.Artifact(f"{offer.file.hex()}.nru", offer.size, href, sha256=offer.file.hex())
    metadata = tuple((m["key"], m["value"]) for m in offers.to_metadata(offer))
    return ddi.Deployment(offer.action, (ddi.Chunk("firmware", str(offer.version), (artifact,), metadata=metadata),))
