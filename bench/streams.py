"""How much memory an idle stream of notices costs the server: N streams held open against one `neurath serve`, its resident
set before and after. Prints bytes a stream and how long opening took.

    python bench/streams.py [N]           (5,000; needs about N open files)
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from neurath.sim.processes import verb

#: One address may hold 256 connections: the streams come from as many loopback addresses as that takes.
PER_ADDRESS = 200
PROMISED = 30_000
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
#: Opened before the first look: threads, connections to the database and whatever else the server makes once.
WARM = 150
#: Seconds, past a keep-alive of each.
ALIVE = 20


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no such process")


async def listen(port: int, number: int, token: str, name: str = "") -> Stream:
    """One stream, open and past its first event."""
    here = f"127.1.{number // PER_ADDRESS}.1"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(here, 0), limit=4096)
    name = name or f"s{number:05}"
    head = f"GET /DEFAULT/neurath/v1/{name}/events HTTP/1.1\r\nHost: x\r\nAuthorization: TargetToken {token}\r\n\r\n"
    writer.write(head.encode())
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit(f"stream {number}: {status!r}")
    await told(reader)
    return reader, writer


async def told(reader: asyncio.StreamReader) -> None:
    while b"event: check" not in await reader.readline():
        pass


async def opened(port: int, tokens: list[str], first: int, end: int) -> list[Stream]:
    """Those from `first` up to `end`, fifty at a time."""
    found = []
    for one in range(first, end, 50):
        group = range(one, min(one + 50, end))
        found += await asyncio.gather(*(listen(port, number, tokens[number]) for number in group))
    return found


async def measure(port: int, pid: int, tokens: list[str]) -> dict[str, float]:
    warm = await opened(port, tokens, 0, WARM)
    await asyncio.sleep(ALIVE)
    before, began = resident(pid), time.monotonic()
    streams = warm + await opened(port, tokens, WARM, len(tokens))
    took = time.monotonic() - began
    await asyncio.sleep(ALIVE)
    after = resident(pid)
    for _, writer in streams:
        writer.close()
    return {
        "streams": len(streams),
        "bytes_each": (after - before) / (len(streams) - len(warm)),
        "opened_s": took,
        "rss_mib": after / 2**20,
    }


def main(count: int) -> dict[str, float]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 100:
        raise SystemExit(f"{count} streams need as many open files; the limit is {hard} (was {soft})")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        (Path(place) / "m.toml").write_text(_model())
        verb("model", "add", Path(place) / "m.toml", "--data", data)
        listed = Path(place) / "t.csv"
        listed.write_text("id,model\n" + "".join(f"s{number:05},bench\n" for number in range(count)))
        tokens = [str(one["token"]) for one in verb("terminal", "import", listed, "--data", data)]
        line = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(data), "--port", "0", "--json"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = int(json.loads(server.stdout.readline())["port"])
                return asyncio.run(measure(port, server.pid, tokens))
            finally:
                server.terminate()


def _model() -> str:
    from neurath.flash.geometry import Model, model_to_toml, simple_layout
    from neurath.ids import ModelName

    return model_to_toml(Model(ModelName("bench"), simple_layout(64 * 1024), ram=64 * 1024))


if __name__ == "__main__":
    found = main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))
    print(f"{found['bytes_each']:,.0f} bytes a stream; promised {PROMISED:,}; ratio {found['bytes_each'] / PROMISED:.2f}")
