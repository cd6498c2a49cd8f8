"""Debian's swupdate against a server of ours over a line that breaks: two cuts resumed by Range, then installed and closed;
and an update that is called off before it got through."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurath.server.app import asking
from neurath.server.device import Policy
from neurath.server.fleet import access, actions, history
from neurath.server.software.catalog import add
from neurath.server.software.models import add_plain_model
from neurath.server.software.upload import read_upload
from neurath.server.store import Store
from tests.parts import ASSURANCE, need
from tests.rigs import objects, postgres
from tests.server.served import serve
from tests.server.test_http import Running, serving
from tests.server.world import World

HERE = Path(__file__).parent
SIZE, CUT = 400_000, 100_000
#: Where it is walked; the second place takes minutes on a machine that is busy.
PLACES = ["one box", *(["two workers on PostgreSQL and an object store"] if ASSURANCE else [])]
HOP = {"connection", "transfer-encoding", "keep-alive"}


class Line:
    """A proxy that hands everything on, and breaks off the first `cuts` downloads after so many bytes."""

    def __init__(self, port: int, cuts: int, after: int) -> None:
        self.cuts, self.after = cuts, after
        self.ranges: list[str] = []
        self.seen: list[str] = []
        self.fetched: Callable[[], None] = lambda: None  # called before the client is given its deployment
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                link.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in HOP})
                got = link.getresponse()
                data = got.read()
                link.close()
                line.seen.append(f"{self.command} {self.path.partition('/controller/v1/')[2]}")
                if "/deploymentBase/" in self.path and self.command == "GET":
                    line.fetched()
                self.send_response_only(got.status)
                for key, value in got.getheaders():
                    if key.lower() not in HOP:
                        self.send_header(key, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(line.let_through(self, data))

            do_GET = do_POST = do_PUT = do_HEAD = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def let_through(self, asked: BaseHTTPRequestHandler, data: bytes) -> bytes:
        if "/artifacts/" not in asked.path or asked.command != "GET":
            return data
        self.ranges.append(asked.headers.get("Range", ""))
        if self.cuts <= 0 or len(data) <= self.after:
            return data
        self.cuts -= 1
        asked.close_connection = True
        return data[: self.after]


@contextlib.contextmanager
def swupdate(folder: Path, url: str, token: str, *more: str) -> Iterator[Callable[[], str]]:
    """The client at work; gives what it has said so far. It ignores SIGPIPE, as whatever systemd starts does: swupdate 2022.12
    answers a thread of its own that waits 100 ms and leaves, and on a machine that is busy would end by its own answer."""
    (folder / "swupdate.cfg").write_text(
        "globals : { verbose = true; loglevel = 5; };\n"
        'identify : ( { name = "hw_boardname"; value = "lab"; }, { name = "hw_revision"; value = "1.0"; } );\n'
        f'suricatta : {{ tenant = "DEFAULT"; id = "dev1"; url = "{url}"; polldelay = 2; retry = 5; retrywait = 1; }};\n'
    )
    said = folder / f"said{len(more)}.log"
    words = [
        "swupdate",
        "-f",
        "swupdate.cfg",
        "-H",
        "lab:1.0",
        "-k",
        "cert.pem",
        "-l",
        "5",
        "-u",
        f"{' '.join(more)} -k {token}",
    ]
    with said.open("wb") as log:
        own = os.environ | {"TMPDIR": str(folder)}  # its sockets too: another one may run on this machine
        more_so = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True, "restore_signals": False}
        running = subprocess.Popen(words, cwd=folder, env=own, **more_so)

        def so_far() -> str:
            told = said.read_text(errors="replace")
            assert (running.poll() or 0) >= 0, f"it was ended by signal {running.returncode}: {told[-2000:]}"
            return told

        try:
            yield so_far
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # it is several processes, and does not always heed SIGTERM
            running.wait()


def becomes(what: Callable[[], object], within: float = 200.0) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@contextlib.contextmanager
def many(folder: Path) -> Iterator[Running]:
    """Two workers on a PostgreSQL and an object store, seen from a third place with a directory of its own."""
    with postgres.running() as server, objects.bucket() as bucket:
        url = server.database()
        words = ["--database", url, "--store", bucket.url, "--workers", "2", "--sleep", "2"]
        with pytest.MonkeyPatch.context() as patched:
            for name, value in bucket.env.items():
                patched.setenv(name, value)
            store = Store(folder / "lab", url, bucket.url)
            with serve(folder / "data", *words) as served:
                yield Running(World(store, asking(store), time.time()), served.port, Policy(2))
            store.close()


@pytest.fixture(params=["one box"])
def site(tmp_path, request):
    for part in ("swupdate", "openssl", "cpio"):
        need(part)
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=accept".split()
    words += ["-addext", "extendedKeyUsage=emailProtection", "-addext", "keyUsage=digitalSignature,keyCertSign"]
    words += ["-addext", "basicConstraints=critical,CA:TRUE"]
    subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "fw.bin").write_bytes(random.Random(3).randbytes(SIZE))
    made = [
        HERE / "mkswu.sh",
        "2.0.0",
        "fw.bin",
        tmp_path / "nvm.bin",
        "lab",
        "fw.swu",
        *(tmp_path / name for name in ("cert.pem", "key.pem")),
    ]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    with serving(tmp_path / "data", Policy(2)) if request.param == "one box" else many(tmp_path) as running:
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0, ["1.0"])
        taken = read_upload((tmp_path / "fw.swu").read_bytes(), "fw.swu", None)
        release = add(running.world.store, replace(taken, model="lab", version=taken.says), time.time())
        yield running, release, tmp_path


@pytest.mark.heavy
@pytest.mark.parametrize("site", PLACES, indirect=True)
@pytest.mark.timeout(900)
def test_swupdate_resumes_by_range_after_two_cuts_installs_and_closes(site):
    running, release, folder = site
    assert (release.version, release.compatible) == ("2.0.0", ("1.0",))  # read out of the package
    device = running.enrol("dev1", "lab")
    running.world.start(release)
    line = Line(running.port, cuts=2, after=CUT)
    with swupdate(folder, f"http://127.0.0.1:{line.port}", device.token) as said:
        becomes(lambda: "Please restart SWUpdate to report" in said() or "Update successful, executing post" in said())
    assert line.ranges == ["", f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert (folder / "nvm.bin").read_bytes() == (folder / "fw.bin").read_bytes()
    with running.world.store.read() as db:
        terminal = access.find(db, "dev1")
    entry = lambda: running.world.entry(terminal, release)  # noqa: E731
    with swupdate(folder, f"http://127.0.0.1:{line.port}", device.token, "-c", "2"):
        becomes(lambda: entry().verdict == "confirmed")
    # Counted here, range by range, as no client reports it: every byte that left, a little of it into the breaks.
    assert entry().size <= entry().bytes <= 3 * entry().size
    assert device.link("deploymentBase") == ""
    assert device.link("installedBase")


@pytest.mark.heavy
def test_swupdate_gives_up_an_update_that_is_called_off(site):
    running, release, folder = site
    device = running.enrol("dev1", "lab")
    made = running.world.start(release)
    line = Line(running.port, cuts=1_000_000, after=10)  # nothing ever gets through
    called_off = threading.Event()

    def call_off() -> None:
        if not called_off.is_set():
            called_off.set()
            running.world.move(made, "abort")

    line.fetched = call_off  # it looks once more before it begins
    with running.world.store.read() as db:
        terminal = access.find(db, "dev1")

    def current():
        with running.world.store.read() as db:
            return actions.current_action(db, terminal.n, "firmware")

    with swupdate(folder, f"http://127.0.0.1:{line.port}", device.token):
        becomes(called_off.is_set)
        becomes(lambda: current() is None)
    with running.world.store.read() as db:
        action = actions.by_id(db, 1)
        assert action.state == "cancelled"
        assert history.of(db, action, 1).status == "CANCELED"
    assert f"POST dev1/cancelAction/{action.id}/feedback" in line.seen
    assert not (folder / "nvm.bin").exists()
