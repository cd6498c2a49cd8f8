"""C6: the file is there, it is installed, it is reported; a crash of either side between any two is repaired at the next
contact without a second download or a second installation. Real server, real agent, SIGKILL."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from neurath.sim.processes import Running
from tests.journey.site import Site, digest_of, until
from tests.rigs.verbs import verb
from tests.server.world import image

#: The agent, and a hand that kills the process in argv[2] ("self" or a pid) right after the moment in argv[1] was traced.
DEADLY = """
import os, signal, sys
from neurath.terminal.trace import Trace
moment, whom = sys.argv[1:3]
whom = os.getpid() if whom == "self" else int(whom)
noted = Trace.note
def note(self, said, **fields):
    global moment
    noted(self, said, **fields)
    if said == moment:
        moment = ""
        os.kill(whom, signal.SIGKILL)
Trace.note = note
from neurath.cli.main import main
sys.exit(main(sys.argv[3:]))
"""
#: In order: memory set aside, some of the file, all of it, proven, installing, installed, judged anew, verdict, reported.
STEPS = ["secured", "pieces", "file good", "proven", "first erase", "judged", "confirmed", "verdict", "told"]
#: What the server can be taken away at: afterwards the agent still has something to say.
SERVED = ["pieces", "file good", "confirmed"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    verb("watch", "add", made.folder, "--model", "phone", "--auto", *made.data)
    yield made
    made.end()


def publish(site: Site) -> int:
    """One release more, rolled out; its number."""
    number = len(verb("image", "list", *site.data)) + 1
    file, envelope = site.place / f"{number}.bin", site.place / f"{number}.env"
    file.write_bytes(image(number))
    envelope.write_bytes(site.seal(image(number), number))
    verb("image", "add", file, "--model", "phone", "--version", str(number), "--envelope", envelope, *site.data)
    return number


def words(site: Site) -> list[str]:
    run = ("agent", "run", *site.reach(), "--stage", site.place / "stage", "--trace", site.place / "trace", "--once", "--json")
    return [str(word) for word in run]


def killed_at(site: Site, moment: str, whom: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", DEADLY, moment, whom, *words(site)], capture_output=True, timeout=120, check=False
    )
    return done.returncode


def contact(site: Site) -> None:
    """The next contact: a new agent process, one session."""
    subprocess.run([sys.executable, "-m", "neurath.cli.main", *words(site)], capture_output=True, timeout=120, check=False)


def agreed(site: Site, number: int, installs: object, downloads: int = 1, counted: bool = True) -> None:
    """Both sides say the same: installed once, from so many downloads at most. `counted`: all bytes that left were counted,
    which they are once their answer has left whole."""
    assert isinstance(installs, int)
    status, line = site.status(), site.ledger(number)
    assert status["image"] == digest_of(number)
    assert status["candidate"] is False
    assert status["installs"] == installs + 1
    assert line["verdict"] == "confirmed"
    assert line["installed"] is not None
    assert line["distributed"] is not None
    assert line["size"] > 0
    assert line["size"] <= line["bytes"] or not counted
    assert line["bytes"] <= downloads * line["size"]


@pytest.mark.heavy
@pytest.mark.parametrize("moment", STEPS)
def test_an_agent_killed_at_any_step_agrees_after_the_next_contact(site: Site, moment: str) -> None:
    installs = site.status()["installs"]
    number = publish(site)
    assert killed_at(site, moment, "self") == -signal.SIGKILL
    contact(site)
    # A piece that was not on the medium yet is sent again (docs/spec/staging.md); a file that was there never is.
    agreed(site, number, installs, downloads=2 if moment == "pieces" else 1)


@pytest.mark.heavy
@pytest.mark.parametrize("moment", SERVED)
def test_a_server_killed_at_any_step_agrees_after_the_next_contact(site: Site, moment: str) -> None:
    installs = site.status()["installs"]
    number = publish(site)
    server = next(one for one in site.running if one.who == "server")
    killed_at(site, moment, str(server.process.pid))
    until(lambda: not server.alive)
    site.running.remove(server)
    server.end()
    serve = ("serve", "--port", site.url.rsplit(":", 1)[1], *site.data, "--json")
    site.running.append(Running("server", serve, site.place / "server.log", site.heard))
    until(lambda: site.reachable())
    contact(site)
    agreed(site, number, installs, counted=moment != "pieces")
