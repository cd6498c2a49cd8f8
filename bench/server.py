"""CPU that a server spends on one check-in without an update and on one with an update pending, and how long a check-in takes
with 64 at once: ours, and goosebit in the same run under the same load. CPU is the server's process alone, so a machine that
is shared tells the truth about it. PostgreSQL's own CPU is not counted. Run: python bench/server.py [--polls N]
[--database URL] [--peer PYTHON-WITH-GOOSEBIT]"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neurath.server.fleet import access, rollout
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add, add_plain_model
from neurath.server.store import Store

TERMINALS = 200
TOKEN = "0" * 32
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs: what a poll of its n-th device is."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    request: Callable[[int], bytes]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU of a process, its threads and its workers."""
    spent = 0.0
    for pid in (process.pid, *workers(process.pid)):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent += (int(fields[11]) + int(fields[12])) / TICK
    return spent


def workers(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(process: subprocess.Popen[bytes]) -> float:
    """Of the largest of its processes that serve, MB."""
    every = [Path(f"/proc/{pid}/status").read_text() for pid in (process.pid, *workers(process.pid))]
    return max(int(text.partition("VmRSS:")[2].split()[0]) for text in every) / 1024


def talk(link: socket.socket, request: bytes) -> bytes:
    link.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += link.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
    while len(body) < length:
        body += link.recv(65536)
    if b" 200 " not in head[:15]:
        raise SystemExit(f"{head[:200]!r} {body[:200]!r}")
    return body


def round_of(peer: Peer, polls: int) -> bytes:
    """Polls of the devices in turn over one kept connection: what a reverse proxy does."""
    with socket.create_connection(("127.0.0.1", peer.port)) as link:
        for n in range(polls):
            body = talk(link, peer.request(n % TERMINALS))
    return body


def each(peer: Peer, polls: int) -> tuple[float, bytes]:
    """Milliseconds of CPU a poll, and the last answer."""
    round_of(peer, 2 * TERMINALS)  # warm
    before = cpu(peer.process)
    body = round_of(peer, polls)
    return (cpu(peer.process) - before) / polls * 1000, body


def at_once(peer: Peer, links: int, polls: int) -> tuple[float, float]:
    """Median and 99th percentile, milliseconds, of a poll with so many connections at work."""
    took: list[float] = []

    def work(first: int) -> None:
        with socket.create_connection(("127.0.0.1", peer.port)) as link:
            for n in range(polls // links):
                begun = time.perf_counter()
                talk(link, peer.request((first + n) % TERMINALS))
                took.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=work, args=(n * 3,)) for n in range(links)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    took.sort()
    return took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000


def ours(folder: Path, *, pending: bool, database: str = "", count: int = 1) -> Peer:
    store = Store(folder, database)
    with store.write() as db:
        add_plain_model(db, "lab", 0.0)
        for n in range(TERMINALS):
            access.register(db, Enrolment(f"dev-{n}", "lab", token=TOKEN), 0.0)
            access.configure(db, access.find(db, f"dev-{n}"), {"hw": "1"}, 0.0)
    release = add(store, Upload(random.Random(1).randbytes(10_000), "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
    if pending:
        with store.write() as db:
            rollout.move(db, rollout.create(db, Plan(release, None), 0.0).id, "start", time.time())
    store.close()
    words = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(folder), "--port", "0", "--json"]
    words += ["--database", database, "--workers", str(count)] if database else []
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = int(json.loads(process.stdout.readline())["port"])

    def request(n: int) -> bytes:
        head = f"GET /DEFAULT/controller/v1/dev-{n} HTTP/1.1\r\nHost: b\r\nAuthorization: TargetToken {TOKEN}\r\n"
        return f"{head}Accept: application/json\r\n\r\n".encode()

    return Peer(f"neurath{f', PostgreSQL, {count}' if database else ''}", process, port, request)


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


def goosebit(folder: Path, python: str) -> Peer:
    """As it comes: SQLite, one worker, devices by first contact, access log of uvicorn off."""
    port = free_port()
    (folder / "goosebit.yaml").write_text(f"port: {port}\ntenant: DEFAULT\ndb_uri: sqlite:///{folder}/db.sqlite3\n")
    own = os.environ | {"GOOSEBIT_SETTINGS": str(folder / "goosebit.yaml")}
    subprocess.run([python, "-c", _TABLES], cwd=folder, env=own, capture_output=True, check=True)
    code = f"import uvicorn; from goosebit import app; uvicorn.run(app, port={port}, log_level='error', access_log=False)"
    process = subprocess.Popen([python, "-c", code], cwd=folder, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
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

    with socket.create_connection(("127.0.0.1", port)) as link:
        for n in range(TERMINALS):
            talk(link, request(n))
            talk(link, configure(n))
    return Peer("goosebit", process, port, request)


def measured(peer: Peer, what: str, polls: int) -> float:
    try:
        spent, body = each(peer, polls)
        half, most = at_once(peer, 64, min(polls, 6400))
        print(
            f"{peer.name:24} {what:16} {spent:7.3f} ms CPU a poll   64 at once: p50 {half:6.1f} ms, p99 {most:6.1f} ms"
            f"   {memory(peer.process):5.0f} MB   {len(body)} bytes"
        )
        return spent
    finally:
        peer.process.terminate()
        peer.process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=10_000)
    text = "URL of an empty database, asked for with {} in the place of its name: postgresql://user@/{}?host=/run/postgresql"
    parser.add_argument("--database", metavar="URL", help=text)
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has goosebit (pip install goosebit)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        nothing = measured(ours(root / "a", pending=False), "nothing to do", args.polls)
        measured(ours(root / "b", pending=True), "update pending", args.polls)
        for name, pending, count in (("d", False, 1), ("e", True, 1), ("f", False, 2)) if args.database else ():
            what = "update pending" if pending else "nothing to do"
            measured(ours(root / name, pending=pending, database=args.database.format(name), count=count), what, args.polls)
        if args.peer:
            (root / "c").mkdir()
            other = measured(goosebit(root / "c", args.peer), "nothing to do", max(400, args.polls // 10))
            print(f"ratio, nothing to do: {other / nothing:.1f}")


if __name__ == "__main__":
    main()
