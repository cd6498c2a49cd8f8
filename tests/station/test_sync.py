"""Stock and records between a real station and a real server, over HTTP on loopback."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from neurath.cli.main import main
from neurath.errors import LinkError, RefusedError
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName, TerminalId
from neurath.server.access import people, tokens
from neurath.server.access.people import Newcomer
from neurath.server.access.roles import Actor, Role
from neurath.server.access.tokens import Asked
from neurath.server.app import Server, application, open_server
from neurath.server.fleet import access
from neurath.server.fleet.access import Enrolment
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.sim.processes import free_port
from neurath.station.stock import Stock
from neurath.station.sync import Source, sync
from neurath.wire import keys, manifest, package

KEY = keys.from_seed(bytes(range(32)))
MODEL = Model(ModelName("phone"), simple_layout(8192, sector=1024, group=2048, leaf=1024), ram=65536)
IMAGES = {n: bytes([n]) * 5000 for n in (1, 2)}


def envelope(n: int) -> bytes:
    return manifest.sign(manifest.contents_of(IMAGES[n], MODEL, sequence=n), KEY)


def fill(server: Server) -> None:
    now = time.time()
    with server.store.write() as db:
        add_model(db, model_to_toml(MODEL), [keys.public_pem(KEY.public).decode()], now)
        access.register(db, Enrolment("t-1", "phone"), now)
    for n, image in IMAGES.items():
        catalog.add(server.store, Upload(image, "phone", f"1.{n}", envelope=envelope(n)), now)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Server]]:
    opened = open_server(tmp_path / "data")
    fill(opened)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(application(opened), port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}", opened
    running.should_exit = True
    thread.join(10)


def test_a_synchronised_stock_is_whole_and_works_without_the_server(server: tuple[str, Server], tmp_path: Path) -> None:
    url, _ = server
    stock = Stock(tmp_path / "stock")
    assert (sync(stock, Source(url)).fetched, sync(stock, Source(url)).fetched) == (2, 0)
    entries = {e.version: e for e in stock.index().entries}
    assert package.read(stock.package(entries["1.2"])).image == IMAGES[2]


def test_records_reach_the_server_once_and_show_on_the_terminals_timeline(server: tuple[str, Server], tmp_path: Path) -> None:
    url, opened = server
    stock = Stock(tmp_path / "stock")
    fields: dict[str, object] = {"at": 5.0, "terminal": "t-1", "verdict": "restored", "version": "1.2", "station": "desk"}
    path = stock.record(fields)
    stock.record({**fields, "at": 6.0, "terminal": "nobody"})
    copy = path.read_bytes()
    assert sync(stock, Source(url)).records == 2
    path.write_bytes(copy)  # the answer got lost: it is sent again
    assert sync(stock, Source(url)).records == 1
    with opened.store.read() as db:
        terminal = access.find(db, TerminalId("t-1"))
        from neurath.server.fleet import progress

        seen = [e for e in progress.timeline(db, terminal.n) if e.kind == "wire"]
    assert [("restored: 1.2" in e.text, e.at) for e in seen] == [(True, 5.0)]
    assert len(list((tmp_path / "data" / "restorations").glob("*.json"))) == 2


def test_a_dead_server_loses_no_record_and_says_so(tmp_path: Path) -> None:
    stock = Stock(tmp_path / "stock")
    stock.record({"at": 1.0, "terminal": "t", "verdict": "restored"})
    with pytest.raises(LinkError):
        sync(stock, Source("http://127.0.0.1:9"))
    assert len(stock.queued()) == 1


def test_a_file_that_is_no_release_is_not_handed_out(server: tuple[str, Server]) -> None:
    import httpx

    url, _ = server
    assert httpx.get(f"{url}/api/v1/stock/files/{'0' * 64}").status_code == 404
    assert httpx.get(f"{url}/api/v1/stock/files/..%2F..%2Fneurath.db").status_code == 404


def test_the_verbs_answer_with_the_right_codes(
    server: tuple[str, Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = server
    stock = str(tmp_path / "stock")
    assert main(["station", "list", "--stock", stock]) == 4
    assert main(["station", "sync", "--server", url, "--stock", stock]) == 0
    assert main(["station", "list", "--stock", stock, "--json"]) == 0
    assert '"version": "1.2"' in capsys.readouterr().out
    assert main(["station", "sync", "--server", "http://127.0.0.1:9", "--stock", stock]) == 6
    assert main(["station", "run", "--port", str(tmp_path / "none"), "--stock", stock, "--once"]) == 6
    assert main(["station", "run", "--port", "x", "--stock", stock, "--release", "1.1"]) == 2
    (tmp_path / "i").write_bytes(IMAGES[1])
    (tmp_path / "e").write_bytes(envelope(1))
    out = tmp_path / "p.nrp"
    assert main(["station", "package", str(tmp_path / "i"), str(tmp_path / "e"), "-o", str(out), "--leaf", "1024"]) == 0
    assert package.read(out.read_bytes()).image == IMAGES[1]
    assert main(["station", "package", str(tmp_path / "none"), str(tmp_path / "e"), "-o", str(out)]) == 4


def test_a_station_on_another_machine_needs_the_token(
    server: tuple[str, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, opened = server
    monkeypatch.setattr("neurath.server.access.gate.is_loopback", lambda name: False)  # now everybody comes from elsewhere
    token = (opened.store.directory / "station.token").read_text().strip()
    assert (opened.store.directory / "station.token").stat().st_mode & 0o077 == 0
    stock = Stock(tmp_path / "stock")
    stock.record({"at": 5.0, "terminal": "t-1", "verdict": "restored"})
    with pytest.raises(RefusedError, match="403"):
        sync(stock, Source(url))
    assert len(stock.queued()) == 1
    assert main(["station", "sync", "--server", url, "--stock", str(tmp_path / "stock"), "--token", token]) == 0
    assert stock.queued() == []
    assert len(stock.index().entries) == 2


def test_a_station_with_a_token_of_its_own_is_revoked_alone(server: tuple[str, Server], tmp_path: Path) -> None:
    url, opened = server
    maker = Actor("", Role.ADMIN, "command")
    with opened.store.write() as db:
        people.add(db, Newcomer("mila", Role.ADMIN, "seven words that nobody has said"), time.time())
        made = [tokens.add(db, Asked(name, Role.OPERATOR), maker, time.time()) for name in ("line-3", "line-4")]
    stocks = [Stock(tmp_path / name) for name in ("line-3", "line-4")]
    for stock, token in zip(stocks, made, strict=True):
        stock.record({"at": 5.0, "terminal": "t-1", "verdict": "restored"})
        assert sync(stock, Source(url, token)).records == 1
    with opened.store.write() as db:
        tokens.revoke(db, "line-3")
    with pytest.raises(RefusedError):
        sync(stocks[0], Source(url, made[0]))
    sync(stocks[1], Source(url, made[1]))


def dripping(kind: str) -> bytes:
    """What such a server says before it begins to drip."""
    return {
        "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n",
        "a body without an end": b"HTTP/1.1 200 OK\r\n\r\n",
        "a chunk's length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "a header": b"HTTP/1.1 200 OK\r\nX-More: ",
        "a status": b"HTTP/1.1 200 ",
        "a record of TLS": b"\x16\x03\x03\x40\x00",
    }[kind]


KINDS = ["a body", "a body without an end", "a chunk's length", "a header", "a status", "a record of TLS"]


@contextlib.contextmanager
def dripped(kind: str) -> Iterator[Source]:
    """It goes on for ever, and no wait for its next byte is long: only the deadline ends it."""
    ended = threading.Event()
    begins = dripping(kind)

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            with contextlib.suppress(OSError):
                self.request.sendall(begins)
                while not ended.wait(0.02):
                    self.request.sendall(b"1")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    scheme = "https" if "TLS" in kind else "http"
    stop = threading.Timer(60, ended.set)  # its bytes end then, and without a deadline the test with them
    stop.start()
    try:
        yield Source(f"{scheme}://127.0.0.1:{server.server_address[1]}/")
        assert not ended.is_set()
    finally:
        stop.cancel()
        ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than half a minute; but whoever drips on a busy machine has to come to it in this time."""
    monkeypatch.setattr("neurath.station.link.TIMEOUT", 2.0)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_that_drips_is_cut_off(kind: str) -> None:
    with dripped(kind) as source:
        with pytest.raises(LinkError, match="drips"):
            list(source.repository("metadata/timestamp.json"))
        with pytest.raises(LinkError, match="drips"):
            source.ask("/stock")


@pytest.mark.usefixtures("brief")
def test_a_handshake_that_the_library_ends_before_the_watch_wakes_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurath.station.link.Patience._watch", lambda patience: None)
    with dripped("a record of TLS") as source, pytest.raises(LinkError, match="drips"):
        source.ask("/stock")
