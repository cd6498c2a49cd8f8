"""A gateway beside the real server over real HTTP: enrolled, revocable, for its own terminals only, and on when the server is
away."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time

import pytest

from neurath.carriers.base import Seen
from neurath.cli.main import main
from neurath.errors import LinkError, NotFound, RefusedError
from neurath.gateway.cache import Cache, Want
from neurath.gateway.run import Site, opened
from neurath.gateway.session import Session, link
from neurath.server.fleet import access, gateway, progress
from neurath.server.fleet.progress import Key
from neurath.terminal.staging.trickle import Ram
from neurath.terminal.staging.trickle import Session as Gathering
from neurath.wire import trickle
from neurath.wire.gateway import Batch, Word
from neurath.wire.trickle import NOTHING, State
from tests.server.test_http import serving
from tests.server.world import image

OLD, NEW = image(1), image(2)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("gateways") / "data") as running:
        running.world.release("1.0", OLD, 1)
        running.new = running.world.release("1.1", NEW, 2)
        yield running


def enrolled(site, name, *names):
    with site.world.store.write() as db:
        token = gateway.add(db, name, now=time.time())
        gateway.assign(db, name, names)
    return token


def terminal(site, name):
    """Registered, with the old image in its bank, room to stage, and the new release started for it."""
    site.enrol(name)
    with site.world.store.read() as db:
        found = access.find(db, name)
    site.world.delivery.record(found, site.world.says(OLD, stage=1 << 20), time.time())
    site.world.start(site.new, found)
    return found


def up(site):
    return f"http://127.0.0.1:{site.port}"


def filled(site, token, **more):
    cache = Cache(**more)
    session = Session(cache, link(up(site), token), 0.2)
    while session.step() == 0.0:
        pass
    return cache, session


def beat(cache, gathering, name, now):
    data = cache.answer(Seen(name, "dhcp", "10.0.0.7"), trickle.encode_state(gathering.state(1000, 255)), 1000, now)
    return gathering.accept(data) if data else None


def test_a_file_trickles_through_a_gateway_and_the_ledger_knows_how_far(site):
    found = terminal(site, "g1")
    cache, session = filled(site, enrolled(site, "plant-1", "g1"))
    gathering, complete = Gathering(Ram(1 << 20)), None
    now = time.time()
    for _ in range(100):
        heard = beat(cache, gathering, "g1", now)
        complete = complete or (heard and heard.complete)
        now += 1
    assert complete
    session.step()
    site.world.delivery.flush()
    with site.world.store.read() as db:
        assert access.find(db, "g1").carrier == "dhcp"
        assert access.find(db, "g1").address == "10.0.0.7"
    session.cache.answer(Seen("g1", "dhcp"), trickle.encode_state(gathering.state(1000)), 1000, now)
    session.step()
    deadline = time.monotonic() + 10
    entry = None
    while time.monotonic() < deadline and (entry is None or entry.sync < entry.size):
        with site.world.store.read() as db:
            entry = progress.entry(db, Key(found.n, "firmware", site.new.id))
        time.sleep(0.1)
    assert entry is not None
    assert entry.sync == entry.size == complete.size, "written by the server's own flush, every two seconds"
    assert entry.bytes >= entry.size


def test_it_answers_for_its_own_terminals_only(site):
    terminal(site, "mine")
    other = terminal(site, "other")
    cache, session = filled(site, enrolled(site, "plant-2", "mine"))
    assert beat(cache, Gathering(Ram(1 << 20)), "mine", 1000.0) is not None
    assert beat(cache, Gathering(Ram(1 << 20)), "other", 1000.0) is None
    answer = session.upstream.exchange(Batch((Word("other", "dhcp", sent=5, state=trickle.encode_state(State())),)))
    assert [c.terminal for c in answer.courses] == ["mine"]
    with site.world.store.read() as db:
        assert access.by_number(db, other.n).carrier == ""
    with pytest.raises(NotFound):
        session.upstream.pieces(Want(b"\x01\x02\x03\x04", 200, 0, 10, False))
    course = next(c for c in answer.courses if c.terminal == "mine")
    strange = link(up(site), enrolled(site, "plant-2b"))
    with pytest.raises(NotFound):
        strange.pieces(Want(course.program, course.size, 0, 10, False))
    strange.close()
    assert session.upstream.pieces(Want(course.program, course.size, 0, 10, False))
    with site.world.store.write() as db:
        gateway.assign(db, "plant-2", ["mine"], take_away=True)
    session.step()
    assert beat(cache, Gathering(Ram(1 << 20)), "mine", 1001.0) is None


def test_a_revoked_gateway_is_a_stranger_and_falls_silent(site):
    terminal(site, "r1")
    token = enrolled(site, "plant-3", "r1")
    cache, session = filled(site, token)
    assert beat(cache, Gathering(Ram(1 << 20)), "r1", 1000.0) is not None
    with site.world.store.write() as db:
        gateway.revoke(db, "plant-3", time.time())
    assert session.step() > 0
    assert beat(cache, Gathering(Ram(1 << 20)), "r1", 1001.0) is None
    for wrong in (token, "wrong", ""):
        with pytest.raises(RefusedError):
            link(up(site), wrong).exchange(Batch())
    with site.world.store.write() as db, pytest.raises(RefusedError):
        gateway.add(db, "plant-3")


def test_a_terminals_token_opens_nothing_here_and_a_gateways_nothing_there(site):
    client = site.enrol("plain")
    token = enrolled(site, "plant-4", "plain")
    for given in (f"TargetToken {client.token}", f"TargetToken {token}", f"GatewayToken {client.token}"):
        connection = http.client.HTTPConnection("127.0.0.1", site.port)
        connection.request("POST", "/gateway/v1/exchange", b"\xa1\x01\x80", {"Authorization": given})
        assert connection.getresponse().status == 401
        connection.close()
    assert site.enrol("another").ask("GET", "", Authorization=f"GatewayToken {token}").status == 401


@pytest.mark.parametrize("body", [b"", b"\xa0", b"\xa1\x01\x81\x81\x00", bytes(20_000)])
def test_what_makes_no_sense_is_refused(site, body):
    token = enrolled(site, f"odd-{len(body)}")
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.request("POST", "/gateway/v1/exchange", body, {"Authorization": f"GatewayToken {token}"})
    assert connection.getresponse().status == 400
    for path in ("abcd1234/200/0/x", "ABCD1234/200/0/1", "abcd1234/201/0/1", "abc/200/0/1", "abcd1234/200/-1/1"):
        connection.close()
        connection.request("GET", f"/gateway/v1/pieces/{path}", headers={"Authorization": f"GatewayToken {token}"})
        assert connection.getresponse().status in (400, 404)
    connection.close()


def test_pages_of_courses_make_one_round(site):
    with site.world.store.write() as db:
        for n in range(170):
            access.register(db, access.Enrolment(f"many-{n:03}", "phone"), 0.0)
    names = [f"many-{n:03}" for n in range(170)]
    cache, _ = filled(site, enrolled(site, "plant-5", *names))
    assert cache.standing()["terminals"] == 170
    assert all(course.program == NOTHING for course in cache._courses.values())


def test_it_goes_on_while_the_server_is_away_and_after_its_own_kill(site, tmp_path):
    """Words wait, pieces are here; what was not told is told when the server is back."""
    found = terminal(site, "away")
    token = enrolled(site, "plant-6", "away")
    cache, _ = filled(site, token, folder=tmp_path)
    gathering = Gathering(Ram(1 << 20))
    gone = Session(cache, link("http://127.0.0.1:1", token), 0.2)
    waits = []
    for n in range(5):
        assert beat(cache, gathering, "away", 1000.0 + n).new > 0
        waits.append(gone.step())
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2]
    killed = Cache(folder=tmp_path)
    sync = gathering.state(1000).sync
    assert sync > 0
    assert beat(killed, gathering, "away", 1010.0).new > 0, "the sync point is the terminal's word"
    back = Session(killed, link(up(site), token), 0.2)
    back.step()
    site.world.delivery.flush()
    with site.world.store.read() as db:
        assert access.by_number(db, found.n).carrier == "dhcp"
    with pytest.raises(LinkError):
        gone.upstream.exchange(Batch())


def test_a_gateway_process_ends_at_once_and_leaves_what_it_had(site, tmp_path):
    """kill -9 of the real composition, gateway/run.py, in mid-work."""
    terminal(site, "proc")
    token = enrolled(site, "plant-7", "proc")
    code = (
        "import sys, time; from pathlib import Path; from neurath.gateway.run import Site, opened\n"
        "with opened(Site(sys.argv[1], sys.argv[2], Path(sys.argv[3]), 0.1)) as cache:\n"
        "    while not list(Path(sys.argv[3]).glob('*-*/0')): time.sleep(0.01)\n"
        "    print('filled', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, up(site), token, str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "filled\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert beat(Cache(folder=tmp_path), Gathering(Ram(1 << 20)), "proc", 1000.0) is not None


def test_the_composition_stops_when_it_is_left(site):
    with opened(Site(up(site), enrolled(site, "plant-8"), None, 0.05)) as cache:
        assert cache.standing()["terminals"] == 0


def test_the_verbs_of_a_person(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NEURATH_DATA", str(tmp_path / "d"))
    from neurath.server.store import Store

    store = Store(tmp_path / "d")
    with store.write() as db:
        for name in ("t1", "t2"):
            access.register(db, access.Enrolment(name), 0.0)
    assert main(["gateway", "add", "plant", "t1", "--dry-run"]) == 0
    assert main(["gateway", "add", "plant", "t1"]) == 0
    token = capsys.readouterr().out.split()[-1]
    with store.read() as db:
        assert gateway.terminals_of(db, gateway.admit(db, f"GatewayToken {token}")) == ["t1"]
    assert main(["gateway", "assign", "plant", "t1", "t2"]) == 0
    assert main(["gateway", "assign", "plant", "t1", "--none"]) == 0
    assert main(["gateway", "assign", "plant", "nobody"]) == 4
    assert main(["gateway", "add", "plant"]) == 5
    capsys.readouterr()
    assert main(["gateway", "list"]) == 0
    assert "plant" in capsys.readouterr().out
    with store.read() as db:
        assert gateway.terminals_of(db, gateway.find(db, "plant")) == ["t2"]
    assert main(["gateway", "revoke", "plant"]) == 0
    assert main(["gateway", "revoke", "plant"]) == 5
    assert main(["gateway", "revoke", "nobody"]) == 4
    assert main(["gateway"]) == 2
    with store.read() as db, pytest.raises(RefusedError):
        gateway.admit(db, f"GatewayToken {token}")
