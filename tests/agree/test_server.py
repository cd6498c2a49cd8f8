"""Server and terminal agree within two check-ins after what befalls the server: a disk that is full, workers that race, a
herd, slow and malformed requests, clocks that differ (faults 23, 25, 27, 28, 29, 35)."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from neurath.carriers.base import Answer
from neurath.carriers.http import Http, Place
from neurath.errors import RefusedError
from neurath.ids import FIRMWARE
from neurath.server import shares
from neurath.server.app import Server as App
from neurath.server.app import application
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import Policy
from neurath.server.door import PER_ADDRESS, Door
from neurath.server.fleet import actions, progress, rollout
from neurath.wire import check as checks
from neurath.wire import ddi
from neurath.wire import offer as offers
from neurath.wire import report as reports
from neurath.wire.check import Check
from neurath.wire.report import Report
from tests.agree.site import DONE, Said, Server, Site
from tests.parts import ASSURANCE
from tests.rigs.disk import disk

# ---- 23 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("call", range(1, 9) if ASSURANCE else (1, 4))
def test_fault_23_the_servers_disk_is_full_from_one_call_on(call: int, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 24 << 20) as full:
        site = Site(tmp_path / "disk" / "data")
        site.before = lambda: full.fill() if site.calls == call else None
        site.world.agent.power_up()
        for _ in range(8):
            site.world.agent.wait()
        assert "full" in site.troubles[0].why
        full.clear()
        assert site.goes_on() == DONE
        site.over()


@pytest.mark.heavy
@pytest.mark.parametrize("left", range(0, 4096, 512) if ASSURANCE else (0, 2048))
def test_fault_23_the_terminals_disk_is_full(left: int, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1 << 20) as full:
        site = Site(tmp_path / "data", folder=tmp_path / "disk" / "stage")
        full.fill(left)
        site.world.agent.power_up()
        said = site.after_two()
        assert site.fetched > 0
        assert (said.bank, said.verdict) == ("1.0", "pending")
        full.clear()
        site.world.power()
        assert site.goes_on() == DONE


# ---- 25 ----------------------------------------------------------------------------------------------------------------

WORKERS = 8


def patiently(work: Callable[[], bytes]) -> bytes:
    """As whoever is told to try later."""
    while True:
        try:
            return work()
        except RefusedError as busy:
            if busy.id != "NRT-310":
                raise


class Raced(Site):
    """Each message of the terminal reaches eight workers at one moment, each with a store of its own."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.workers = [self.server, *(Server(place) for _ in range(WORKERS - 1))]
        self.pool, self.offers = ThreadPoolExecutor(WORKERS), []  # type: ignore[var-annotated]

    def race(self, work: Callable[[Server], bytes]) -> list[bytes]:
        meet = threading.Barrier(WORKERS)

        def one(worker: Server) -> bytes:
            meet.wait(60)
            return patiently(lambda: work(worker))

        return list(self.pool.map(one, self.workers))

    def check(self, message: bytes) -> bytes:
        self.checked += 1
        check, me, now = checks.decode(message), self.me(), self.now
        found = self.race(lambda worker: offers.encode(worker.delivery.check(me, check, now)))
        made = [one for one in found if offers.decode(one) is not None]
        self.offers.append({offers.decode(one).action for one in made})
        return (made or found)[-1]

    def take(self, report: Report) -> None:
        with self.store.read() as db:
            action = actions.of_terminal(db, self.me().n, report.action)
        assert action is not None
        self.race(lambda worker: worker.delivery.reported(action, report, self.now).value.encode())

    def close(self) -> None:
        self.pool.shutdown()
        for worker in self.workers[1:]:
            worker.close()
        self.over()


@pytest.mark.parametrize("built", [False, True], ids=["its file is to be built", "its file is there"])
def test_fault_25_every_message_reaches_eight_workers_at_once(built: bool, tmp_path: Path) -> None:
    for n in range(40 if ASSURANCE else 1):
        site = Raced(tmp_path / str(n))
        if built:  # for another one, so that all eight come to the opening of an action
            assert Site(tmp_path, name="unit-2", server=site.server).goes_on() == DONE
        site.race(lambda worker, site=site: bytes(rollout.advance(worker.store, site.now)))
        assert site.goes_on() == DONE
        assert [len(one) for one in site.offers if one] == [1]  # one action, whoever was asked
        assert sum(worker.built for worker in site.workers) == 2  # the way there, and the way back
        with site.store.read() as db:
            kinds = [line.kind for line in progress.timeline(db, site.me().n)]
            assert len(actions.all_of(db, site.me().n)) == 1
        assert (kinds.count("offered"), kinds.count("confirmed")) == (1, 1)
        site.close()


# ---- 27 ----------------------------------------------------------------------------------------------------------------


def test_fault_27_the_whole_herd_comes_at_once(tmp_path: Path) -> None:
    """All in their first call at one moment; each is then as it should be, on both sides."""
    count = 200 if ASSURANCE else 16
    first = Site(tmp_path / "data")
    herd = [first, *(Site(tmp_path, name=f"unit-{n}", server=first.server) for n in range(2, count + 1))]
    meet = threading.Barrier(count)

    def comes(site: Site) -> int:
        site.before = lambda: meet.wait(120) if site.calls == 1 else None
        site.world.agent.power_up()
        return next(made for made in site.rests() if made >= 2)

    with ThreadPoolExecutor(count) as pool:
        assert len(list(pool.map(comes, herd))) == count
    assert not meet.broken
    assert all(site.goes_on() == DONE for site in herd)
    with first.store.read() as db:
        every = [actions.all_of(db, site.me().n) for site in herd]
    assert all(len(mine) == 1 for mine in every)
    assert len({mine[0].id for mine in every}) == count
    assert first.server.built == 2


# ---- 28, 29: over HTTP -------------------------------------------------------------------------------------------------


class Wired(Said, Http):
    """HTTP, with an eye on what is said."""

    def check(self, check: Check) -> Answer:
        self.site.before()
        answer = super().check(check)
        self.site.checked += 1
        return answer

    def report(self, report: Report) -> None:
        self.site.before()
        super().report(report)


@contextmanager
def listening(site: Site) -> Iterator[int]:
    """The site's server on a port of this machine, and its terminal on HTTP."""
    app = App(site.store, site.server.deltas, site.delivery, StreamPush(), Policy(300))
    listener = socket.create_server(("127.0.0.1", 0))
    loop = uvicorn.Server(uvicorn.Config(application(app), http=Door, log_config=None, ws="none", proxy_headers=False))
    thread = threading.Thread(target=loop.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    site.reach(Wired(Place(f"http://127.0.0.1:{port}", site.name, site.token)))
    try:
        yield port
    finally:
        app.push.close()
        loop.should_exit = True
        thread.join(30)


@pytest.mark.parametrize("slow", ["a head", "a body"])
def test_fault_28_slow_ones_are_in_the_way(slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "head_deadline", 600.0)
    monkeypatch.setattr("neurath.server.device.BODY_DEADLINE", 600.0)
    site = Site(tmp_path)
    with listening(site) as port, ExitStack() as every:
        path = f"{ddi.base_path('DEFAULT', site.name)}/configData"
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: TargetToken {site.token}\r\n".encode()
        begun = head + (b"X-Slow: " if slow == "a head" else b'Content-Length: 9000\r\n\r\n{"mode": "')
        count = PER_ADDRESS - 20 if ASSURANCE else 50  # from one address, the terminal's
        links = [every.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(count)]
        for link in links:
            link.sendall(begun)
        assert site.goes_on() == DONE
        for link in links:  # all of them were there the whole time, and nobody had an answer
            link.setblocking(False)
            with pytest.raises(BlockingIOError):
                link.recv(1)


@dataclass
class Vandal:
    """Sends malformed requests in the terminal's name, as fast as the name is served: beyond its share it is put off, whatever
    it asks, and that would be another fault."""

    site: Site
    port: int
    dice: random.Random
    each: int
    sent: int = 0

    def __call__(self) -> None:
        with self.site.store.read() as db:
            current = actions.current_action(db, self.site.me().n, FIRMWARE)
        base = ddi.base_path("DEFAULT", self.site.name)
        number = 1 if current is None else current.id
        places = [
            ("PUT", f"{base}/configData"),
            ("POST", f"{base}/deploymentBase/{number}/feedback"),
            ("POST", f"/DEFAULT/neurath/v1/rescue/{self.site.name}"),
            ("GET", f"{base}/deploymentBase/{self.dice.randrange(1 << 70)}x"),
        ]
        for _ in range(self.each):
            time.sleep(1 / shares.TERMINAL.rate)
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            link.request(*self.dice.choice(places), self._body(), {"Authorization": f"TargetToken {self.site.token}"})
            status = link.getresponse().status
            assert 400 <= status < 500
            assert status != 429, "put off, and not read at all"
            link.close()
            self.sent += 1

    def _body(self) -> bytes:
        report = Report("1", reports.Phase.UPDATED, reports.Verdict.CONFIRMED)
        good = str(reports.to_feedback(report)).replace("'", '"').encode()
        return self.dice.choice((good[: self.dice.randrange(len(good))], self.dice.randbytes(40), b"[]", b"\xff" + good))


def test_fault_29_malformed_requests_come_between_the_good_ones(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with listening(site) as port:
        vandal = Vandal(site, port, random.Random(29), 300 if ASSURANCE else 8)
        site.world.agent.power_up()
        site.before = vandal
        assert site.after_two() == DONE
        assert vandal.sent >= 4 * vandal.each
        assert site.goes_on() == DONE


# ---- 35 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_fault_35_two_servers_whose_clocks_differ_answer_in_turn(ahead: float, tmp_path: Path) -> None:
    site = Site(tmp_path)
    pair = [site.server, Server(tmp_path)]
    served = []

    def turns() -> None:
        served.append(len(served) % 2)
        site.server, site.skew = pair[served[-1]], (ahead, -ahead)[served[-1]]

    site.before = turns
    site.world.agent.power_up()
    assert site.after_two() == DONE
    assert served.count(0) > 1
    assert served.count(1) > 1
    with site.store.read() as db:
        told = progress.timeline(db, site.me().n)
    assert [line.kind for line in told] == ["offered", "downloading", "downloaded", "confirmed"]
    assert max(line.at for line in told) - min(line.at for line in told) > 7000  # by both clocks, and nothing took that long
    for server in pair:
        site.server = server
        assert site.agreed() == DONE
        server.close()
