"""How fast 2,000 subscribers of a broker are notified: our sweep over MQTT against the broker alone (a bare publisher at the
same pace), in the same run, on a mosquitto of its own. Prints milliseconds from handing a notice over until it arrives, and
the ratio.

    python bench/push.py [N]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from neurath.ids import TerminalId
from neurath.server.delivery.mqtt_push import MqttPush
from neurath.server.delivery.sweep import Pace, Sweep
from neurath.server.fleet.reach import Told
from neurath.sim.processes import free_port

PROMISED = 0.050
ROUNDS = 3
_PACE = Pace()


# ---- subscribers: as little MQTT 5 as there can be, in a process of their own ---------------------------------------------


def packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def word(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, size, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return kind, await reader.readexactly(size)


def topic(number: int) -> str:
    return f"neurath/DEFAULT/t{number}/notice"


async def connect(port: int, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2048)
    writer.write(packet(0x10, word("MQTT") + b"\x05\x02\x00\x00\x00" + word(name)))
    kind, _ = await read_packet(reader)
    assert kind == 0x20
    return reader, writer


async def subscriber(port: int, number: int, heard: dict[int, float], ready: asyncio.Semaphore) -> None:
    reader, writer = await connect(port, f"sub{number}")
    writer.write(packet(0x82, b"\x00\x01\x00" + word(topic(number)) + b"\x01"))
    await read_packet(reader)
    ready.release()
    while True:
        kind, body = await read_packet(reader)
        if kind & 0xF0 == 0x30:
            heard[number] = time.monotonic()
            if kind & 6:
                at = 2 + int.from_bytes(body[:2], "big")
                writer.write(packet(0x40, body[at : at + 2]))


def subscribers(port: int, count: int, pipe: Connection) -> None:
    async def story() -> None:
        heard: dict[int, float] = {}
        ready = asyncio.Semaphore(0)
        tasks = []
        for number in range(count):
            tasks.append(asyncio.create_task(subscriber(port, number, heard, ready)))
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        for _ in range(count):
            await ready.acquire()
        pipe.send("ready")
        while True:
            await asyncio.sleep(0.05)
            if pipe.poll():
                if pipe.recv() == "end":
                    break
                pipe.send(dict(heard))
                heard.clear()
        for task in tasks:
            task.cancel()

    asyncio.run(story())


# ---- the two publishers ---------------------------------------------------------------------------------------------------


async def alone(port: int, count: int) -> dict[int, float]:
    """A bare client that publishes at the sweep's pace, twenty under way at most, as the broker asks."""
    reader, writer = await connect(port, "bare")
    room = asyncio.Semaphore(20)

    async def acknowledged() -> None:
        while True:
            kind, _ = await read_packet(reader)
            if kind & 0xF0 == 0x40:
                room.release()

    reading = asyncio.create_task(acknowledged())
    sent: dict[int, float] = {}
    for first in range(0, count, _PACE.slice):
        now = time.monotonic()
        for number in range(first, min(first + _PACE.slice, count)):
            sent[number] = now
        for number in range(first, min(first + _PACE.slice, count)):
            await room.acquire()
            writer.write(packet(0x32, word(topic(number)) + (number % 65535 + 1).to_bytes(2, "big") + b"\x00{}"))
        await asyncio.sleep(_PACE.pause)
    await asyncio.sleep(1.0)
    reading.cancel()
    writer.close()
    return sent


class Stamped:
    """Our push, with the moment of each notice."""

    def __init__(self, push: MqttPush) -> None:
        self.push = push
        self.sent: dict[int, float] = {}

    @property
    def under_way(self) -> int:
        return self.push.under_way

    def hears(self, terminal: TerminalId) -> bool:
        return False

    def notify(self, terminals, within=0.0, reached=lambda _: None) -> int:  # type: ignore[no-untyped-def]
        names = list(terminals)
        now = time.monotonic()
        self.sent |= {int(name.partition("/t")[2]): now for name in names}
        return self.push.notify(names, within, reached)


async def ours(port: int, count: int) -> tuple[dict[int, float], int]:
    push = MqttPush(f"mqtt://127.0.0.1:{port}")
    while not push.connected:
        await asyncio.sleep(0.01)
    stamped, noted = Stamped(push), []
    sweep = Sweep([stamped], noted.extend, list, _PACE)
    running = asyncio.create_task(sweep.run())
    sweep.tell([Told(n, TerminalId(f"DEFAULT/t{n}"), "firmware", 1) for n in range(count)])
    while len(stamped.sent) < count:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.5)
    running.cancel()
    push.close()
    return stamped.sent, len(noted)


# ---- the measurement --------------------------------------------------------------------------------------------------


def percentiles(found: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]


def measure(count: int) -> dict[str, float]:
    """The better of some rounds of each, since others work on this machine too."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with tempfile.TemporaryDirectory() as place:
        port = free_port()
        config = Path(place) / "m.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        broker = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        here, there = multiprocessing.Pipe()
        ears = multiprocessing.get_context("fork").Process(target=subscribers, args=(port, count, there), daemon=True)
        ears.start()
        try:
            here.recv()

            def took(sent: dict[int, float]) -> list[float]:
                here.send("more")
                heard = here.recv()
                if len(heard) != count:
                    raise SystemExit(f"{len(heard)} of {count} heard")
                return [heard[number] - at for number, at in sent.items()]

            bare, mine, noted = [], [], 0
            for _ in range(ROUNDS):
                bare.append(percentiles(took(asyncio.run(alone(port, count)))))
                sent, noted = asyncio.run(ours(port, count))
                mine.append(percentiles(took(sent)))
            here.send("end")
        finally:
            ears.terminate()
            broker.terminate()
            broker.wait(10)
    best, own = min(bare, key=lambda one: one[1]), min(mine, key=lambda one: one[1])
    return {
        "subscribers": count, "told": noted, "broker_p50_ms": best[0] * 1e3, "broker_p99_ms": best[1] * 1e3,
        "p50_ms": own[0] * 1e3, "p99_ms": own[1] * 1e3, "ratio": own[1] / best[1],
    }  # fmt: skip


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))
    print(f"p99 {found['p99_ms']:.1f} ms (promised {PROMISED * 1e3:.0f}); {found['ratio']:.2f} times the broker alone")
