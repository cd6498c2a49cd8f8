"""A bad release called back, and everything stopped, beside a running server: who holds an offer is told, nothing more of it
is given out, and what is on its way is cut."""

from __future__ import annotations

import http.client
import random
import threading
import time

import pytest

from neurath.server.fleet import rollout, stop
from neurath.server.fleet.recall import revoke
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add, find_release
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from tests.server.test_http import Client, serving

#: The promise is a second. A machine that does other things is given ten.
PROMISE, PATIENCE = 1.0, 10.0
PACKAGE = random.Random(9).randbytes(12_000_000)


class Listener:
    """A client that listens for notices."""

    def __init__(self, client: Client) -> None:
        self.told: list[float] = []
        self.link = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        path = f"/DEFAULT/neurath/v1/{client.name}/events"
        self.link.request("GET", path, headers={"Authorization": f"TargetToken {client.token}"})
        self.answer = self.link.getresponse()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        try:
            while line := self.answer.readline():
                if line.startswith(b"event: check"):
                    self.told.append(time.monotonic())
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass


class Slow:
    """A client that takes its time over a file; `ended` is when no more came, `count` how much there was."""

    def __init__(self, client: Client, path: str) -> None:
        self.count, self.ended = 0, 0.0
        self.link = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        self.link.request("GET", path, headers={"Authorization": f"TargetToken {client.token}"})
        self.answer = self.link.getresponse()
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()

    def take(self) -> None:
        try:
            while data := self.answer.read1(16384):
                self.count += len(data)
                time.sleep(0.002)
        except (OSError, http.client.HTTPException):
            pass
        self.ended = time.monotonic()


def wait(what, why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["revoke", "stop"])
def test_a_recall_reaches_everybody_within_a_second(tmp_path, how, record_property):
    with serving(tmp_path / "data") as running:
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        release = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="fw.swu"), time.time())
        with running.world.store.write() as db:
            rollout.move(db, rollout.create(db, Plan(release, None), time.time()).id, "start", time.time())
        listening, loading = running.enrol("listening", "lab"), running.enrol("loading", "lab")
        path = loading.link("deploymentBase")
        href = loading.ask("GET", path).json["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
        file = "/" + href.split("/", 3)[3]
        assert listening.link("deploymentBase")
        listener, slow = Listener(listening), Slow(loading, file)
        wait(lambda: slow.count > 200_000 and listener.told, "the world is not ready")  # every stream begins with a notice
        time.sleep(0.6)  # the follower of notices has looked once: what is older is old news to it
        before = len(listener.told)
        other = Store(tmp_path / "data")  # another process: the command line beside the server
        with other.write() as db:
            if how == "revoke":
                revoke(db, find_release(db, "lab/2.0"), time.time())
            else:
                stop.stop(db, stop.Stop(time.time(), "ann", "smoke"))
        begun = time.monotonic()
        other.close()
        assert loading.ask("GET", file).status == 404  # from that write on, not a moment later
        assert loading.ask("GET", path).status == 404
        assert running.enrol("new", "lab").link("deploymentBase") == ""
        wait(lambda: len(listener.told) > before, "nobody was told")
        wait(lambda: slow.ended, "the transfer goes on")
        assert slow.count < len(PACKAGE)
        took = max(listener.told[before], slow.ended) - begun
        record_property("seconds", (round(listener.told[before] - begun, 3), round(slow.ended - begun, 3)))
        assert took < PATIENCE
        assert set(loading.ask("GET", "").json["_links"]) == {"configData", "cancelAction"}
