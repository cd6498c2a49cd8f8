"""CoAP heartbeats a second on one core: the server, with and without updates under way, against a bare aiocoap resource in the
same run, which bounds it. Counts the CPU time of the server's process, so that a busy machine changes nothing.

    python bench/coap.py [--beats 3000] [--terminals 200]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import Floor, ModelName, digest
from neurath.sim.processes import free_port, verb
from neurath.wire import check, coap, manifest, trickle
from neurath.wire.check import Check
from neurath.wire.coap import Code, Message, Type
from neurath.wire.keys import from_seed, public_pem
from neurath.wire.trickle import Ask, State

MODEL = Model(ModelName("bench"), simple_layout(256 * 1024), ram=512 * 1024)
KEY = from_seed(b"release key of the benchmark....")
WINDOW = 40
FLEET, PERIOD = 1_000_000, 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers, those with pieces, seconds of the server's CPU, and bytes by which its memory grew."""

    answers: int
    loaded: int
    cpu: float
    grown: int

    @property
    def a_core(self) -> float:
        return self.answers / self.cpu


def bare(port: int) -> None:
    """What aiocoap does with the least there can be behind it: the same answer for everybody."""
    from aiocoap import Context
    from aiocoap import Message as Answer
    from aiocoap.numbers.codes import CHANGED
    from aiocoap.resource import PathCapable, Resource

    class Heart(Resource, PathCapable):  # type: ignore[misc]  # aiocoap is not typed
        async def needs_blockwise_assembly(self, request: object) -> bool:
            return False

        async def render(self, request: object) -> Answer:
            return Answer(code=CHANGED, payload=bytes(208))

    async def live() -> None:
        await Context.create_server_context(Heart(), bind=("127.0.0.1", port), transports=["udp6"])
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(live())


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes of RAM that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def beat(port: int, pid: int, requests: list[bytes], beats: int) -> Outcome:
    """Sends heartbeats, WINDOW of them unanswered at a time, and counts the answers."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect(("127.0.0.1", port))
    link.settimeout(5)
    mid = secrets.randbelow(1 << 16)
    sent = answers = loaded = 0
    used, held = cpu(pid), memory(pid)
    while answers < beats:
        while sent < beats and sent - answers < WINDOW:
            mid = (mid + 1) & 0xFFFF
            link.send(requests[sent % len(requests)][:2] + mid.to_bytes(2, "big") + requests[sent % len(requests)][4:])
            sent += 1
        answer = coap.decode(link.recv(65535))
        assert answer.code == Code.CHANGED, coap.dotted(answer.code)
        answers += 1
        loaded += len(answer.payload) > trickle.REPLY_HEADER
    outcome = Outcome(answers, loaded, cpu(pid) - used, memory(pid) - held)
    link.close()
    return outcome


def request(path: tuple[str, ...], token: str, body: bytes) -> bytes:
    options = (*coap.path(*path), (coap.TOKEN_OPTION, token.encode()))
    return coap.encode(Message(Type.NON, Code.POST, 0, secrets.token_bytes(4), options, body))


@contextmanager
def started(words: list[str]) -> Iterator[int]:
    """A process that has said its first line; its id."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it did not start"
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def prepare(place: Path, terminals: int) -> list[tuple[str, str]]:
    """A store with two releases and terminals that are to have the second; (id, token) of each."""
    data = ("--data", place / "data")
    (place / "m.toml").write_text(model_to_toml(MODEL))
    (place / "k.pem").write_bytes(public_pem(KEY.public))
    verb("model", "add", place / "m.toml", "--release-key", place / "k.pem", *data)
    for number in (1, 2):
        (place / f"{number}.bin").write_bytes(image(number))
        contents = manifest.contents_of(image(number), MODEL, sequence=number, version=str(number))
        (place / f"{number}.env").write_bytes(manifest.sign(contents, KEY))
        named = ("--model", "bench", "--version", str(number), "--envelope", place / f"{number}.env")
        verb("image", "add", place / f"{number}.bin", *named, *data)
    (place / "t.csv").write_text("id,model\n" + "".join(f"t{n},bench\n" for n in range(terminals)))
    return [(str(one["id"]), str(one["token"])) for one in verb("terminal", "import", place / "t.csv", *data)]


def image(number: int) -> bytes:
    import random

    return random.Random(number).randbytes(200_000)


def says() -> bytes:
    bank = digest(image(1))
    return check.encode(Check(MODEL.name, bank, 200_000, MODEL.ram, bytes(8), floor=Floor(0, 1), stage=1 << 30))


def programs(port: int, terminals: list[tuple[str, str]]) -> bytes:
    """The program that waits for all of them, once each has checked in."""
    from neurath.carriers.coap import Coap
    from neurath.carriers.http import Place

    found = None
    for name, token in terminals:
        link = Coap(Place(f"coap://127.0.0.1:{port}", name, token, message_limit=20))
        for _ in range(100):
            found = link.check(check.decode(says())).offer
            if found is not None:
                break
            time.sleep(0.1)
        link.close()
    assert found is not None
    return found.file[:4]


def measure(beats: int, count: int) -> list[tuple[str, Outcome]]:
    rows = []
    port = free_port()
    with started([sys.executable, __file__, "--bare", str(port)]) as pid:
        requests = [request(("h", f"t{n}"), "t" * 48, trickle.encode_state(State(room=208))) for n in range(count)]
        beat(port, pid, requests, beats // 4)
        rows.append(("bare aiocoap resource, 208 bytes", beat(port, pid, requests, beats)))
    with tempfile.TemporaryDirectory() as folder:
        terminals = prepare(Path(folder), count)
        port = free_port()
        words = [sys.executable, "-m", "neurath.cli.main", "serve", "--port", "0", "--coap", str(port), "--data"]
        with started([*words, f"{folder}/data"]) as pid:
            for name, token in terminals:  # who is heard for the first time is asked about in full
                beat(port, pid, [request(("c", name), token, says())], 1)
            idle = [request(("h", name), token, trickle.encode_state(State(room=208))) for name, token in terminals]
            beat(port, pid, idle, beats // 4)
            rows.append(("neurath, nothing waits", beat(port, pid, idle, beats)))
            verb("rollout", "create", "--release", "bench/2", "--all", "--start", "--data", Path(folder, "data"))
            program = programs(port, terminals)
            for room, name_ in ((208, "one piece of 200 bytes"), (1024, "five pieces of 200 bytes")):
                busy = [
                    request(("h", name), token, trickle.encode_state(State(Ask.PIECES, program, 20 + n % 100, room, 255)))
                    for n, (name, token) in enumerate(terminals)
                ]
                beat(port, pid, busy, beats // 4)
                rows.append((f"neurath, {name_}", beat(port, pid, busy, beats)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beats", type=int, default=3000)
    parser.add_argument("--terminals", type=int, default=200)
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare is not None:
        bare(args.bare)
        return
    rows = measure(args.beats, args.terminals)
    limit = rows[0][1].a_core
    heads = f"{'a core':>8} {'of bare':>8} {'ms CPU':>7} {'loaded':>7} {'bytes':>6} {'cores for 1,000,000 at 60 s':>28}"
    print(f"{'heartbeats over CoAP':34} {heads}")
    for name, one in rows:
        cores, share, grown = FLEET / PERIOD / one.a_core, one.a_core / limit, one.grown / one.answers
        each = f"{one.a_core:8.0f} {share:8.2f} {1000 * one.cpu / one.answers:7.2f} {one.loaded:7} {grown:6.0f}"
        print(f"{name:34} {each} {cores:28.1f}")
    print("bytes: what each heartbeat leaves in memory for the 247 s in which its message id may not be used again (RFC 7252)")


if __name__ == "__main__":
    main()
