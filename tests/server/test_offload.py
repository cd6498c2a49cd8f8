"""A package that a client fetches from the object store itself: a real client follows, and tells the store nothing of its
token."""

from __future__ import annotations

import http.server
import subprocess
import threading
from pathlib import Path

from neurath.server.device import Policy
from neurath.server.fleet import access
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from tests.parts import need
from tests.server.test_http import PACKAGE, serving


class Away(http.server.BaseHTTPRequestHandler):
    """The object store, as a client sees it: any address that was given out leads to the package."""

    asked: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012 (of the one test there is)

    def do_GET(self) -> None:
        self.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        self.send_response(200)
        self.send_header("Content-Length", str(len(PACKAGE)))
        self.end_headers()
        self.wfile.write(PACKAGE)

    def log_message(self, *_words: object) -> None:
        pass


class Shelf:
    """What lies behind the directory; `port` is where clients are sent."""

    def __init__(self, port: int) -> None:
        self.port = port

    def put(self, name: str, file: Path) -> None:
        pass

    def get(self, name: str, into: Path) -> bool:
        return False

    def remove(self, name: str) -> None:
        pass

    def link(self, name: str, called: str, seconds: int) -> str:
        return f"http://localhost:{self.port}/{name}?for={seconds}"


def test_curl_follows_to_the_store_and_leaves_its_token_behind(tmp_path: Path) -> None:
    curl = need("curl")
    store = http.server.HTTPServer(("127.0.0.1", 0), Away)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    try:
        with serving(tmp_path / "data", Policy(300, offload=300)) as running:
            running.world.store.files.behind = Shelf(store.server_port)
            with running.world.store.write() as db:
                add_plain_model(db, "lab", 0.0)
            release = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="fw.swu"), 0.0)
            running.world.start(release)
            board = running.enrol("b1", "lab")
            with running.world.store.write() as db:
                access.configure(db, access.find(db, "b1"), {"hw": "1"}, 0.0)
            found = board.ask("GET", board.link("deploymentBase")).json["deployment"]["chunks"][0]["artifacts"][0]
            href = found["_links"]["download-http"]["href"]
            words = [curl, "-sSL", "-o", str(tmp_path / "fw.swu"), "-w", "%{num_redirects} %{http_code}"]
            words += ["-H", f"Authorization: TargetToken {board.token}", href]
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
            assert done.stdout == "1 200"
            assert (tmp_path / "fw.swu").read_bytes() == PACKAGE
            assert board.ask("HEAD", "/" + href.split("/", 3)[3]).status == 200  # only what is fetched goes elsewhere
    finally:
        store.shutdown()
    ((path, headers),) = Away.asked
    assert path == f"/{release.image}?for=300"
    assert "authorization" not in headers
