"""From a dropped file to the terminal: real server, real signer, real folder, real stream, real agent, each a process of its
own; and a service that runs from the folder while its file is replaced."""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from neurath.flash.geometry import model_to_toml
from neurath.sim.processes import Running, Said, verb
from neurath.wire import manifest
from neurath.wire.keys import public_pem, write_private
from tests.contracts.push import PATIENCE
from tests.server.world import KEY, MODEL, image


class Site:
    """A server on its data directory, one terminal `t1` that runs image 1, and a watched folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
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
        self.url = self.start("server", "serve", "--port", "0", *self.data)["url"]

    def seal(self, data: bytes, sequence: int) -> bytes:
        return manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version=str(sequence)), KEY)

    def start(self, who: str, *words: str | Path) -> dict[str, str]:
        self.running.append(Running(who, (*words, "--json"), self.place / f"{who}.log", self.heard))
        return dict(self.heard.get(timeout=60).record)

    def end(self) -> None:
        for one in reversed(self.running):
            one.end()

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


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.end()


def agent(site: Site) -> str:
    bank = site.place / "t1.bank"
    model = ("--bank", bank, "--model", site.place / "phone.toml")
    if not bank.exists():
        keys = ("--release-key", site.place / "release.pub.pem", "--ticket-key", site.place / "data/ticket.pub.pem")
        verb(
            "agent",
            "provision",
            *model,
            "--image",
            site.place / "1.bin",
            "--envelope",
            site.place / "1.env",
            "--id",
            "t1",
            *keys,
        )
    verb("agent", "run", *model, "--server", site.url, "--token", site.token, "--once")
    return str(verb("agent", "status", *model)[0]["image"])


@pytest.mark.heavy
def test_a_dropped_file_and_its_envelope_and_nothing_else_reach_the_terminal(site: Site, record_property) -> None:
    """C1, C2: the notice is promised within 1 s of the envelope being complete; a test machine under load is given ten."""
    verb("watch", "add", site.folder, "--model", "phone", "--auto", *site.data)
    ear = site.listen()
    dropped = site.drop("app.bin", image(2), site.seal(image(2), 2))
    late = ear.notices.get(timeout=PATIENCE + 2) - dropped
    record_property("notice_seconds", round(late, 3))
    assert late < PATIENCE
    assert agent(site) == manifest.contents_of(image(2), MODEL, sequence=2).image.hex()
    listed = verb("watch", "list", *site.data)[0]["files"]
    assert [(one["standing"], one["release"]) for one in listed] == [("released", "phone/2")]
    # Away when the next one comes: told at the return, and the check-in gives it.
    ear.close()
    site.drop("app.bin", image(3), site.seal(image(3), 3))
    end = time.monotonic() + 20
    while verb("watch", "list", *site.data)[0]["files"][0]["release"] != "phone/3":
        assert time.monotonic() < end
    site.listen().close()
    assert agent(site) == manifest.contents_of(image(3), MODEL, sequence=3).image.hex()


@pytest.mark.heavy
def test_a_signer_in_its_own_process_is_all_that_stands_between_drop_and_notice(site: Site) -> None:
    """The key is where the signer is; touching what was dropped gives no second rollout."""
    verb("watch", "add", site.folder, "--model", "phone", "--auto", *site.data)
    key = ("--key", site.place / "release.pem", "--sequence", "2")
    site.start("signer", "sign", "--watch", site.folder, "--model", site.place / "phone.toml", *key)
    ear = site.listen()
    dropped = site.drop("app-2.0.bin", image(2))
    assert ear.notices.get(timeout=2 * PATIENCE) - dropped < 2 * PATIENCE
    os.utime(site.folder / "app-2.0.bin")
    with pytest.raises(queue.Empty):
        ear.notices.get(timeout=3)
    assert [one["name"] for one in verb("rollout", "show", *site.data)] == ["phone/2.0"]
    ear.close()


@pytest.mark.heavy
def test_a_service_that_runs_from_the_folder_answers_every_request_while_its_file_is_replaced(site: Site) -> None:
    """C9: replaced by rename 20 times, each becoming a release meanwhile; every answer is whole and one of the contents."""
    verb("watch", "add", site.folder, "--model", "phone", *site.data)
    contents = {image(n): n for n in range(2, 22)}
    first, *others = contents
    site.drop("app.bin", first, site.seal(first, 2))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(site.folder)]
    service = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        seen: list[int] = []
        wrong: list[str] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                try:
                    link.request("GET", "/app.bin")
                    answer = link.getresponse()
                    body = answer.read()
                    seen.append(contents.get(body, -answer.status))
                except (OSError, http.client.HTTPException) as fault:
                    wrong.append(repr(fault))
                finally:
                    link.close()

        _until(lambda: _reachable(port))
        asking = threading.Thread(target=ask)
        asking.start()
        for data in others:
            before = len(seen)
            site.drop("app.bin", data, site.seal(data, contents[data]))
            _until(lambda: len(seen) > before + 3)  # noqa: B023 (asked at once)
            time.sleep(0.4)
        _until(lambda: verb("watch", "list", *site.data)[0]["files"][0]["release"] == "phone/21")
        done.set()
        asking.join(20)
    finally:
        service.terminate()
        service.wait(10)
    assert wrong == []
    assert min(seen) >= 2
    assert sorted(seen) == seen
    assert len(set(seen)) >= 15
    taken = {one["name"] for one in verb("image", "list", *site.data)}
    assert len(taken) >= 10


def _reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
