"""An agent with several components that are files, its server, and a person's hands; real processes."""

from __future__ import annotations

import queue
import random
import subprocess
from pathlib import Path

import httpx

from neurath.sim.processes import COMMAND, Running, Said
from neurath.wire.keys import public_pem, write_private
from tests.rigs.verbs import verb
from tests.server.world import KEY


class Household:
    """A server, a terminal `h1` of the plain model `box`, and components named a, b, c ... with release 1 in place."""

    def __init__(
        self,
        place: Path,
        names: str = "a",
        *,
        sleep: int = 300,
        host: str = "127.0.0.1",
        size: int = 20_000,
        serve: tuple[str | Path, ...] = (),
    ) -> None:
        self.place = place
        self.names = names
        self.size = size
        self.heard: queue.Queue[Said] = queue.Queue()
        self.running: list[Running] = []
        self.data = ("--data", place / "data")
        (place / "release.pub.pem").write_bytes(public_pem(KEY.public))
        write_private(place / "release.pem", KEY)
        verb("model", "add", "--plain", "box", "--release-key", place / "release.pub.pem", *self.data)
        self.token = verb("terminal", "add", "h1", "--model", "box", *self.data)[0]["token"]
        (place / "token").write_text(self.token)
        self.home = place / "home"
        self.home.mkdir()
        for name in names:
            self.path(name).write_bytes(self.version(name, 1))
        words = ("serve", "--host", host, "--port", "0", "--sleep", str(sleep), *self.data, *serve)
        self.url = str(self.start("server", *words)["url"])

    def path(self, name: str) -> Path:
        return self.home / name

    def version(self, name: str, number: int) -> bytes:
        rng = random.Random(f"{name}{number // 100}")
        return rng.randbytes(self.size) + f"{name} {number}".encode() * 40

    def holds(self, name: str, number: int) -> bool:
        return self.path(name).read_bytes() == self.version(name, number)

    def release(self, name: str, number: int) -> None:
        """Signed where the key is, put into the catalog, rolled out."""
        file, envelope = self.place / f"{name}-{number}", self.place / f"{name}-{number}.env"
        file.write_bytes(self.version(name, number))
        about = ("--model", "box", "--component", name, "--version", str(number))
        verb("sign", file, *about, "--sequence", str(number), "--key", self.place / "release.pem", "-o", envelope)
        verb("image", "add", file, *about, "--envelope", envelope, *self.data)
        verb("rollout", "create", "--release", f"box/{number}/{name}", "--all", "--start", *self.data)

    def setup(self, more: dict[str, str] | None = None, top: str = "") -> Path:
        """The agent's setup file; `more` has lines for single components."""
        lines = [
            f'server = "{self.url}"', 'token_file = "token"', 'id = "h1"', 'model = "box"', 'state = "state"',
            'release_keys = ["release.pub.pem"]', 'ticket_key = "data/ticket.pub.pem"', top,
        ]  # fmt: skip
        for name in self.names:
            lines += ["[[component]]", f'name = "{name}"', 'installer = "file"', f'path = "home/{name}"']
            lines.append((more or {}).get(name, ""))
        path = self.place / "agent.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def agent(self, *more: str | Path, who: str = "agent") -> Running:
        return self.run(who, "agent", "run", "--setup", self.place / "agent.toml", *more)

    def once(self, seconds: float = 90) -> int:
        """One session of each component; the exit code."""
        words = [*COMMAND, "agent", "run", "--setup", str(self.place / "agent.toml"), "--once", "--json"]
        done = subprocess.run(words, timeout=seconds, check=False, capture_output=True)
        (self.place / "once.log").write_bytes(done.stdout + done.stderr)
        return done.returncode

    def run(self, who: str, *words: str | Path) -> Running:
        self.running.append(Running(who, (*words, "--json"), self.place / f"{who}.log", self.heard))
        return self.running[-1]

    def start(self, who: str, *words: str | Path) -> dict[str, object]:
        self.run(who, *words)
        return dict(self.heard.get(timeout=60).record)

    def ledger(self, name: str, number: int) -> dict[str, object]:
        answer = httpx.get(f"{self.url}/api/v1/terminals/h1", trust_env=False, timeout=30).json()
        found = [one for one in answer["ledger"] if (one["component"], one["version"]) == (name, str(number))]
        return dict(found[0]) if found else {}

    def end(self) -> None:
        for one in reversed(self.running):
            one.end()
