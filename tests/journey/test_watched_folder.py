"""From a dropped file to the terminal: real server, real signer, real folder, real stream, real agent, each a process of its
own; and a service that runs from the folder while its file is replaced."""

from __future__ import annotations

import http.client
import os
import queue
import socket
import subprocess
import sys
import threading
import time

import pytest

from neurath.sim.processes import free_port
from tests.contracts.push import PATIENCE
from tests.journey.site import Site, digest_of, until
from tests.rigs.verbs import verb
from tests.server.world import image


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.mark.heavy
def test_a_dropped_file_and_its_envelope_and_nothing_else_reach_the_terminal(site: Site, record_property) -> None:
    """C1, C2: the notice is promised within 1 s of the envelope being complete; a test machine under load is given ten."""
    verb("watch", "add", site.folder, "--model", "phone", "--auto", *site.data)
    site.drop("app.bin", image(2))
    until(lambda: [one["standing"] for one in verb("watch", "list", *site.data)[0]["files"]] == ["waiting"])
    ear = site.listen()
    dropped = site.drop("app.bin", image(2), site.seal(image(2), 2))
    late = ear.notices.get(timeout=PATIENCE + 2) - dropped
    record_property("notice_seconds", round(late, 3))
    assert late < PATIENCE
    assert _session(site) == digest_of(2)
    listed = verb("watch", "list", *site.data)[0]["files"]
    assert [(one["standing"], one["release"]) for one in listed] == [("released", "phone/2")]
    # Away when the next one comes: told at the return, and the check-in gives it.
    ear.close()
    site.drop("app.bin", image(3), site.seal(image(3), 3))
    end = time.monotonic() + 20
    while verb("watch", "list", *site.data)[0]["files"][0]["release"] != "phone/3":
        assert time.monotonic() < end
    site.listen().close()
    assert _session(site) == digest_of(3)


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
    port = free_port()
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

        until(lambda: _reachable(port))
        asking = threading.Thread(target=ask)
        asking.start()
        for data in others:
            before = len(seen)
            site.drop("app.bin", data, site.seal(data, contents[data]))
            until(lambda: len(seen) > before + 3)  # noqa: B023 (asked at once)
            time.sleep(0.4)
        until(lambda: verb("watch", "list", *site.data)[0]["files"][0]["release"] == "phone/21")
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


def _session(site: Site) -> str:
    verb("agent", "run", *site.reach(), "--once")
    return str(site.status()["image"])
