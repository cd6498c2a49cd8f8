"""Push and the in-use gate together: a terminal that nobody wakes, software that a real process uses, and an update that goes
on by itself when the use has ended. Server, agent and user are processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contracts.push import PATIENCE
from tests.journey.site import Site, digest_of, until
from tests.rigs.verbs import verb
from tests.server.world import image

HOLDS = "import sys, time; held = open(sys.argv[1], 'rb'); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def site(tmp_path: Path):
    made = Site(tmp_path, sleep=3600)
    yield made
    made.end()


def heard(site: Site, who: str, true, seconds: float = 60.0) -> float:
    """Reads what a process says until it says this; the moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said = site.heard.get(timeout=seconds)
        assert said.ended is None, site.running[-1].last_words()
        if said.who == who and true(said.record):
            return time.monotonic()
    raise AssertionError("not said")


@pytest.mark.heavy
def test_in_use_nothing_is_fetched_and_the_exit_of_the_user_is_enough(site: Site) -> None:
    """C4, C5, P8, P15: the server asks to poll once an hour, so only the notice and the end of the use can move it."""
    verb("watch", "add", site.folder, "--model", "phone", "--auto", *site.data)
    program = site.place / "recorder"
    program.write_bytes(b"a program")
    user = subprocess.Popen([sys.executable, "-c", HOLDS, str(program)], stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        site.run("agent", "agent", "run", *site.reach(), "--in-use", program)
        time.sleep(2)  # the first check-in is over: nothing newer
        site.drop("app.bin", image(2), site.seal(image(2), 2))
        heard(site, "agent", lambda r: f"pid {user.pid}) has it open" in str(r.get("reason")))
        until(lambda: site.ledger(2)["phase"] == "waiting-for-use-end")
        line = site.ledger(2)
        assert (line["bytes"], line["distributed"], line["installed"]) == (0, None, None)
        time.sleep(3)
        assert site.ledger(2)["bytes"] == 0
    finally:
        user.kill()
        user.wait(10)
        assert user.stdout is not None
        user.stdout.close()
    ended = time.monotonic()
    begun = heard(site, "agent", lambda r: r.get("phase") == "downloading")
    assert begun - ended < PATIENCE
    heard(site, "agent", lambda r: r.get("verdict") == "confirmed")
    until(lambda: site.ledger(2)["verdict"] == "confirmed")
    site.running.pop().end()
    assert site.status()["image"] == digest_of(2)
