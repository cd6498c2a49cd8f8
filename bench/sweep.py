"""Whether one sweep of 100,000 notices starves check-ins: `neurath serve` with as many registered terminals and a broker, a
few hundred of them listening, a rollout for all of them started, while others check in all the time. Prints the check-ins'
latency before and during the sweep, how long the sweep took, and who the ledger says was told.

    python bench/sweep.py [TERMINALS] [LISTENERS]
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.streams import listen

from neurath.sim.processes import free_port, verb

#: Those who check in meanwhile are of another model: the same work before and during the sweep.
WORKERS, ASKING = 4, 200


class CheckIns(threading.Thread):
    """One terminal after another checks in over one kept connection; (moment, seconds) of each."""

    def __init__(self, port: int, tokens: list[tuple[str, str]]) -> None:
        super().__init__(daemon=True)
        self.link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.tokens = tokens
        self.took: list[tuple[float, float]] = []
        self.over = False

    def run(self) -> None:
        while not self.over:
            for name, token in self.tokens:
                began = time.monotonic()
                self.link.request("GET", f"/DEFAULT/controller/v1/{name}", headers={"Authorization": f"TargetToken {token}"})
                answer = self.link.getresponse()
                answer.read()
                assert answer.status == 200
                self.took.append((began, time.monotonic() - began))
                time.sleep(0.02)
                if self.over:
                    return


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98] * 1e3


def measure(count: int, listeners: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as root:
        place, data = Path(root), Path(root) / "data"
        broker_port = free_port()
        (place / "m.conf").write_text(f"listener {broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        broker = subprocess.Popen([program, "-c", str(place / "m.conf")], stderr=subprocess.DEVNULL)
        listed = place / "t.csv"
        _software(place, data)
        asking = WORKERS * ASKING
        lines = [f"s{number:06},router\n" for number in range(count)] + [f"x{number:06},other\n" for number in range(asking)]
        listed.write_text("id,model\n" + "".join(lines))
        tokens = [(str(one["id"]), str(one["token"])) for one in verb("terminal", "import", listed, "--data", data)]
        line = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(data), "--port", "0", "--json"]
        line += ["--mqtt", f"mqtt://127.0.0.1:{broker_port}"]
        server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = int(json.loads(server.stdout.readline())["port"])
            return _told(port, data, tokens, listeners)
        finally:
            server.terminate()
            server.wait(30)
            broker.terminate()
            broker.wait(10)


def _software(place: Path, data: Path) -> None:
    head = b"".join(b"%08X" % n for n in (1, 0o100644, 0, 0, 1, 0, 12, 0, 0, 0, 0, 15, 0))
    package = b"070701" + head + b"sw-description\0" + bytes(3) + b'version="1";' + b"070701TRAILER!!!\0"
    (place / "update.swu").write_bytes(package)
    verb("model", "add", "--plain", "router", "--data", data)
    verb("model", "add", "--plain", "other", "--data", data)
    verb("image", "add", place / "update.swu", "--model", "router", "--version", "1", "--data", data)


def _told(port: int, data: Path, tokens: list[tuple[str, str]], listeners: int) -> dict[str, float]:
    asking = [CheckIns(port, tokens[len(tokens) - ASKING * (n + 1) : len(tokens) - ASKING * n]) for n in range(WORKERS)]
    base = sqlite3.connect(data / "neurath.db", timeout=30)

    async def story() -> dict[str, float]:
        ears = [await listen(port, number, tokens[number][1], tokens[number][0]) for number in range(listeners)]
        for one in asking:
            one.start()
        await asyncio.sleep(6)
        began = time.monotonic()
        await asyncio.to_thread(verb, "rollout", "create", "--release", "router/1", "--all", "--start", "--data", data)
        first = time.monotonic()
        heard = await asyncio.gather(*(next_notice(reader) for reader, _ in ears))
        last = time.monotonic()
        while True:
            told = base.execute("SELECT count(*) FROM ledger WHERE notified IS NOT NULL").fetchone()[0]
            if told >= listeners:
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(max(0.0, 12.0 - (time.monotonic() - first)))
        for one in asking:
            one.over = True
        return {
            "terminals": len(tokens) - WORKERS * ASKING,
            "listeners": listeners,
            "first_notice_s": min(heard) - first,
            "last_notice_s": last - first,
            "told_in_ledger": told,
            "started": began,
            "ended": max(last, first + 10.0),
        }

    found = asyncio.run(story())
    for one in asking:
        one.join(30)
    every = [entry for one in asking for entry in one.took]
    before = [took for at, took in every if at < found["started"]]
    during = [took for at, took in every if found["started"] <= at <= found["ended"]]
    found |= {"before": len(before), "during": len(during), "p99_before_ms": p99(before), "p99_during_ms": p99(during)}
    found |= {"max_during_ms": max(during) * 1e3, "p50_before_ms": statistics.median(before) * 1e3}
    found["p50_during_ms"] = statistics.median(during) * 1e3
    return {name: value for name, value in found.items() if name not in ("started", "ended")}


async def next_notice(reader: asyncio.StreamReader) -> float:
    while b"event: check" not in await reader.readline():
        pass
    return time.monotonic()


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    result = measure(count, int(sys.argv[2]) if len(sys.argv) > 2 else 300)
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))
    print(f"check-ins while {count:,} are told: p99 {result['p99_during_ms'] / result['p99_before_ms']:.2f} times that before")
