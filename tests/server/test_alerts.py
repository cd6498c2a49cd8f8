"""People are told when a rollout halts, a terminal needs a station or falls silent: at least once, in order, each way at its
own pace. A real SMTP server, a real Alertmanager, a webhook that looks at the signature."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
import time
from contextlib import closing
from email import message_from_bytes
from email.policy import default

import pytest
from sqlalchemy import func, insert, select, update
from starlette.testclient import TestClient

from neurath.cli.main import main
from neurath.errors import DataError, LinkError, NotFound, RefusedError
from neurath.server.alerts import causes, channels, journal, sending
from neurath.server.alerts.channels import Wanted
from neurath.server.alerts.teller import Teller, trial
from neurath.server.api import management
from neurath.server.fleet import figures
from neurath.server.fleet.standing import when
from neurath.server.metrics import Board
from neurath.server.operating import Figures
from neurath.server.store.tables import alert as events
from neurath.server.store.tables import component, rollout
from neurath.server.store.tables import terminal as terminals
from tests.console.fleet import every_state
from tests.rigs import alertmanager, mail
from tests.server.test_http import serving
from tests.server.world import image

HOUR = 3600.0
NOW = 1_795_000_000.0


class Told:
    """A channel's other side that is asked what it got; it answers as it is told to."""

    def __init__(self):
        self.got, self.down = [], set()

    def __call__(self, channel, found, now):
        if channel.name in self.down:
            raise LinkError("away", "it is away")
        self.got += [(channel.name, one.key, one.over) for one in found]


def add(world, *given, **more):
    with world.store.write() as db:
        return channels.add(db, Wanted(*given, **more), NOW)


def hook(world, name="hook", **more):
    return add(world, name, "webhook", "http://127.0.0.1:9/", **more)


def tell(teller, now):
    """One look, and a message to whoever is due."""
    if teller.look(now):
        for channel in teller.due(now):
            teller.tell(channel, now)


def torn(world, name, state="restoring", place="Osaka, hall 3"):
    with world.store.write() as db:
        n = select(terminals.c.n).where(terminals.c.id == name).scalar_subquery()
        db.execute(update(component).where(component.c.terminal == n).values(state=state))
        db.execute(update(terminals).where(terminals.c.id == name).values(place=place))


def heard(world, name, at):
    with world.store.write() as db:
        db.execute(update(terminals).where(terminals.c.id == name).values(heard=at))


def test_who_is_silent_is_what_the_server_was_told_in_alert_and_figure(fleet):
    told, hour = Told(), NOW - 1.5 * HOUR
    hook(fleet)
    for name in ("t1", "t2", "t3"):
        heard(fleet, name, hour if name == "t2" else NOW)
    found = {}
    for after in (86400.0, HOUR, 2 * HOUR):
        teller = Teller(fleet.store, told, silent_after=after)
        teller.look(NOW)
        with fleet.store.read() as db:
            found[after] = [one.text for one in journal.standing(db)]
    assert (found[86400.0], found[2 * HOUR]) == ([], [])
    assert found[HOUR] == [f"terminal t2 was last heard {when(hour)}, more than 1 h ago"]
    heard(fleet, "t2", time.time() - 1.5 * HOUR)
    for name in ("t1", "t3"):
        heard(fleet, name, time.time())
    for after, count in ((HOUR, 1), (2 * HOUR, 0)):
        page = Figures(fleet.store, Board(), after).page()
        assert f"neurath_terminals_silent {count}\n" in page
        assert f"neurath_silent_after_seconds {after:g}\n" in page


def test_screen_figure_and_alert_count_the_same_as_silent(tmp_path):
    now = time.time()
    with closing(every_state(tmp_path, now)) as fleet:
        for name in ("hub-workshop", "hub-01"):  # torn: that is told by itself; gone: nobody misses it
            heard(fleet, name, now - 2 * HOUR)
        with fleet.store.write() as db:
            db.execute(update(terminals).where(terminals.c.id == "hub-01").values(decommissioned=now))
            never = db.scalars(select(terminals.c.id).where(terminals.c.heard.is_(None))).all()
        with fleet.store.read() as db:
            shown, _ = figures.lines(db, figures.Wanted(state=figures.State.SILENT, silent=HOUR), now)
            told = [one.subject for one in causes.silent(db, now, HOUR)]
        page = Figures(fleet.store, Board(), HOUR).page()
    assert "dial-09" in never
    assert told == [f"{one.tenant}/{one.id}" for one in shown] == ["DEFAULT/dial-07"]
    assert "neurath_terminals_silent 1\n" in page


def test_nobody_is_silent_between_two_polls(capsys):
    words = ["serve", "--port", "0", "--dry-run", "--sleep", "600"]
    assert main([*words, "--silence", "601"]) == 0
    assert main([*words, "--silence", "600"]) == 2
    assert "between two polls" in capsys.readouterr().err


def halted(world, state="halted"):
    with world.store.write() as db:
        db.execute(update(rollout).values(state=state, why="wave 1: 3 of 4 failed"))


@pytest.fixture
def fleet(world):
    """Three terminals that checked in, and a rollout."""
    world.start(world.release("2", image(2), 2))
    for name in ("t1", "t2", "t3"):
        world.delivery.check(world.terminal(name), world.says(image(1)), NOW)
        heard(world, name, NOW)
    return world


def test_a_halt_a_restoration_and_a_silence_are_told_once_and_told_again_when_over(fleet):
    told = Told()
    teller = Teller(fleet.store, told)
    hook(fleet)
    tell(teller, NOW)
    assert told.got == []
    halted(fleet)
    torn(fleet, "t1")
    heard(fleet, "t2", NOW - 25 * HOUR)
    tell(teller, NOW + 60)
    assert sorted(key for _, key, _ in told.got) == ["halt:1", "restoration:DEFAULT/t1", "silence:DEFAULT/t2"]
    with fleet.store.read() as db:
        texts = {one.key: one.text for one in journal.standing(db)}
    assert texts["halt:1"] == "rollout 1 of phone/2 halted: wave 1: 3 of 4 failed"
    assert "at Osaka, hall 3" in texts["restoration:DEFAULT/t1"]
    for later in range(120, 400, 2):
        tell(teller, NOW + later)
    assert len(told.got) == 3  # nothing is told twice while it stands
    halted(fleet, "running")
    torn(fleet, "t1", "idle")
    heard(fleet, "t2", NOW + 400)
    told.got.clear()
    tell(teller, NOW + 500)
    assert sorted((key, over) for _, key, over in told.got) == [
        ("halt:1", True), ("restoration:DEFAULT/t1", True), ("silence:DEFAULT/t2", True),
    ]  # fmt: skip
    with fleet.store.read() as db:
        assert journal.standing(db) == []


def test_a_channel_that_is_away_is_tried_later_each_time_and_holds_up_no_other(fleet):
    told = Told()
    teller = Teller(fleet.store, told)
    hook(fleet, "away")
    hook(fleet, "there")
    told.down.add("away")
    halted(fleet)
    at, waits = NOW, []
    tell(teller, at)
    assert told.got == [("there", "halt:1", False)]
    for _ in range(12):
        with fleet.store.read() as db:
            found = channels.find(db, "away")
        waits.append(found.due - at)
        assert found.trouble == "it is away"
        at = found.due
        assert found not in teller.due(at - 1)
        tell(teller, at)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (channels.BACK_OFF, channels.LONGEST)
    told.down.clear()
    tell(teller, at + channels.LONGEST)
    assert told.got[1:] == [("away", "halt:1", False)]
    with fleet.store.read() as db:
        assert (channels.find(db, "away").tries, channels.find(db, "away").trouble) == (0, "")


def test_what_was_sent_and_not_written_down_is_sent_again_after_a_crash(fleet, monkeypatch):
    told = Told()
    hook(fleet)
    halted(fleet)

    def crash(*_given):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(channels, "arrived", crash)
        with pytest.raises(KeyboardInterrupt):
            tell(Teller(fleet.store, told), NOW)
    tell(Teller(fleet.store, told), NOW)  # another process
    tell(Teller(fleet.store, told), NOW)
    assert told.got == [("hook", "halt:1", False)] * 2


def test_a_channel_hears_what_it_is_about_and_nothing_of_before_it_was_there(fleet):
    told = Told()
    teller = Teller(fleet.store, told)
    hook(fleet, "first")
    halted(fleet)
    tell(teller, NOW)
    hook(fleet, "late")
    hook(fleet, "torn", about=("restoration",))
    torn(fleet, "t1")
    halted(fleet, "running")
    told.got.clear()
    tell(teller, NOW + 2)
    assert ("late", "restoration:DEFAULT/t1", False) in told.got
    assert {key for name, key, _ in told.got if name == "torn"} == {"restoration:DEFAULT/t1"}


def test_a_great_many_are_one_alert_about_all_of_them(world):
    rows = [{"tenant": "DEFAULT", "id": f"t{n}", "heard": NOW - 30 * HOUR, "registered": 1.0} for n in range(causes.MOST + 1)]
    with world.store.write() as db:
        db.execute(insert(terminals), rows)
        (one,) = causes.silent(db, NOW, 24 * HOUR)
    assert (one.key, one.subject) == ("silence:many", "many")
    assert "over 100 terminals at once" in one.text


def test_what_is_old_and_told_is_forgotten_and_what_stands_is_not(fleet):
    told = Told()
    teller = Teller(fleet.store, told)
    hook(fleet)
    halted(fleet)
    torn(fleet, "t1")
    tell(teller, NOW)
    torn(fleet, "t1", "idle")
    tell(teller, NOW + 10)
    for name in ("t1", "t2", "t3"):
        heard(fleet, name, NOW + 2 * journal.KEPT)
    tell(teller, NOW + 2 * journal.KEPT)
    with fleet.store.read() as db:
        assert [one.key for one in journal.standing(db)] == ["halt:1"]
        assert db.scalar(select(func.count()).select_from(events)) == 1


# ---- the three forms, on real other sides --------------------------------------------------------------------------------


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words):
        pass


@pytest.fixture
def listener():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(20)


def until(found, limit=90.0):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_a_running_server_tells_a_webhook_that_can_check_who_it_was(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(channels, "BACK_OFF", 0.1)
    with serving(tmp_path) as running:
        world = running.world
        url = f"http://127.0.0.1:{listener.server_port}/neurath?key=x"
        secret = add(world, "on-call", "webhook", url).secret
        world.start(world.release("2", image(2), 2))
        listener.status = 503
        halted(world)
        until(lambda: listener.got)
        listener.status = 200
        (headers, body), *_ = until(lambda: len(listener.got) > 1 and listener.got)  # it was told again
    assert [one["key"] for one in json.loads(body)["alerts"]] == ["halt:1"]
    at, _, given = headers["Neurath-Signature"].removeprefix("t=").partition(",v1=")
    assert given == hmac.digest(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hex()
    assert abs(int(at) - time.time()) < 600


def test_mail_goes_to_a_real_server_signed_in_and_says_what_happened(world):
    text = "rollout 7 of phone/2 halted: wave 1: 3 of 4 failed\r\nBcc: evil@example.org"
    found = [journal.Event(n, f"halt:{n}", "halt", f"rollout/{n}", text, NOW, over=n == 2) for n in (1, 2)]
    people = {"sender": "neurath@example.org", "to": ("a@example.org", "b@example.org")}
    with mail.running("neurath", "word") as box:
        channel = add(world, "mail", "mail", f"smtp://neurath@127.0.0.1:{box.port}", secret="word", **people)
        sending.send(channel, found, NOW)
    (envelope,) = box.got
    assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
    seen = message_from_bytes(envelope.content, policy=default)
    assert seen["Subject"].startswith("[neurath] rollout 7 of phone/2 halted: wave 1: 3 of 4 failed")
    assert seen["Bcc"] is None
    assert "over: rollout 7" in seen.get_content()
    with pytest.raises(LinkError):
        sending.send(channel, found, NOW)  # nobody is there any more


def test_a_real_alertmanager_has_what_stands_and_is_told_when_it_is_over(fleet, tmp_path):
    with alertmanager.running(tmp_path) as url:
        add(fleet, "manager", "alertmanager", url)
        teller, now = Teller(fleet.store), time.time()
        halted(fleet)
        torn(fleet, "t1")
        for name in ("t1", "t2", "t3"):
            heard(fleet, name, now)
        tell(teller, now)
        held = until(lambda: alertmanager.alerts(url))
        assert set(held) == {"rollout/1", "DEFAULT/t1"}
        assert held["DEFAULT/t1"]["labels"]["alertname"] == "neurath_restoration"
        assert "Osaka" in held["DEFAULT/t1"]["annotations"]["summary"]
        ends = held["rollout/1"]["endsAt"]
        tell(teller, now + 30)
        assert alertmanager.alerts(url)["rollout/1"]["endsAt"] == ends
        tell(teller, now + 61)  # it would take it for over otherwise
        until(lambda: alertmanager.alerts(url)["rollout/1"]["endsAt"] > ends)
        torn(fleet, "t1", "idle")
        tell(teller, time.time())
        until(lambda: set(alertmanager.alerts(url)) == {"rollout/1"})


# ---- adding, listing, testing --------------------------------------------------------------------------------------------


def test_channels_that_cannot_be_are_refused_and_secrets_are_not_shown_again(world):
    for given in (
        ("x", "webhook", "ftp://a"), ("x", "webhook", "https://"), ("x", "webhook", "https://a:b@c/"), ("x", "mail", "smtp://a"),
        ("x", "webhook", "https://a:99999/"), ("x/y", "webhook", "https://a/"), ("x", "other", "https://a/"),
        ("x", "mail", "smtp://a", "from", ("to@b",)), ("x", "mail", "smtp://a", "from@b", ("to@b\n",)),
        ("x", "webhook", "https://a/", "", (), ("weather",)), ("x", "webhook", "https://a/", "from@b", ("to@b",)),
    ):  # fmt: skip
        with pytest.raises(DataError):
            add(world, *given)
    api = TestClient(management(world.store, world.delivery))
    made = api.post("/alert-channels", json={"name": "hook", "kind": "webhook", "url": "https://a.example/x?key=1"})
    assert (made.status_code, len(made.json()["secret"])) == (201, 48)
    (listed,) = api.get("/alert-channels").json()
    assert (listed["secret"], listed["url"]) == (True, "https://a.example/x")
    with pytest.raises(RefusedError):
        hook(world)
    assert api.delete("/alert-channels/hook").status_code == 204
    assert api.post("/alert-channels/hook/test").status_code == 404
    with world.store.read() as db, pytest.raises(NotFound):
        channels.find(db, "hook")


def test_the_verb_adds_tests_lists_and_removes(world, listener, capsys, tmp_path):
    where = ["--data", str(world.store.directory)]
    url = f"http://127.0.0.1:{listener.server_port}/"
    assert main(["alert", "add", "webhook", "on-call", url, "--about", "halt", *where, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["secret"]) == 48
    assert main(["alert", "test", "on-call", *where]) == 0
    assert json.loads(listener.got[0][1])["alerts"][0]["key"] == trial(0).key
    listener.status = 500
    assert main(["alert", "test", "on-call", *where]) == 6
    assert main(["alert", "list", *where]) == 0
    assert "about halt" in capsys.readouterr().out
    assert main(["alert", "remove", "on-call", "--dry-run", *where]) == 0
    assert main(["alert", "remove", "on-call", *where]) == 0
    assert main(["alert", "remove", "on-call", *where]) == 4
    (tmp_path / "word").write_text("secret word\n")
    mail = [
        "alert",
        "add",
        "mail",
        "mail",
        "smtp://a",
        "--from",
        "a@b",
        "--to",
        "c@d",
        "--secret-file",
        str(tmp_path / "word"),
    ]
    assert main([*mail, *where]) == 0
    assert "secret word" not in capsys.readouterr().out
    assert main(["alert", "show", "--standing", *where]) == 0
