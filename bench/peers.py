"""Servers that are measured: ours, on a database of its own, and goosebit from PyPI in a virtual environment of its own. It
knows how each is set up with the same devices and the same package; it must never measure."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from neurath.server.fleet import rollout
from neurath.server.fleet.access import hashed
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store import Store
from neurath.sim.processes import free_port

TOKEN = "0" * 32
GOOSEBIT = "goosebit==0.2.12"
TICK = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs: `request` is a poll of its n-th device."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    request: Callable[[int], bytes]

    def pids(self) -> list[int]:
        pid = self.process.pid
        return [pid, *(int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def cpu(self) -> float:
        """Seconds of CPU of its processes so far."""
        spent = 0.0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            spent += (int(fields[11]) + int(fields[12])) / TICK
        return spent

    def memory(self, what: str = "VmRSS:") -> float:
        """Of the largest of its processes, MB."""
        every = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return max(int(one.partition(what)[2].split()[0]) for one in every) / 1024

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@dataclass(frozen=True, slots=True)
class Site:
    """What a server of ours is given: so many terminals, all of which said who they are, and a package of so many bytes that
    is rolled out to all of them (`pending`), or to none."""

    folder: Path
    database: str = ""
    terminals: int = 200
    package: int = 10_000
    pending: bool = False
    workers: int = 1
    sleep: int = 300


#: So many terminals at once: an import takes minutes for a million, and is measured elsewhere (tests/server/test_fleet.py).
_FLEET = """INSERT INTO terminal (tenant, id, model, token, registered, configured, attributes)
WITH RECURSIVE one(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM one WHERE n + 1 < :count)
SELECT 'DEFAULT', 'dev-' || n, 'lab', :token, 0, 0, '{"hw": "1"}' FROM one"""


def content(size: int) -> bytes:
    block = random.Random(1).randbytes(1 << 20)
    return (block * (size // len(block) + 1))[:size]


def ours(site: Site) -> Peer:
    store = Store(site.folder, site.database)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        db.execute(text(_FLEET), {"count": site.terminals, "token": hashed(TOKEN)})
        if site.database:
            db.execute(text("ANALYZE"))
    release = add(store, Upload(content(site.package), "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
    with store.write() as db:
        made = rollout.create(db, Plan(release, None), 0.0)
        if site.pending:
            rollout.move(db, made.id, "start", time.time())
    store.close()
    words = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(site.folder), "--port", "0", "--json"]
    words += ["--database", site.database] if site.database else []
    words += ["--workers", str(site.workers), "--sleep", str(site.sleep)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = int(json.loads(process.stdout.readline())["port"])

    def request(n: int) -> bytes:
        head = f"GET /DEFAULT/controller/v1/dev-{n} HTTP/1.1\r\nHost: b\r\nAuthorization: TargetToken {TOKEN}\r\n"
        return f"{head}Accept: application/json\r\n\r\n".encode()

    return Peer("neurath", process, port, request)


def interpreter() -> Path:
    """A Python that has goosebit: made once, in build/."""
    folder = ROOT / "build" / "goosebit"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "-q", "install", GOOSEBIT], check=True)
        (folder / "done").write_text(GOOSEBIT)
    return python


#: goosebit's tables, without its migrations: they are the same.
_TABLES = """
import asyncio
from tortoise import Tortoise
from goosebit.db.config import TORTOISE_CONF

async def make():
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    await Tortoise.close_connections()

asyncio.run(make())
"""
#: A package that every device is assigned.
_ASSIGN = """
import asyncio, sys
from tortoise import Tortoise
from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Device, Software, UpdateModeEnum

async def make():
    await Tortoise.init(config=TORTOISE_CONF)
    made = await Software.create(uri="file://" + sys.argv[1], size=int(sys.argv[2]), hash="0" * 40, version="2.0.0")
    await made.compatibility.add((await Device.first().prefetch_related("hardware")).hardware)
    await Device.all().update(update_mode=UpdateModeEnum.ASSIGNED, assigned_software_id=made.id)
    await Tortoise.close_connections()

asyncio.run(make())
"""


def goosebit(site: Site, python: Path, say: Callable[[Peer, bytes], bytes]) -> Peer:
    """As it comes: SQLite, one worker, devices by first contact, access log of uvicorn off. `say` is one exchange with it."""
    port = free_port()
    site.folder.mkdir()
    database = f"sqlite:///{site.folder}/db.sqlite3"
    settings = f"port: {port}\ntenant: DEFAULT\ndb_uri: {database}\nartifacts_dir: {site.folder}\n"
    (site.folder / "goosebit.yaml").write_text(settings)
    own = os.environ | {"GOOSEBIT_SETTINGS": str(site.folder / "goosebit.yaml")}

    def run(code: str, *words: str) -> None:
        subprocess.run([python, "-c", code, *words], cwd=site.folder, env=own, capture_output=True, check=True)

    run(_TABLES)
    code = f"import uvicorn; from goosebit import app; uvicorn.run(app, port={port}, log_level='error', access_log=False)"
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([python, "-c", code], cwd=site.folder, env=own, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.2)

    def request(n: int) -> bytes:
        return f"GET /DEFAULT/controller/v1/dev-{n} HTTP/1.1\r\nHost: b\r\nAccept: application/json\r\n\r\n".encode()

    def configure(n: int) -> bytes:
        status = {"result": {"finished": "success"}, "execution": "closed", "details": []}
        body = json.dumps({"data": {"hw": "1"}, "mode": "merge", "id": "", "status": status}).encode()
        head = f"PUT /DEFAULT/controller/v1/dev-{n}/configData HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    peer = Peer("goosebit", process, port, request)
    for n in range(site.terminals):
        say(peer, request(n))
        say(peer, configure(n))
    if site.pending:
        package = site.folder / "a.swu"
        package.write_bytes(content(site.package))
        run(_ASSIGN, str(package), str(site.package))
    return peer
