"""How long the console's first page, a rollout's page and the matrix take with 100,000 terminals, of which a part is under
way: figures read and page rendered, in one process. Prints milliseconds of each part.

    python bench/overview.py [TERMINALS]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert
from starlette.applications import Starlette
from starlette.testclient import TestClient

from neurath.console import board
from neurath.console.pages import Desk, routes
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.server.fleet import figures, rollout, spread, waves
from neurath.server.fleet.census import Known, Names
from neurath.server.fleet.figures import Wanted
from neurath.server.fleet.rollout import Plan
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.server.store.tables import action, component, ledger, terminal
from neurath.wire import keys, manifest

MODEL = Model(ModelName("bench"), simple_layout(64 * 1024), ram=64 * 1024)
KEY = keys.from_seed(bytes(range(32)))
ROUNDS = 5


def fill(store: Store, count: int, now: float) -> None:
    """A fleet in the middle of a rollout: a third done, a tenth at it, some failed; it has been at it for an hour."""
    began, now = now, now - 3600
    with store.write() as db:
        add_model(db, model_to_toml(MODEL), [keys.public_pem(KEY.public).decode()], now)
    made = []
    for number in (1, 2):
        data = bytes([number]) * 30_000
        sealed = manifest.sign(manifest.contents_of(data, MODEL, sequence=number, version=str(number)), KEY)
        made.append(catalog.add(store, Upload(data, "bench", str(number), envelope=sealed), now))
    old, new = made
    with store.write() as db:
        rows = [{"id": f"t{n:06}", "model": "bench", "registered": now, "heard": began - n % 600} for n in range(count)]
        db.execute(insert(terminal), rows)
        runs = [new if n % 3 == 0 else old for n in range(count)]
        said = [
            {"terminal": n + 1, "name": "firmware", "model": "bench", "bank": one.image, "bank_size": one.size,
             "sequence": one.sequence, "checked": now, "word": one.version}
            for n, one in enumerate(runs)
        ]  # fmt: skip
        db.execute(insert(component), said)
        one = rollout.create(db, Plan(new, None, policy=waves.policy("waves=50% halt=20% go-on=80%")), now)
        rollout.move(db, one.id, "start", now)
        begun = [n for n in range(count) if n % 3 == 0 or n % 10 == 1]
        common = {"component": "firmware", "release": new.id, "size": 5000}
        db.execute(
            insert(action),
            [common | {"terminal": n + 1, "kind": "delta", "file": new.image, "base": old.image} for n in begun],
        )
        lines = []
        for number, n in enumerate(begun, 1):
            stand = (
                ("updated", "confirmed")
                if n % 3 == 0
                else ("failed", "failed")
                if n % 100 == 1
                else ("downloading", "pending")
            )
            moments = {
                "offered": now,
                "updated": began - 3600 * n / count,
                "distributed": now,
                "installed": now,
                "notified": now,
            }
            lines.append({"terminal": n + 1, "component": "firmware", "release": new.id, "action": number, "size": 5000,
                          "sync": 2500, "phase": stand[0], "verdict": stand[1], **moments})  # fmt: skip
        db.execute(insert(ledger), lines)


def took(work: Callable[[], object]) -> float:
    """The best of some rounds, milliseconds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1e3)
    return min(found)


def after_start(place: Path) -> float:
    """Milliseconds of the very first page of a server that says this moment that it serves."""
    words = [sys.executable, "-m", "neurath.cli.main", "--json", "serve", "--data", str(place), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            url = json.loads(serving.stdout.readline())["url"]
            began = time.perf_counter()
            urllib.request.urlopen(f"{url}/").read()
            return (time.perf_counter() - began) * 1e3
        finally:
            serving.terminate()


def measure(count: int) -> dict[str, float]:
    now = time.time()
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        fill(store, count, now)
        with store.read() as db:
            parts = {
                "states": took(lambda: figures.states(db, now)),
                "lines": took(lambda: figures.lines(db, Wanted(), now)),
                "shares": took(lambda: figures.shares(db)),
                "rollouts": took(lambda: spread.rollouts(db, now)),
            }
        parts["matrix"] = took(lambda: board.matrix(store, "bench", 1))
        memory = board.Memory()
        app = TestClient(Starlette(routes=routes(Desk(store, lambda *_: "", memory=memory))))
        first = time.perf_counter()
        assert app.get("/").status_code == 200
        parts["page_first"] = (time.perf_counter() - first) * 1e3

        def anew() -> None:
            memory.figures._kept.clear()
            assert app.get("/").status_code == 200

        def recounted() -> None:
            memory.census._known, memory.census._names = Known(), Names()
            anew()

        parts["page_all_figures_anew"] = took(anew)
        parts["page_recounted"] = took(recounted)
        parts["page"] = took(lambda: app.get("/"))
        first = time.perf_counter()
        assert app.get("/rollouts/1").status_code == 200
        parts["rollout_page_first"] = (time.perf_counter() - first) * 1e3
        parts["terminals_page"] = took(lambda: app.get("/terminals"))
        parts["software_page"] = took(lambda: app.get("/software"))
        store.close()
        parts["page_at_start"] = min(after_start(Path(place)) for _ in range(3))
    return {"terminals": count} | parts


if __name__ == "__main__":
    print(
        json.dumps(
            {name: round(value, 1) for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000).items()}
        )
    )
