"""A package that another than this server sends: the object store, which a real client follows to and tells nothing of its
token; or a real nginx in front, which sends it from the disk and does so for nobody who may not have it."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.server.device import Policy
from neurath.server.fleet import access
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from tests.parts import need
from tests.rigs import nginx
from tests.server.test_http import PACKAGE, Client, Running, serving


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


def deployed(running: Running) -> tuple[Client, str, str]:
    """A terminal of another make that was given a package: itself, the package's address, and its digest."""
    with running.world.store.write() as db:
        add_plain_model(db, "lab", 0.0)
    release = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="fw.swu"), 0.0)
    running.world.start(release)
    board = running.enrol("b1", "lab")
    with running.world.store.write() as db:
        access.configure(db, access.find(db, "b1"), {"hw": "1"}, 0.0)
    found = board.ask("GET", board.link("deploymentBase")).json["deployment"]["chunks"][0]["artifacts"][0]
    return board, found["_links"]["download-http"]["href"], release.image


def test_curl_follows_to_the_store_and_leaves_its_token_behind(tmp_path: Path) -> None:
    curl = need("curl")
    store = http.server.HTTPServer(("127.0.0.1", 0), Away)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    try:
        with serving(tmp_path / "data", Policy(300, offload=300)) as running:
            running.world.store.files.behind = Shelf(store.server_port)
            board, href, digest = deployed(running)
            words = [curl, "-sSL", "-o", str(tmp_path / "fw.swu"), "-w", "%{num_redirects} %{http_code}"]
            words += ["-H", f"Authorization: TargetToken {board.token}", href]
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
            assert done.stdout == "1 200"
            assert (tmp_path / "fw.swu").read_bytes() == PACKAGE
            assert board.ask("HEAD", "/" + href.split("/", 3)[3]).status == 200  # only what is fetched goes elsewhere
    finally:
        store.shutdown()
    ((path, headers),) = Away.asked
    assert path == f"/{digest}?for=300"
    assert "authorization" not in headers


@dataclass
class Curl:
    """Real curl through a proxy's socket."""

    socket: Path
    token: str

    def get(self, path: str, *words: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        out = self.socket.parent / "fetched"
        line = [need("curl"), "-sS", "--unix-socket", str(self.socket), "-D", "-", "-o", str(out)]
        line += ["-H", f"Authorization: TargetToken {self.token}", *words, f"http://updates.example{path}"]
        said = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout
        status, *lines = said.strip().splitlines()
        headers = {key.strip().lower(): value.strip() for key, _, value in (one.partition(":") for one in lines)}
        assert len(headers) == len(lines), said  # nothing is said twice
        return int(status.split()[1]), headers, out.read_bytes()


@dataclass
class Fronted:
    """A server behind a real nginx that sends packages itself."""

    running: Running
    board: Client
    path: str
    digest: str
    curl: Curl


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    folder = tmp_path_factory.mktemp("n")
    with serving(folder / "data", Policy(300, proxies=("127.0.0.1",), accel="/neurath-files/")) as running:
        board, href, digest = deployed(running)
        with nginx.running(folder / "nginx", running.port, folder / "data") as socket:
            yield Fronted(running, board, "/" + href.split("/", 3)[3], digest, Curl(socket, board.token))


def test_a_real_nginx_sends_the_package_from_the_disk_with_our_tag_and_ranges(site: Fronted) -> None:
    status, headers, body = site.curl.get(site.path)
    assert (status, body) == (200, PACKAGE)
    _, own, _ = site.curl.get(site.path, "--head")  # which this server answers itself
    for name in ("etag", "last-modified", "content-type", "content-disposition", "accept-ranges", "content-length"):
        assert headers[name] == own[name]
    assert "x-accel-redirect" not in headers  # which is for the proxy alone
    assert headers["server"].startswith("nginx")
    status, headers, body = site.curl.get(site.path, "-H", "Range: bytes=5-8")
    assert (status, body) == (206, PACKAGE[5:9])
    assert headers["content-range"] == f"bytes 5-8/{len(PACKAGE)}"
    tag = own["etag"]
    status, _, body = site.curl.get(site.path, "-H", "Range: bytes=5-8", "-H", f"If-Range: {tag}")
    assert (status, body) == (206, PACKAGE[5:9])
    assert site.curl.get(site.path, "-H", f"If-Match: {tag}")[0] == 200
    assert site.curl.get(site.path, "-H", 'If-Match: "another"')[0] == 412


def test_the_proxy_sends_nothing_to_who_may_not_have_it(site: Fronted) -> None:
    kept = f"/neurath-files/{site.digest[:2]}/{site.digest}"
    assert site.curl.get(kept)[0] == 404  # the directory itself has no address
    assert Curl(site.curl.socket, "0" * 32).get(site.path)[0] == 401
    said = site.board.ask("GET", site.path, **{"X-Forwarded-For": "10.0.0.9"})
    assert said.headers["x-accel-redirect"] == kept  # to the proxy
    plain = site.board.ask("GET", site.path)
    assert plain.body == PACKAGE  # and to nobody who came without one
    assert "x-accel-redirect" not in plain.headers
