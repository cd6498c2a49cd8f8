"""CPU that the server spends on one heartbeat with a piece of 512 bytes on its answer: in the core (what every carrier's
server half calls), and over HTTP against a plain Starlette route in the same process. 200 terminals in turn; writing down who
was heard and what was confirmed is in the figures. Run: python bench/heartbeat.py [--beats N]"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import tempfile
import time
from concurrent.futures import Executor, Future
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neurath.carriers.base import Seen
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.flash.native import need
from neurath.ids import Floor, ModelName, digest
from neurath.server.app import FLUSH, Server, application
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.riding import ServerRiding
from neurath.server.delivery.streams import StreamPush
from neurath.server.delivery.trickle import Trickle
from neurath.server.device import Policy
from neurath.server.door import Door
from neurath.server.fleet import access, rollout
from neurath.server.fleet.access import Enrolment
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.deltas import Deltas, Job, Result
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.wire import manifest, trickle
from neurath.wire.check import Check
from neurath.wire.keys import from_seed, public_pem
from neurath.wire.trickle import Ask, State

PIECE, TERMINALS = 512, 200
MODEL = Model(ModelName("bench"), simple_layout(256 * 1024), ram=128 * 1024)
KEY = from_seed(b"release key of a benchmark only.")
TOKEN = "0" * 32
OLD, NEW = (random.Random(seed).randbytes(200_000) for seed in (1, 2))


class Here(Executor):
    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[Result] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def stand_in(job: Job) -> Result:
    """A file as large as a small delta; what is in it is not what is measured."""
    return Result(random.Random(3).randbytes(20_000), 1024, 3, 0.0)


def prepared(folder: Path) -> tuple[Server, bytes]:
    """A server with a rollout that runs and terminals that have begun; the program they fetch."""
    store = Store(folder)
    with store.write() as db:
        add_model(db, model_to_toml(MODEL), [public_pem(KEY.public).decode()], 1.0)
    releases = []
    for number, data in enumerate((OLD, NEW), 1):
        signed = manifest.sign(manifest.contents_of(data, MODEL, sequence=number, version=str(number)), KEY)
        releases.append(catalog.add(store, Upload(data, MODEL.name, str(number), envelope=signed), 1.0))
    deltas = Deltas(store, builder=stand_in, pool=Here())
    server = Server(store, deltas, Delivery(store, deltas, tickets.load_key(folder), need), StreamPush(), Policy())
    server.trickle = Trickle(server.delivery, PIECE)
    server.riding = ServerRiding(server.trickle)
    with store.write() as db:
        for n in range(TERMINALS):
            access.register(db, Enrolment(f"t{n}", MODEL.name, token=TOKEN), 1.0)
        made = rollout.create(db, rollout.Plan(releases[1], None), 1.0)
        rollout.move(db, made.id, "start", 1.0)
        found = access.all_terminals(db)
    said = Check(MODEL.name, digest(OLD), len(OLD), MODEL.ram, b"nonce---", floor=Floor(0, 1), stage=1 << 20)
    for one in found:
        server.delivery.record(one, said, 2.0)
    state = trickle.encode_state(State())
    for _ in range(3):
        for n in range(TERMINALS):
            data = server.riding.answer(Seen(f"t{n}", "bench"), state, 1024, 3.0)
    return server, trickle.decode_reply(data).program


def asks(program: bytes, beat: int) -> bytes:
    """One piece of the file: without a measured rate there is never more than one."""
    return trickle.encode_state(State(Ask.PIECES, program, 2 + beat % 30, 1024))


def core(server: Server, program: bytes, beats: int) -> float:
    """Seconds of CPU a heartbeat, what is written every two seconds included."""
    states, flushed, began = [asks(program, n) for n in range(30)], time.monotonic(), time.process_time()
    for n in range(beats):
        now = time.time()
        seen = Seen(f"t{n % TERMINALS}", "bench", "192.0.2.1")
        data = server.riding.answer(seen, states[n // TERMINALS % 30], 1024, now)
        if len(data) != trickle.REPLY_HEADER + PIECE:
            raise SystemExit(f"heartbeat {n} was answered with {len(data)} bytes")
        if time.monotonic() - flushed > 2.0:
            server.flush()
            flushed = time.monotonic()
    server.flush()
    return (time.process_time() - began) / beats


async def plain(request: Request) -> Response:
    await request.body()
    return Response(bytes(trickle.REPLY_HEADER + PIECE), media_type="application/octet-stream")


def serve(folder: Path, wire: Connection) -> None:
    """The server in a process of its own; each word on the wire is answered with the CPU seconds it has used."""
    server, program = prepared(folder)
    app = application(server)
    app.app.app.router.routes.insert(0, Route("/{tenant}/plain/{id}/heartbeat", plain, methods=["POST"]))
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, http=Door, log_config=None, access_log=False, ws="none"))
    import threading

    threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True).start()
    wire.send((listener.getsockname()[1], program))
    while wire.recv():
        wire.send(time.process_time())
    running.should_exit = True


def post(port: int, path: str, bodies: list[bytes], beats: int) -> None:
    """Heartbeats of the terminals in turn, over one kept connection: what a gateway or a reverse proxy does."""
    link = socket.create_connection(("127.0.0.1", port))
    for n in range(beats):
        body = bodies[n // TERMINALS % len(bodies)]
        head = f"POST {path.format(n % TERMINALS)} HTTP/1.1\r\nHost: b\r\nAuthorization: TargetToken {TOKEN}\r\n"
        link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = link.recv(4096)
        while len(answer.partition(b"\r\n\r\n")[2]) < trickle.REPLY_HEADER + PIECE:
            more = link.recv(4096)
            if not more or b" 200 " not in answer[:20]:
                raise SystemExit(f"{path}: {answer[:300]!r}")
            answer += more
    link.close()


def over_http(folder: Path, beats: int) -> tuple[float, float]:
    """Seconds of the server's CPU a heartbeat, with trickle and on the plain route: in turn, on the same machine."""
    near, far = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, far), daemon=True)
    child.start()
    port, program = near.recv()
    bodies = [asks(program, n) for n in range(30)]
    spent = {"/DEFAULT/neurath/v1/t{}/heartbeat": 0.0, "/DEFAULT/plain/t{}/heartbeat": 0.0}
    for path in spent:
        post(port, path, bodies, 2 * TERMINALS)  # nothing is measured cold
    rounds, each = 3, max(TERMINALS, beats // 3)
    for _ in range(rounds):
        for path in spent:
            near.send(True)
            before = near.recv()
            post(port, path, bodies, each)
            time.sleep(1.5 * FLUSH)  # what is written down afterwards belongs to it
            near.send(True)
            spent[path] += near.recv() - before
    near.send(False)
    child.join(10)
    with_, without = (seconds / (rounds * each) for seconds in spent.values())
    return with_, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beats", type=int, default=20_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, program = prepared(Path(folder) / "core")
        one = core(server, program, args.beats)
        server.close()
        http, floor = over_http(Path(folder) / "http", args.beats // 4)
    print(f"core    {one * 1000:7.3f} ms CPU a heartbeat with a piece of {PIECE} bytes  (goal 0.150)")
    print(f"HTTP    {http * 1000:7.3f} ms")
    print(f"plain   {floor * 1000:7.3f} ms  a Starlette route that answers as many bytes")
    print(f"ratio   {http / floor:7.2f}    HTTP heartbeat to plain route")
    print(f"1,000,000 terminals at 60 s take {one * 1e6 / 60:.1f} cores in the core, {http * 1e6 / 60:.1f} over HTTP")


if __name__ == "__main__":
    main()
