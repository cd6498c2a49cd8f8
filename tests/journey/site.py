"""A small site of real processes for tests: a server, its data, a watched folder, one terminal that runs image 1, and what a
terminal hears on its stream."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from neurath.flash.geometry import model_to_toml
from neurath.sim.processes import Running, Said, free_port
from neurath.wire import manifest
from neurath.wire.keys import public_pem, write_private
from tests.rigs.verbs import verb
from tests.server.world import KEY, MODEL, image


class Site:
    """A server on its data directory, one terminal `t1` that runs image 1, and a watched folder."""

    def __init__(self, place: Path, *, sleep: int = 300, serve: tuple[str, ...] = ()) -> None:
        self.place = place
        self.serve = ("--sleep", str(sleep), *serve)
        self.folder = place / "drop"
        self.folder.mkdir()
        self.heard: queue.Queue[Said] = queue.Queue()
        self.running: list[Running] = []
        self.data = ("--data", place / "data")
        (place / "phone.toml").write_text(model_to_toml(MODEL))
        (place / "release.pub.pem").write_bytes(public_pem(KEY.public))
        write_private(place / "release.pem", KEY)
        verb("model", "add", place / "phone.toml", "--release-key", place / "release.pub.pem", *self.data)
        (place / "1.bin").write_bytes(image(1))
        (place / "1.env").write_bytes(self.seal(image(1), 1))
        verb("image", "add", place / "1.bin", "--model", "phone", "--version", "1", "--envelope", place / "1.env", *self.data)
        self.token = verb("terminal", "add", "t1", "--model", "phone", *self.data)[0]["token"]
        self.said = self.start("server", "serve", "--port", str(free_port()), *self.serve, *self.data)
        self.url = self.said["url"]

    def seal(self, data: bytes, sequence: int) -> bytes:
        return manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version=str(sequence)), KEY)

    def run(self, who: str, *words: str | Path) -> Running:
        self.running.append(Running(who, (*words, "--json"), self.place / f"{who}.log", self.heard))
        return self.running[-1]

    def start(self, who: str, *words: str | Path) -> dict[str, str]:
        """Starts a process whose first word says that it is ready."""
        self.run(who, *words)
        return dict(self.heard.get(timeout=60).record)

    def end(self) -> None:
        for one in reversed(self.running):
            one.end()

    def terminal(self) -> tuple[str | Path, ...]:
        """How an agent names t1; its bank is made when first asked for."""
        bank = self.place / "t1.bank"
        model = ("--bank", bank, "--model", self.place / "phone.toml")
        if not bank.exists():
            keys = ("--release-key", self.place / "release.pub.pem", "--ticket-key", self.place / "data/ticket.pub.pem")
            first = ("--image", self.place / "1.bin", "--envelope", self.place / "1.env", "--id", "t1")
            verb("agent", "provision", *model, *first, *keys)
        return model

    def reach(self) -> tuple[str | Path, ...]:
        return (*self.terminal(), "--server", self.url, "--token", self.token)

    def reachable(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/api/v1/models", trust_env=False, timeout=5).status_code == 200
        return False

    def status(self) -> dict[str, object]:
        return dict(verb("agent", "status", *self.terminal())[0])

    def ledger(self, sequence: int) -> dict[str, object]:
        """The line of t1 for one release."""
        answer = httpx.get(f"{self.url}/api/v1/terminals/t1", trust_env=False, timeout=30).json()
        number = verb("image", "show", f"phone/{sequence}", *self.data)[0]["id"]
        return dict(next(one for one in answer["ledger"] if one["release"] == number))

    def listen(self) -> Ear:
        return Ear(self.url, self.token)

    def drop(self, name: str, data: bytes, envelope: bytes | None = None) -> float:
        """As a careful copier does: whole under another name, then renamed; the moment it was complete."""
        for tail, content in (("", data), (".suit", envelope)):
            if content is not None:
                part = self.folder / f"{name}{tail}.part"
                part.write_bytes(content)
                part.rename(self.folder / f"{name}{tail}")
        return time.monotonic()


class Ear:
    """The stream of t1, read in a thread: one moment a notice."""

    def __init__(self, url: str, token: str) -> None:
        self.notices: queue.Queue[float] = queue.Queue()
        self._client = httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"TargetToken {token}"})
        self._stop = False
        self._thread = threading.Thread(target=self._read, args=(f"{url}/DEFAULT/neurath/v1/t1/events",), daemon=True)
        self._thread.start()
        self.notices.get(timeout=30)  # whoever connects checks in

    def _read(self, address: str) -> None:
        with contextlib.suppress(httpx.HTTPError), self._client.stream("GET", address) as answer:
            for line in answer.iter_lines():
                if self._stop:
                    return
                if line == "event: check":
                    self.notices.put(time.monotonic())

    def close(self) -> None:
        self._stop = True
        self._client.close()


def digest_of(number: int) -> str:
    return manifest.contents_of(image(number), MODEL, sequence=number).image.hex()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for it; a test that waits in vain fails."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
