"""C8: a file is dropped, a signer in a process of its own signs it, nothing else: a fleet and real agents have it, told
within a second, both ledgers agree; two dead terminals hold up no other, and a service in the folder never falters."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neurath.carriers.http import Place
from neurath.sim.crowd import Crowd, LightTerminal
from neurath.sim.processes import free_port
from tests.contracts.push import PATIENCE
from tests.journey.site import Site, digest_of, until
from tests.rigs.broker import Mosquitto
from tests.rigs.verbs import verb
from tests.server.world import KEY, World, image

WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
LIGHT, REAL = (200, 3) if WHOLE else (40, 2)
#: Seconds until everybody has it; this machine does other things too.
SOON = 300.0
TOKEN = "token-of-one-real-agent-number-%012d"


class Fleet:
    """A site, light terminals, real agents (the last listens at a broker), a dead terminal and a service in the folder."""

    def __init__(self, place: Path) -> None:
        names = [f"a{number}" for number in range(REAL)]
        tokens = {name: (TOKEN % number).replace("-", "") for number, name in enumerate(names)}
        self.broker = Mosquitto(place / "broker", {f"DEFAULT/{name}": token for name, token in tokens.items()})
        self.site = Site(place, serve=("--mqtt", self.broker.servers, "--check-ins", "5000"))
        site = self.site
        self.agents = {name: self._agent(name, tokens[name]) for name in names}
        verb("watch", "add", site.folder, "--model", "phone", "--auto", "--policy", "at-once", *site.data)
        vault = ("--key", site.place / "release.pem", "--sequence", "2")
        site.start("signer", "sign", "--watch", site.folder, "--model", site.place / "phone.toml", *vault)
        listed = place / "light.csv"
        listed.write_text("id,model\n" + "".join(f"l{number:03},phone\n" for number in range(LIGHT + 2)))
        said = verb("terminal", "import", listed, *site.data)
        self.tokens = {str(one["id"]): str(one["token"]) for one in said}
        self.dead = [f"l{LIGHT:03}", f"l{LIGHT + 1:03}"]
        says = World.says(None, image(1))  # type: ignore[arg-type]
        light = [
            LightTerminal(Place(site.url, name, token), says, [KEY.public])
            for name, token in self.tokens.items()
            if name not in self.dead
        ]
        self.crowd = Crowd(light)

    def _agent(self, name: str, token: str) -> Path:
        site = self.site
        bank = site.place / f"{name}.bank"
        model = ("--bank", bank, "--model", site.place / "phone.toml")
        keys = ("--release-key", site.place / "release.pub.pem", "--ticket-key", site.place / "data/ticket.pub.pem")
        verb("terminal", "add", name, "--model", "phone", "--token", token, *site.data)
        verb(
            "agent",
            "provision",
            *model,
            "--image",
            site.place / "1.bin",
            "--envelope",
            site.place / "1.env",
            "--id",
            name,
            *keys,
        )
        where = ("--push", self.broker.url) if name == f"a{REAL - 1}" else ()
        site.run(name, "agent", "run", *model, "--server", site.url, "--token", token, *where)
        return bank

    def runs(self, name: str) -> str:
        bank = ("--bank", self.agents[name], "--model", self.site.place / "phone.toml")
        return str(verb("agent", "status", *bank)[0]["image"])

    def settled(self, version: str) -> bool:
        light = all(one.records and one.records[-1].version == version for one in self.crowd.terminals)
        return light and len(self.confirmed(version)) >= LIGHT + REAL

    def ledger(self) -> list[dict[str, object]]:
        return list(httpx.get(f"{self.site.url}/api/v1/ledger", trust_env=False, timeout=60).json())

    def confirmed(self, version: str) -> dict[str, dict[str, object]]:
        return {str(e["terminal"]): e for e in self.ledger() if e["version"] == version and e["verdict"] == "confirmed"}

    def end(self) -> None:
        self.crowd.close()
        self.site.end()
        self.broker.kill()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.end()


class Asking(threading.Thread):
    """Asks the service in the folder without a pause; every answer that is no whole file is kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        words = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1", "--directory", str(folder)]
        self.service = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wrong: list[str] = []
        self.answers = 0
        self.over = False

    def run(self) -> None:
        whole = {image(number) for number in (2, 3)}
        while not self.over:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                link.request("GET", "/app.bin")
                if link.getresponse().read() not in whole:
                    self.wrong.append("half a file")
                self.answers += 1
            except (OSError, http.client.HTTPException) as fault:
                self.wrong.append(repr(fault))
            finally:
                link.close()
            time.sleep(0.02)

    def end(self) -> None:
        self.over = True
        self.join(30)
        self.service.terminate()
        self.service.wait(10)


class Refusing(threading.Thread):
    """A terminal that refuses for the whole run: it asks for its stream and resets the connection, at once or when the server
    has begun to speak, again and again; an update is never taken."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        super().__init__(daemon=True)
        self.server = ("127.0.0.1", int(fleet.site.url.rpartition(":")[2]))
        self.request = stream_of(fleet, name)
        self.resets = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            with contextlib.suppress(OSError), socket.create_connection(self.server, timeout=20) as link:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() is a reset
                link.sendall(self.request)
                if self.resets % 2:
                    link.recv(1)
                    self.over.wait(1)
                self.resets += 1

    def end(self) -> None:
        self.over.set()
        self.join(30)


def stream_of(fleet: Fleet, name: str) -> bytes:
    word = f"Authorization: TargetToken {fleet.tokens[name]}"
    return f"GET /DEFAULT/neurath/v1/{name}/events HTTP/1.1\r\nHost: x\r\n{word}\r\n\r\n".encode()


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


def drop(fleet: Fleet, number: int) -> list[float]:
    """Drops an image and nothing else; each light terminal's seconds from its envelope being complete to its notice."""
    site, crowd = fleet.site, fleet.crowd
    before = [len(one.heard) for one in crowd.terminals]
    seen: list[float] = []

    def envelope() -> None:
        path = site.folder / "app.bin.suit"
        old = path.stat().st_ino if path.exists() else 0
        while not seen:
            if path.exists() and path.stat().st_ino != old:
                seen.append(time.monotonic())
            time.sleep(0.002)

    looking = threading.Thread(target=envelope, daemon=True)
    looking.start()
    site.drop("app.bin", image(number))
    looking.join(30)
    until(lambda: all(len(one.heard) > n for one, n in zip(crowd.terminals, before, strict=True)), 60)
    return [one.heard[n] - seen[0] for one, n in zip(crowd.terminals, before, strict=True)]


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_dropped_file_reaches_the_whole_fleet_and_a_dead_terminal_holds_up_nobody(fleet: Fleet, figures) -> None:
    site, crowd = fleet.site, fleet.crowd
    crowd.listen()
    until(lambda: all(one.heard for one in crowd.terminals) and crowd.idle, 60)
    time.sleep(2)
    alone = drop(fleet, 2)
    until(lambda: fleet.settled("r2"), SOON)
    asking = Asking(site.folder)
    time.sleep(1)
    asking.start()
    refusing = Refusing(fleet, fleet.dead[1])
    refusing.start()
    # The other dead one opens its stream and never reads a byte, nor answers anything.
    dead = socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])))
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    dead.sendall(stream_of(fleet, fleet.dead[0]))
    until(lambda: refusing.resets > 4, 60)
    before = refusing.resets
    beside = drop(fleet, 3)
    until(lambda: fleet.settled("r3"), SOON)
    asking.end()
    refusing.end()
    dead.close()
    assert refusing.resets > before, "it refused for the whole run"
    assert asking.wrong == []
    assert asking.answers > 20
    assert max(alone) < PATIENCE  # promised 1 s
    assert max(beside) < PATIENCE
    assert p99(beside) < 2 * p99(alone) + 1.0
    _ledgers_agree(fleet)
    figures(
        "fleet-push",
        f"{LIGHT} light terminals, {REAL} real agents (one listens at mosquitto), one that opens its stream and never "
        f"reads, one that resets its connections; "
        f"a file dropped, signed by a signer of its own, nothing else. Seconds from the complete envelope to the notice:\n\n"
        f"| | p50 | p99 | last |\n|---|---|---|---|\n"
        f"| without the dead ones | {statistics.median(alone):.3f} | {p99(alone):.3f} | {max(alone):.3f} |\n"
        f"| with them | {statistics.median(beside):.3f} | {p99(beside):.3f} | {max(beside):.3f} |\n\n"
        f"{refusing.resets} connections were reset. {asking.answers} requests to the service in the folder meanwhile, "
        f"{len(asking.wrong)} errors.",
    )


def _ledgers_agree(fleet: Fleet) -> None:
    """What each terminal wrote down itself is what the server wrote down; each file was fetched once."""
    for number in (2, 3):
        there = fleet.confirmed(f"r{number}")
        for one in fleet.crowd.terminals:
            own = [record for record in one.records if record.version == f"r{number}"]
            entry = there[one.place.terminal]
            assert len(own) == 1
            assert (entry["size"], entry["bytes"], entry["phase"]) == (own[0].size, own[0].fetched, "updated")
            assert None not in (entry["notified"], entry["distributed"], entry["installed"])
            assert entry["offered"] <= entry["distributed"] <= entry["installed"]  # type: ignore[operator]
        for name in fleet.agents:
            entry = there[name]
            assert entry["bytes"] == entry["size"]
            assert entry["notified"] is not None
    assert {fleet.runs(name) for name in fleet.agents} == {digest_of(3)}
    lost = [entry for entry in fleet.ledger() if entry["terminal"] in fleet.dead]
    assert [entry["distributed"] for entry in lost] == [None] * len(lost)
