"""The server over real HTTP on loopback: DDI as its clients use it, files by range, errors, doors, its own death."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.errors import NeurathError, RefusedError
from neurath.server import patience
from neurath.server.app import Server, application
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import Policy
from neurath.server.door import Door
from neurath.server.fleet import access, actions
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.wire import check as checks
from neurath.wire import ddi
from neurath.wire import report as reports
from neurath.wire.report import Phase, Report, Verdict
from tests.server.world import MODEL, World, open_world

OLD, NEW = (bytes([n]) * 20_000 for n in (1, 2))
PACKAGE = random.Random(5).randbytes(200_000)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Client:
    """A terminal's HTTP, byte by byte what we say it is."""

    port: int
    token: str = ""
    name: str = "t1"

    @property
    def base(self):
        return ddi.base_path("DEFAULT", self.name)

    def ask(self, method, path, body=None, **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            given = {"Authorization": f"TargetToken {self.token}"} if self.token else {}
            data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
            url = path if path.startswith("/") else f"{self.base}{'/' + path if path else ''}"
            link.request(method, url, data, given | {k.replace("_", "-"): v for k, v in headers.items()})
            got = link.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            link.close()

    def link(self, rel):
        """The path behind a link of the base poll; "" where it is not there."""
        href = self.ask("GET", "").json.get("_links", {}).get(rel, {}).get("href", "")
        return "/" + href.split("/", 3)[3] if href else ""

    def checks_in(self, check):
        body = ddi.attributes_to(ddi.Attributes(checks.to_attributes(check)))
        assert self.ask("PUT", "configData", body).status == 200

    def reports(self, report):
        return self.ask("POST", f"deploymentBase/{report.action}/feedback", reports.to_feedback(report)).status


@dataclass
class Running:
    world: World
    port: int
    policy: Policy

    def enrol(self, name, model="phone"):
        with self.world.store.write() as db:
            token = access.register(db, access.Enrolment(name, model), 0.0)
        return Client(self.port, token, name)


@contextlib.contextmanager
def serving(directory, policy=None):
    world = open_world(directory)
    world.now = time.time()
    policy = policy or Policy(300)
    server = Server(world.store, world.delivery.deltas, world.delivery, StreamPush(), policy)
    listener = socket.create_server(("127.0.0.1", 0))
    loop = uvicorn.Server(uvicorn.Config(application(server), http=Door, log_config=None, ws="none", proxy_headers=False))
    thread = threading.Thread(target=loop.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not loop.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loop.started
    try:
        yield Running(world, listener.getsockname()[1], policy)
    finally:
        server.push.close()
        loop.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for the tests that only need terminals of their own."""
    with serving(tmp_path_factory.mktemp("shared") / "data") as running:
        running.world.release("1.0", OLD, 1)
        running.new = running.world.release("1.1", NEW, 2)
        running.world.start(running.new)
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        running.package = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="fw.swu"), 0.0)
        running.world.start(running.package)
        yield running


def test_our_terminal_is_taken_from_check_in_to_verdict(shared):
    phone = shared.enrol("ours")
    assert "configData" in phone.ask("GET", "").json["_links"]
    phone.checks_in(shared.world.says(OLD, 1))
    path = phone.link("deploymentBase")
    deployment = ddi.deployment_from(phone.ask("GET", path).json)
    offer, artifact = ddi.offered(deployment)
    file = "/" + artifact.href.split("/", 3)[3]
    assert (offer.version, offer.size, artifact.filename) == ("1.1", artifact.size, f"{offer.file.hex()}.nru")
    assert phone.ask("GET", file).status == 409
    assert phone.ask("HEAD", file).status == 409
    assert phone.reports(Report(offer.action, Phase.OFFERED, secured=offer.size - 1)) == 200
    assert phone.ask("GET", file).status == 409
    assert phone.reports(Report(offer.action, Phase.OFFERED, secured=offer.size)) == 200
    whole = phone.ask("GET", file)
    assert (whole.status, hashlib.sha256(whole.body).digest()) == (200, offer.file)
    assert phone.ask("GET", file, Range=f"bytes={offer.size - 7}-").body == whole.body[-7:]
    done = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(NEW).digest())
    assert phone.reports(done) == 200
    assert phone.reports(done) == 200  # said twice, because the first answer was lost
    assert phone.link("deploymentBase") == ""
    phone.checks_in(shared.world.says(NEW, 2))
    assert phone.link("deploymentBase") == ""
    with shared.world.store.read() as db:
        terminal = access.find(db, "ours")
    entry = shared.world.entry(terminal, shared.new)
    assert (entry.verdict, entry.bytes >= offer.size, entry.phase) == ("confirmed", True, "updated")


def test_a_third_party_client_gets_a_package_and_each_byte_is_counted(shared):
    lab = shared.enrol("theirs", "lab")
    assert lab.ask("PUT", "configData", {"data": {"hw": "1.0"}, "id": "", "time": "20260101T000000"}).status == 200
    assert "configData" not in lab.ask("GET", "").json["_links"]
    path = lab.link("deploymentBase")
    artifact = lab.ask("GET", path).json["deployment"]["chunks"][0]["artifacts"][0]
    assert {"download", "download-http", "md5sum", "md5sum-http"} == set(artifact["_links"])
    assert artifact["hashes"]["sha256"] == hashlib.sha256(PACKAGE).hexdigest()
    file = "/" + artifact["_links"]["download-http"]["href"].split("/", 3)[3]
    head = lab.ask("HEAD", file)
    assert (head.status, head.headers["content-length"], head.headers["accept-ranges"]) == (200, "200000", "bytes")
    assert head.headers["etag"] == f'"{hashlib.sha1(PACKAGE).hexdigest()}"'
    assert head.body == b""
    part = lab.ask("GET", file, Range="bytes=100000-")
    assert (part.status, part.headers["content-range"]) == (206, "bytes 100000-199999/200000")
    assert lab.ask("GET", file, Range="bytes=0-99999").body + part.body == PACKAGE
    assert lab.ask("GET", file + ".MD5SUM").body.decode() == f"{hashlib.md5(PACKAGE).hexdigest()}  fw.swu"
    number = path.rsplit("/", 1)[1].partition("?")[0]
    closed = {"id": int(number), "status": {"execution": "closed", "result": {"finished": "success"}, "details": ["done"]}}
    assert lab.ask("POST", f"deploymentBase/{number}/feedback", closed).status == 200
    assert set(lab.ask("GET", "").json["_links"]) == {"installedBase"}
    assert lab.ask("POST", f"deploymentBase/{number}/feedback", closed).status == 410
    assert lab.ask("GET", file).status == 404
    with shared.world.store.read() as db:
        terminal = access.find(db, "theirs")
    deadline = time.monotonic() + 5
    while shared.world.entry(terminal, shared.package).bytes != 200_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    entry = shared.world.entry(terminal, shared.package)
    assert (entry.bytes, entry.sync, entry.verdict) == (200_000, 200_000, "confirmed")


@pytest.mark.parametrize(
    ("asked", "status", "first", "count"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=5-", 206, 5, 199_995),
        ("bytes=-3", 206, 199_997, 3),
        ("bytes=199999-300000", 206, 199_999, 1),
        ("bytes=0-199999", 200, 0, 200_000),
        ("bytes=9-3", 200, 0, 200_000),
        ("bytes=0-1,x-6", 200, 0, 200_000),
        ("lines=1-2", 200, 0, 200_000),
        ("bytes=200000-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
def test_each_range_gives_exactly_its_bytes(shared, asked, status, first, count):
    name = "range" + hashlib.sha256(asked.encode()).hexdigest()[:8]
    lab = shared.enrol(name, "lab")
    path = lab.link("deploymentBase")
    href = lab.ask("GET", path).json["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
    got = lab.ask("GET", "/" + href.split("/", 3)[3], Range=asked)
    assert got.status == status
    assert got.body == PACKAGE[first : first + count]
    if status == 416:
        assert got.headers["content-range"] == "bytes */200000"


def test_a_rollout_that_is_aborted_is_cancelled_at_a_client_that_began(tmp_path):
    with serving(tmp_path / "data") as running:
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        made = running.world.start(add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="a.swu"), 0.0))
        lab = running.enrol("t1", "lab")
        path = lab.link("deploymentBase")
        assert lab.ask("GET", path).status == 200
        running.world.move(made, "abort")
        cancel = lab.link("cancelAction")
        number = cancel.rsplit("/", 1)[1]
        assert lab.link("deploymentBase") == ""
        assert lab.ask("GET", path).status == 404
        assert lab.ask("GET", cancel).json == {"id": number, "cancelAction": {"stopId": number}}
        word = {"status": {"execution": "closed", "result": {"finished": "success"}}}
        assert lab.ask("POST", f"cancelAction/{number}/feedback", word).status == 200
        assert "cancelAction" not in lab.ask("GET", "").json.get("_links", {})
        assert lab.ask("POST", f"cancelAction/{number}/feedback", word).status == 405


DEVICE_ROUTES = [
    ("GET", ""),
    ("PUT", "configData"),
    ("GET", "deploymentBase/1"),
    ("POST", "deploymentBase/1/feedback"),
    ("GET", "cancelAction/1"),
    ("POST", "cancelAction/1/feedback"),
    ("GET", "softwaremodules/1/artifacts"),
    ("GET", "softwaremodules/1/artifacts/x"),
    ("GET", "/DEFAULT/neurath/v1/t1/events"),
]


@pytest.mark.parametrize(("method", "path"), DEVICE_ROUTES)
def test_every_device_route_refuses_strangers_and_wrong_tokens_alike(shared, method, path):
    known = shared.enrol(f"known{abs(hash((method, path)))}")
    wrong = Client(shared.port, "a" * 48, known.name)
    unknown = Client(shared.port, known.token, "nobody")
    answers = [wrong.ask(method, path, b"{}"), unknown.ask(method, path, b"{}")]
    assert [a.status for a in answers] == [401, 401]
    assert answers[0].body == answers[1].body
    assert set(answers[0].json) == {"exceptionClass", "errorCode", "message"}


def test_a_terminal_sees_nothing_of_another_ones_actions(shared):
    one, two = shared.enrol("one"), shared.enrol("two")
    one.checks_in(shared.world.says(OLD, 1))
    path = one.link("deploymentBase")
    assert one.ask("GET", path).status == 200
    number = path.rsplit("/", 1)[1].partition("?")[0]
    assert two.ask("GET", f"deploymentBase/{number}").status == 404
    assert two.reports(Report(number, Phase.FAILED, Verdict.FAILED, reason="x")) == 404


def test_plug_and_play_lets_unknown_ones_in_but_not_without_the_token_of_a_known_one(tmp_path):
    with serving(tmp_path / "data", Policy(300, plug_and_play=True)) as running:
        running.world.release("1.0", OLD, 1)
        running.world.start(running.world.release("1.1", NEW, 2))
        new = Client(running.port, "", "fresh")
        new.checks_in(running.world.says(OLD, 1))
        assert new.link("deploymentBase")
        known = running.enrol("known")
        assert Client(running.port, "", "known").ask("GET", "").status == 401
        assert known.ask("GET", "").status == 200


def test_a_held_file_is_served_by_digest_without_a_token_and_no_other_is(shared):
    phone = shared.enrol("torn")
    phone.checks_in(shared.world.says(OLD, 1))
    offer, _ = ddi.offered(ddi.deployment_from(phone.ask("GET", phone.link("deploymentBase")).json))
    anyone = Client(shared.port)
    rescue = "/DEFAULT/neurath/v1/file/"
    whole = anyone.ask("GET", rescue + offer.file.hex())
    assert (whole.status, hashlib.sha256(whole.body).digest()) == (200, offer.file)
    assert anyone.ask("GET", rescue + offer.file.hex()[:32], Range="bytes=3-9").body == whole.body[3:10]
    assert anyone.ask("HEAD", rescue + offer.file.hex()[:32]).headers["content-length"] == str(offer.size)
    assert anyone.ask("GET", rescue + hashlib.sha256(NEW).hexdigest()).status == 404
    assert anyone.ask("GET", rescue + "zz" * 32).status == 400
    assert anyone.ask("GET", rescue + offer.file.hex()[:8]).status == 400


def test_a_torn_terminal_is_served_its_file_after_the_action_was_closed(shared):
    phone = shared.enrol("torn2")
    phone.checks_in(shared.world.says(OLD, 1))
    offer, _ = ddi.offered(ddi.deployment_from(phone.ask("GET", phone.link("deploymentBase")).json))
    phone.reports(Report(offer.action, Phase.UPDATING, secured=offer.size))
    phone.reports(Report(offer.action, Phase.FAILED, Verdict.FAILED, reason="gave up too early"))
    assert phone.link("deploymentBase") == ""
    phone.checks_in(shared.world.says(b"torn", 1, open_file=offer.file[:16]))
    again, artifact = ddi.offered(ddi.deployment_from(phone.ask("GET", phone.link("deploymentBase")).json))
    assert again.file == offer.file
    assert phone.ask("GET", "/" + artifact.href.split("/", 3)[3]).status == 200


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "mode", "status", "execution", "result", "finished", "details", "id"]), inner
        )
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=200) | JSONISH.map(lambda value: json.dumps(value).encode())
METHODS = ["GET", "PUT", "POST", "HEAD", "DELETE", "PATCH", "OPTIONS"]
PATHS = st.sampled_from([p for _, p in DEVICE_ROUTES[:-1]]) | st.text("abc019/%.~\\?#&=-", max_size=40).map(lambda t: "/" + t)


@pytest.mark.timeout(7200)
@settings(max_examples=20_000 if os.environ.get("NEURATH_ASSURANCE") == "1" else 150)
@given(
    st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE", "PATCH", "OPTIONS"]),
    PATHS,
    BODIES,
    st.text("0123456789-,=bytes", max_size=20),
)
def test_a_malformed_request_is_the_clients_fault(malformed_client, method, path, body, ranged):
    answer = malformed_client.ask(method, path, body, Range=ranged)
    assert answer.status < 500


@pytest.fixture(scope="module")
def malformed_client(shared):
    phone = shared.enrol("malformed")
    phone.checks_in(shared.world.says(OLD, 1))
    return phone


@pytest.mark.parametrize(
    "attribute",
    ["neurath.bank", "neurath.nonce", "neurath.size", "neurath.floor", "neurath.ram", "neurath.component", "neurath.open"],
)
def test_a_malformed_attribute_is_400_and_changes_nothing(shared, attribute):
    phone = shared.enrol("bad." + attribute)
    words = checks.to_attributes(shared.world.says(OLD, 1)) | {
        attribute: "-1 or so \ud800".encode("utf-8", "replace").decode()
    }
    assert phone.ask("PUT", "configData", {"data": words}).status == 400
    assert "configData" in phone.ask("GET", "").json["_links"]


def test_a_rotten_file_is_never_served_and_is_our_fault(tmp_path):
    with serving(tmp_path / "data") as running:
        with running.world.store.write() as db:
            add_plain_model(db, "lab", 0.0)
        release = add(running.world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="a.swu"), 0.0)
        running.world.start(release)
        lab = running.enrol("t1", "lab")
        artifact = lab.ask("GET", lab.link("deploymentBase")).json["deployment"]["chunks"][0]["artifacts"][0]
        file = "/" + artifact["_links"]["download"]["href"].split("/", 3)[3]
        running.world.store.files.path(release.image).write_bytes(PACKAGE[:-1] + b"!")
        answer = lab.ask("GET", file)
        assert (answer.status, answer.json["errorCode"]) == (503, "NRT-260")
        assert PACKAGE[:100] not in answer.body


def test_a_body_that_is_too_long_is_refused(shared):
    assert shared.enrol("long").ask("PUT", "configData", b" " * (ddi.MAX_DOCUMENT + 1)).status == 400


def test_slow_headers_are_cut_off_and_others_served_meanwhile(shared, monkeypatch):
    monkeypatch.setattr(Door, "head_deadline", 0.5)
    slow = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(50)]
    phone = shared.enrol("quick")
    for link in slow:
        link.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
    begin = time.monotonic()
    assert phone.ask("GET", "").status == 200
    assert time.monotonic() - begin < 5
    for link in slow:
        link.settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert link.recv(100) == b""
        link.close()


@pytest.mark.parametrize("slow", ["a head", "a body"])
def test_where_many_are_slow_each_is_given_less_time(shared, monkeypatch, slow):
    """The first few have all the time there is; who comes when they are a crowd has not."""
    monkeypatch.setattr(Door, "head_deadline", 600.0)
    monkeypatch.setattr("neurath.server.device.BODY_DEADLINE", 600.0)
    monkeypatch.setattr(patience, "CROWD", 3)
    monkeypatch.setattr(patience, "HURRIED", 0.2)
    # Whoever else of this module still is connected is none of them.
    monkeypatch.setattr("neurath.server.door.HEADS", patience.Patience())
    monkeypatch.setattr("neurath.server.device.BODIES", patience.Patience())
    phone = shared.enrol(f"crowd-{slow[2:]}")
    head = f"PUT {phone.base}/configData HTTP/1.1\r\nHost: x\r\nAuthorization: TargetToken {phone.token}\r\n".encode()
    begun = head + (b"X-Slow: " if slow == "a head" else b"Content-Length: 9000\r\n\r\n{")
    with contextlib.ExitStack() as every:
        links = [every.enter_context(socket.create_connection(("127.0.0.1", shared.port), timeout=60)) for _ in range(6)]
        for link in links:
            link.sendall(begun)
        with selectors.DefaultSelector() as ready:
            for link in links:
                ready.register(link, selectors.EVENT_READ)
            shut = set()
            while len(shut) < 3:
                found = [key.fileobj for key, _ in ready.select(60)]
                assert found, "nobody was shut"
                for link in found:
                    with contextlib.suppress(ConnectionError):
                        assert (said := link.recv(4096)) == b"" or said.startswith(b"HTTP/1.1 400 ")
                    ready.unregister(link)
                    shut.add(link)
            assert not ready.select(1.0)  # five times what those were given who were too many
    assert phone.ask("GET", "").status == 200


@pytest.mark.parametrize("endless", ["a header", "many headers", "a trailer", "a chunk's line"])
def test_what_a_parser_would_keep_for_ever_is_refused(shared, monkeypatch, endless):
    phone = shared.enrol(f"endless{len(endless)}")
    head = f"PUT {phone.base}/configData HTTP/1.1\r\nHost: x\r\nAuthorization: TargetToken {phone.token}\r\n".encode()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    before, more = {
        "a header": (head + b"X-Long: ", b"x" * 1024),
        "many headers": (head, b"X-More: y\r\n" * 100),
        "a trailer": (chunked + b"0\r\nX-Long: ", b"x" * 1024),
        "a chunk's line": (chunked + b"1;", b"x" * 1024),
    }[endless]
    # No deadline ends it; a server that goes on reading runs into the time of this side.
    monkeypatch.setattr(Door, "head_deadline", 600.0)
    monkeypatch.setattr("neurath.server.device.BODY_DEADLINE", 600.0)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as link, contextlib.suppress(ConnectionError):
        link.sendall(before)
        for _ in range(200):
            link.sendall(more)
        while data := link.recv(4096):
            assert data.startswith(b"HTTP/1.1 400 ")
    assert phone.ask("GET", "").status == 200


def test_one_address_cannot_take_every_connection(shared, monkeypatch):
    time.sleep(0.3)  # connections of earlier tests are gone
    monkeypatch.setattr(Door, "per_address", 5)
    links = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(8)]
    time.sleep(0.3)
    shut = 0
    for link in links:
        link.settimeout(0.5)
        try:
            shut += link.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionError:
            shut += 1
        link.close()
    assert shut >= 3


def test_a_slow_body_ends_at_its_deadline(shared, monkeypatch):
    monkeypatch.setattr("neurath.server.device.BODY_DEADLINE", 0.5)
    phone = shared.enrol("slowbody")
    link = socket.create_connection(("127.0.0.1", shared.port))
    head = f"PUT {phone.base}/configData HTTP/1.1\r\nHost: x\r\nAuthorization: TargetToken {phone.token}\r\n"
    link.sendall(head.encode() + b"Content-Length: 9000\r\n\r\n{")
    link.settimeout(30)
    said = link.recv(4096)
    assert b" 400 " in said
    # Nobody waits for the rest of it: the connection ends, however long more trickles in.
    link.settimeout(0.5)
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while said:
            assert time.monotonic() - begun < 30
            try:
                said = link.recv(4096)
            except TimeoutError:
                link.sendall(b"x")
    link.close()


def test_the_management_plane_tells_and_changes_and_refuses_other_origins(shared):
    anyone = Client(shared.port)
    assert anyone.ask("GET", "/api/v1/models").json == ["lab", "phone"]
    assert anyone.ask("GET", "/api/v1/models/phone").json["bank_size"] == MODEL.layout.bank_size
    assert {r["name"] for r in anyone.ask("GET", "/api/v1/releases").json} == {"phone/1.0", "phone/1.1", "lab/2.0"}
    assert anyone.ask("GET", "/api/v1/releases/phone/1.1").json["sequence"] == 2
    assert "BEGIN PUBLIC KEY" in anyone.ask("GET", "/api/v1/ticket-key").json["pem"]
    assert anyone.ask("GET", "/api/v1/openapi.json").json["info"]["title"] == "Neurath"
    kind = {"Content_Type": "application/json"}
    made = anyone.ask("POST", "/api/v1/terminals", {"id": "api1", "model": "phone"}, **kind)
    assert made.status == 201
    assert Client(shared.port, made.json["token"], "api1").ask("GET", "").status == 200
    assert anyone.ask("POST", "/api/v1/terminals", {"id": "api1", "model": "phone"}, **kind).status == 409
    assert anyone.ask("POST", "/api/v1/terminals", {"id": "api2", "model": "none"}, **kind).status == 404
    assert anyone.ask("PUT", "/api/v1/terminals/api1/pin", {"release": "phone/1.1"}, **kind).status == 200
    assert anyone.ask("GET", "/api/v1/terminals/api1/why").json["firmware"]
    assert anyone.ask("GET", "/api/v1/terminals/api1/timeline").json == []
    assert anyone.ask("GET", "/api/v1/terminals/api1").json["id"] == "api1"
    other = anyone.ask("POST", "/api/v1/terminals", {"id": "evil", "model": "phone"}, Origin="http://evil.example", **kind)
    assert other.status == 403
    rebound = anyone.ask("GET", "/api/v1/terminals", Host="evil.example")
    assert rebound.status == 403
    assert anyone.ask("GET", "/api/v1/terminals/evil").status == 404
    new = anyone.ask("POST", "/api/v1/rollouts", {"release": "phone/1.1", "terminals": ["api1"], "pieces": "dhcp"}, **kind)
    assert new.json["pieces"] == "dhcp"
    assert new.status == 201
    preferred = anyone.ask("PUT", "/api/v1/releases/phone/1.1/priority", {"priority": 4}, **kind)
    assert (preferred.status, preferred.json["priority"]) == (200, 4)
    assert anyone.ask("PUT", "/api/v1/releases/phone/1.1/priority", {"priority": 44}, **kind).status == 400
    number = new.json["id"]
    assert anyone.ask("POST", f"/api/v1/rollouts/{number}/start").json["state"] == "running"
    assert anyone.ask("POST", f"/api/v1/rollouts/{number}/start").status == 409
    assert anyone.ask("POST", f"/api/v1/rollouts/{number}/abort").json["state"] == "aborted"
    assert anyone.ask("POST", f"/api/v1/rollouts/{number}/explode").status == 404
    assert anyone.ask("GET", "/api/v1/ledger").status == 200


def test_a_running_server_tells_terminals_what_another_process_started(tmp_path):
    with serving(tmp_path / "data") as running:
        running.world.release("1.0", OLD, 1)
        release = running.world.release("1.1", NEW, 2)
        phone = running.enrol("t1")
        link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        link.request("GET", "/DEFAULT/neurath/v1/t1/events", headers={"Authorization": f"TargetToken {phone.token}"})
        stream = link.getresponse()
        assert stream.status == 200

        def notice():
            while (line := stream.readline()) != b"event: check\n":
                assert line

        notice()  # who connects checks in
        time.sleep(1.2)  # the feed has taken its first look
        verb = [sys.executable, "-m", "neurath.cli.main", "rollout", "create", "--release", release.name, "--all", "--start"]
        subprocess.run([*verb, "--data", str(running.world.store.directory)], check=True, capture_output=True)
        notice()
        link.close()


@pytest.mark.timeout(7200)
def test_no_acknowledged_fact_is_lost_when_the_server_is_killed(tmp_path):
    """Each 200 that a terminal got is in the store after SIGKILL at a moment of chance, by the command as people start it (a
    thousand kills under a fleet: tests/fleet/test_rollout.py)."""
    data = tmp_path / "data"
    world = open_world(data)
    with world.store.write() as db:
        add_plain_model(db, "lab", 0.0)
        tokens = {f"k{n}": access.register(db, access.Enrolment(f"k{n}", "lab"), 0.0) for n in range(4)}
    world.start(add(world.store, Upload(PACKAGE, "lab", "2.0", kind="swu", filename="a.swu"), 0.0))
    rng = random.Random(int(os.environ["NEURATH_SEED"]))
    acknowledged: dict[str, int] = {}
    rounds = 20 if os.environ.get("NEURATH_ASSURANCE") == "1" else 2
    for turn in range(rounds):
        verb = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(data), "--port", "0", "--json"]
        server = subprocess.Popen(verb, stdout=subprocess.PIPE)
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        timer = threading.Timer(rng.uniform(0.0, 0.6), lambda process=server: process.send_signal(signal.SIGKILL))
        first = threading.Event()  # however busy the machine is, the moment of chance comes after something was said

        def talk(name, port=port, turn=turn, first=first):
            client = Client(port, tokens[name], name)
            count = 0
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:
                    count += 1
                    number = turn * 100_000 + count
                    if client.ask("PUT", "configData", {"data": {"count": str(number)}}).status == 200:
                        acknowledged[name] = number
                        first.set()

        talkers = [threading.Thread(target=talk, args=(name,)) for name in tokens]
        for thread in talkers:
            thread.start()
        first.wait(60)
        timer.start()
        for thread in talkers:
            thread.join(30)
        assert server.wait(10) == -signal.SIGKILL
        server.stdout.close()
        with world.store.read() as db:
            for name, number in acknowledged.items():
                assert int(access.find(db, name).attributes["count"]) >= number
            assert db.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert acknowledged
    world.store.close()


def test_an_action_of_a_removed_number_is_not_found(shared):
    phone = shared.enrol("numbers")
    for number in ("0", "99999", "-1", "x", "9" * 30, "١"):
        assert phone.ask("GET", f"deploymentBase/{'%D9%A1' if number == '١' else number}").status == 404
    with shared.world.store.read() as db:
        assert actions.of_terminal(db, 1, "nonsense") is None


def broken(*_given, **_more):
    raise NeurathError("the store cannot be used", "database or disk is full", id="NRT-141")


def busy(*_given, **_more):
    raise RefusedError("the store is busy", "database is locked", id="NRT-310")


@pytest.mark.parametrize("fault", [broken, busy])
def test_check_ins_go_on_while_nothing_can_be_written(shared, monkeypatch, fault):
    built = shared.enrol(f"before.{fault.__name__}")
    built.checks_in(shared.world.says(OLD, 1))
    assert built.link("deploymentBase")
    phone = shared.enrol(f"full.{fault.__name__}")
    phone.checks_in(shared.world.says(OLD, 1))
    monkeypatch.setattr(shared.world.store, "write", fault)
    answer = phone.ask("GET", "")
    assert answer.status == 200
    assert "_links" not in answer.json
    late = phone.ask("PUT", "configData", {"data": {"a": "b"}})
    assert (late.status, late.headers["retry-after"]) == (503, "10")
    monkeypatch.undo()
    assert phone.link("deploymentBase")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_ends_well_though_a_stream_is_open(tmp_path, number):
    world = open_world(tmp_path / "data")
    world.release("1.0", OLD, 1)
    world.start(world.release("1.1", NEW, 2))
    with world.store.write() as db:
        token = access.register(db, access.Enrolment("t1", "phone"), 0.0)
    world.store.close()
    verb = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(tmp_path / "data"), "--port", "0", "--json"]
    server = subprocess.Popen(verb, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["port"]
    phone = Client(port, token, "t1")
    phone.checks_in(world.says(OLD, 1))
    deadline = time.monotonic() + 30
    while not phone.link("deploymentBase") and time.monotonic() < deadline:  # the real engine, in its pool
        time.sleep(0.1)
    assert phone.link("deploymentBase")
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    link.request("GET", "/DEFAULT/neurath/v1/t1/events", headers={"Authorization": f"TargetToken {token}"})
    assert link.getresponse().status == 200
    server.send_signal(number)
    _, said = server.communicate(timeout=20)
    link.close()
    worse = [line for line in said.decode().splitlines() if " INFO neurath.cli.serving: " not in line]
    assert (server.returncode, worse) == (0, [])
