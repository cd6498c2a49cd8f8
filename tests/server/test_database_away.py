"""The database goes away under load and comes back: a poll is answered or told to come again, and a report that was
acknowledged is there."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

from sqlalchemy import select

from neurath.server.fleet import access, rollout
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from neurath.server.store.tables import word
from tests.parts import ASSURANCE
from tests.rigs import postgres
from tests.server.served import serve
from tests.server.test_http import Client

AWAY = 60.0 if ASSURANCE else 3.0
TERMINALS = 4


def test_nothing_acknowledged_is_lost_while_the_database_is_away(tmp_path: Path) -> None:
    with postgres.running() as server:
        server.settings["fsync"] = "on"
        url = server.database()
        store = Store(tmp_path / "lab", url)
        with store.write() as db:
            add_plain_model(db, "lab", 0.0)
            for n in range(TERMINALS):
                access.register(db, Enrolment(f"t{n}", "lab", token="0" * 32), 0.0)
        release = add(store, Upload(b"package" * 100, "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
        with store.write() as db:
            rollout.move(db, rollout.create(db, Plan(release, None), 0.0).id, "start", time.time())
        with serve(tmp_path / "a", "--database", url, "--workers", "2") as served:
            acknowledged: list[str] = []
            seen: set[tuple[int, bool]] = set()
            over = threading.Event()

            def load(client: Client, action: str) -> None:
                count = 0
                while not over.is_set():
                    count += 1
                    said = f"{client.name} says {count}"
                    status = {"execution": "proceeding", "result": {"finished": "none"}, "details": [said]}
                    told = client.ask("POST", f"deploymentBase/{action}/feedback", {"id": action, "status": status})
                    polled = client.ask("GET", "")
                    if told.status == 200:
                        acknowledged.append(said)
                    for answer in (told, polled):
                        seen.add((answer.status, "retry-after" in answer.headers))

            clients = [Client(served.port, "0" * 32, f"t{n}") for n in range(TERMINALS)]
            numbers = [one.link("deploymentBase").partition("?")[0].rpartition("/")[2] for one in clients]
            threads = [threading.Thread(target=load, args=pair) for pair in zip(clients, numbers, strict=True)]
            for one in threads:
                one.start()
            becomes(lambda: len(acknowledged) >= 10)
            server.stop(signal.SIGQUIT)  # as if it had crashed
            time.sleep(AWAY)
            before = len(acknowledged)
            server.start()
            becomes(lambda: len(acknowledged) >= before + 10)
            over.set()
            for one in threads:
                one.join()
        assert seen == {(200, False), (503, True)}
        kept = Store(tmp_path / "again", url)
        with kept.read() as db:
            there = set(db.scalars(select(word.c.text)))
        assert [one for one in acknowledged if one not in there] == []
        kept.close()
        store.close()


def becomes(so: object, limit: float = 120.0) -> None:
    deadline = time.monotonic() + limit
    while not so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
