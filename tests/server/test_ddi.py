"""DDI as hawkBit tables it, over real HTTP: confirmation, cancelling, what is installed, history, windows, every execution,
both forms of documents, the three ways to show who one is; and the quirks of real clients."""

from __future__ import annotations

import email
import hashlib
import random
import time

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.server.device import Policy
from neurath.server.fleet import access, rollout, tenants, waves
from neurath.server.fleet.rollout import Plan
from neurath.server.fleet.tenants import Tenant
from neurath.server.serving import parts
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from tests.server.test_http import Client, serving

PACKAGE = random.Random(7).randbytes(100_000)
SWUPDATE = "libcurl-agent/1.0"
RAUC = "rauc-hawkbit-updater/1.4"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("ddi") / "data", Policy(300, proxies=("127.0.0.1",))) as running:
        yield Site(running)


class Site:
    """One server; each test has a model, a release and a rollout of its own."""

    def __init__(self, running) -> None:
        self.running, self.world, self.count = running, running.world, 0

    def lab(self, policy: str = "at-once", *, kind: str = "swu", device: str = "") -> Lab:
        self.count += 1
        model = f"lab{self.count}"
        with self.world.store.write() as db:
            add_plain_model(db, model, 0.0)
        upload = Upload(PACKAGE + model.encode(), model, "2.0", kind=kind, filename=f"fw.{kind}")
        release = add(self.world.store, upload, time.time())
        with self.world.store.write() as db:
            made = rollout.create(db, Plan(release, None, policy=waves.policy(policy)), time.time())
            made = rollout.move(db, made.id, "start", time.time())
        return Lab(self, self.running.enrol(device or f"dev{self.count}", model), made, release, upload.data)


class Lab:
    def __init__(self, site, client: Client, made, release, data: bytes) -> None:
        self.site, self.client, self.rollout, self.release, self.data = site, client, made, release, data
        self.agent = RAUC

    def ask(self, method, path, body=None, **headers):
        return self.client.ask(method, path, body, **{"User-Agent": self.agent} | headers)

    def links(self) -> dict[str, str]:
        found = self.ask("GET", "").json.get("_links", {})
        return {rel: "/" + link["href"].split("/", 3)[3] for rel, link in found.items()}

    def number(self, rel: str = "deploymentBase") -> str:
        return self.links()[rel].rsplit("/", 1)[1].partition("?")[0]

    def says(self, number, execution, finished="none", details=(), where="deploymentBase", **more):
        status = {"execution": execution, "result": {"finished": finished}, "details": list(details)} | more
        return self.ask("POST", f"{where}/{number}/feedback", {"id": str(number), "status": status}).status

    def entry(self):
        return self.site.world.entry(self.terminal, self.release)

    @property
    def terminal(self):
        with self.site.world.store.read() as db:
            return access.find(db, self.client.name)

    def abort(self) -> None:
        self.site.world.move(self.rollout, "abort")

    @property
    def file(self) -> str:
        links = self.ask("GET", self.links()["deploymentBase"]).json["deployment"]["chunks"][0]["artifacts"][0]["_links"]
        return "/" + links["download"]["href"].split("/", 3)[3]


# ---- executions and history --------------------------------------------------------------------------------------------

EXECUTIONS = [
    ("proceeding", "none", "RUNNING", "pending"),
    ("scheduled", "none", "RUNNING", "pending"),
    ("resumed", "none", "RUNNING", "pending"),
    ("download", "none", "DOWNLOAD", "pending"),
    ("downloaded", "none", "DOWNLOADED", "pending"),
    ("rejected", "none", "WARNING", "pending"),
    ("canceled", "none", "CANCELED", "refused"),
    ("closed", "success", "FINISHED", "confirmed"),
    ("closed", "none", "FINISHED", "confirmed"),
    ("closed", "failure", "ERROR", "failed"),
]


@pytest.mark.parametrize(("execution", "finished", "status", "verdict"), EXECUTIONS)
def test_every_execution_leads_to_its_status_and_verdict(site, execution, finished, status, verdict):
    lab = site.lab()
    number = lab.number()
    assert lab.says(number, "proceeding", details=["one", "two"]) == 200
    assert lab.says(number, execution, finished, ["three"], code=7) == 200
    assert lab.entry().verdict == verdict
    if verdict == "pending":
        told = lab.ask("GET", f"deploymentBase/{number}?actionHistory=2").json["actionHistory"]
        assert told == {"status": status, "messages": ["three", "two"]}
        assert "actionHistory" not in lab.ask("GET", f"deploymentBase/{number}?actionHistory=0").json
        assert lab.ask("GET", f"deploymentBase/{number}?actionHistory=-1").json["actionHistory"]["messages"][-1] == "one"
    else:
        assert "deploymentBase" not in lab.links()  # the link of what has ended is gone at once
        assert lab.ask("GET", f"deploymentBase/{number}").status == 404
        assert lab.says(number, "proceeding") == 410


def test_a_client_that_never_stops_talking_is_told_to(site, monkeypatch):
    monkeypatch.setattr("neurath.server.fleet.history.MOST", 3)
    lab = site.lab()
    number = lab.number()
    assert [lab.says(number, "proceeding", details=[str(n)]) for n in range(4)] == [200, 200, 200, 429]


def test_too_many_attributes_are_429_and_none_is_kept(site):
    lab = site.lab()
    assert lab.ask("PUT", "configData", {"data": {f"a{n}": "x" for n in range(101)}}).status == 429
    assert "configData" in lab.links()
    assert lab.ask("PUT", "configData", {"data": {f"a{n}": "x" for n in range(100)}}).status == 200
    assert "configData" not in lab.links()  # swupdate never installs while it stays


# ---- cancelling ----------------------------------------------------------------------------------------------------------

CANCELS = [
    ("closed", "success", set(), "pending"),
    ("closed", "none", set(), "pending"),
    ("closed", "failure", set(), "failed"),
    ("canceled", "none", {"cancelAction"}, "pending"),
    ("proceeding", "none", {"cancelAction"}, "pending"),
    ("rejected", "none", {"deploymentBase"}, "pending"),
]


@pytest.mark.parametrize(("execution", "finished", "links", "verdict"), CANCELS)
def test_every_answer_to_a_cancellation_leads_where_hawkbit_says(site, execution, finished, links, verdict):
    lab = site.lab()
    lab.ask("PUT", "configData", {"data": {"a": "b"}})
    number = lab.number()
    lab.ask("GET", f"deploymentBase/{number}")
    lab.abort()
    assert lab.number("cancelAction") == number
    assert lab.ask("GET", f"cancelAction/{number}").json == {"id": number, "cancelAction": {"stopId": number}}
    assert lab.says(number, execution, finished, ["so"], where="cancelAction") == 200
    assert set(lab.links()) == links
    assert set(lab.links()) == links  # and so it stays: one that insists is not asked again
    assert lab.entry().verdict == verdict
    if links != {"cancelAction"}:
        assert lab.says(number, "closed", where="cancelAction") == 405
        assert lab.ask("GET", f"cancelAction/{number}").status == 404
    if execution == "rejected":
        assert lab.says(number, "closed", "success") == 200
        assert lab.entry().verdict == "confirmed"
        assert set(lab.links()) == {"installedBase"}


# ---- confirmation --------------------------------------------------------------------------------------------------------


def test_what_needs_confirmation_is_shown_and_not_given_until_the_device_says_so(site):
    lab = site.lab("at-once confirm=yes")
    assert set(lab.links()) == {"confirmationBase", "configData"}
    number = lab.number("confirmationBase")
    asked = lab.ask("GET", f"confirmationBase/{number}?actionHistory=5").json
    assert asked["confirmation"]["chunks"][0]["version"] == "2.0"
    assert "deployment" not in asked
    href = asked["confirmation"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
    assert lab.ask("GET", "/" + href.split("/", 3)[3]).status == 404  # no byte before the word
    assert lab.ask("GET", f"deploymentBase/{number}").status == 404
    state = lab.ask("GET", "confirmationBase").json
    assert state["autoConfirm"] == {"active": False}
    assert set(state["_links"]) == {"activateAutoConfirm", "confirmationBase"}
    word = f"confirmationBase/{number}/feedback"
    assert lab.ask("POST", word, {"confirmation": "perhaps"}).status == 400
    assert lab.ask("POST", word, {"confirmation": "denied", "code": 3, "details": ["not today"]}).status == 200
    assert set(lab.links()) == {"confirmationBase", "configData"}  # a denial waits for another word
    told = lab.ask("GET", f"confirmationBase/{number}?actionHistory=1").json["actionHistory"]
    assert told == {"status": "WAIT_FOR_CONFIRMATION", "messages": ["not today"]}
    assert "confirm action" in site.world.delivery.why(lab.terminal, "firmware", time.time())
    assert lab.ask("POST", word, {"confirmation": "confirmed"}).status == 200
    assert lab.number() == number
    assert lab.ask("GET", f"confirmationBase/{number}").status == 404
    assert lab.ask("POST", word, {"confirmation": "confirmed"}).status == 410
    assert lab.ask("GET", lab.file).body == lab.data
    assert lab.ask("POST", "confirmationBase/999999/feedback", {"confirmation": "confirmed"}).status == 404


def test_a_device_that_confirms_everything_is_asked_nothing(site):
    lab = site.lab("at-once confirm=yes")
    number = lab.number("confirmationBase")
    word = {"initiator": "the user", "remark": "always"}
    assert lab.ask("POST", "confirmationBase/activateAutoConfirm", word).status == 200
    assert lab.ask("POST", "confirmationBase/activateAutoConfirm").status == 409
    assert lab.number() == number  # what waited is confirmed with it
    state = lab.ask("GET", "confirmationBase").json
    assert state["autoConfirm"]["initiator"] == "the user"
    assert abs(state["autoConfirm"]["activatedAt"] / 1000 - time.time()) < 60
    assert lab.ask("POST", "confirmationBase/deactivateAutoConfirm").status == 200
    assert lab.ask("GET", "confirmationBase").json["autoConfirm"] == {"active": False}
    other = site.lab("at-once confirm=yes")
    other.ask("POST", "confirmationBase/activateAutoConfirm")
    assert "deploymentBase" in other.links()


# ---- what is installed ---------------------------------------------------------------------------------------------------


def test_the_last_finished_action_is_shown_as_installed(site):
    lab = site.lab()
    number = lab.number()
    assert lab.ask("GET", f"installedBase/{number}").status == 404
    lab.says(number, "closed", "success", ["fine"])
    assert lab.number("installedBase") == number
    shown = lab.ask("GET", f"installedBase/{number}?actionHistory=1").json
    assert (shown["id"], shown["actionHistory"]) == (number, {"status": "FINISHED", "messages": ["fine"]})
    assert shown["deployment"]["chunks"][0]["version"] == "2.0"


def test_a_device_that_has_it_already_says_so_and_is_offered_nothing(site):
    lab = site.lab()
    said = {"name": lab.release.model, "version": "2.0"}
    assert lab.ask("PUT", "installedBase", {"name": "x", "version": "9"}).status == 404
    assert lab.ask("PUT", "installedBase", {"name": "x"}).status == 400
    assert [lab.ask("PUT", "installedBase", said).status for _ in range(2)] == [201, 200]
    assert "deploymentBase" not in lab.links()
    assert lab.entry().verdict == "confirmed"
    ours = site.running.enrol("ours-says", "phone")
    site.world.release("7.0", b"\7" * 9000, 7)
    assert ours.ask("PUT", "installedBase", {"name": "phone", "version": "7.0"}).status == 404  # a bank is read, not believed


# ---- urgency and windows -------------------------------------------------------------------------------------------------


def clock(offset: float) -> str:
    return time.strftime("%H:%M", time.gmtime(time.time() + offset))


def closed_now() -> str:
    return f"window=daily,{clock(7200)}-{clock(10800)},UTC"


def open_now() -> str:
    return f"window=daily,{clock(-3600)}-{clock(3600)},UTC"


def test_outside_its_window_a_client_is_told_to_skip_and_swupdate_nothing_at_all(site):
    lab = site.lab("at-once " + closed_now())
    body = lab.ask("GET", "deploymentBase/" + lab.number()).json["deployment"]
    assert (body["download"], body["update"], body["maintenanceWindow"]) == ("forced", "skip", "unavailable")
    lab.agent = SWUPDATE  # it would report "closed, success: Skipped Update."
    assert "deploymentBase" not in lab.links()
    assert "maintenance window opens" in site.world.delivery.why(lab.terminal, "firmware", time.time())
    inside = site.lab("at-once " + open_now())
    inside.agent = SWUPDATE
    body = inside.ask("GET", "deploymentBase/" + inside.number()).json["deployment"]
    assert (body["update"], body["maintenanceWindow"]) == ("forced", "available")


def test_before_its_window_a_client_polls_sooner_and_the_address_changes_when_it_opens(site):
    minute = f"{clock(170)}-{clock(7200)}"
    lab = site.lab(f"at-once window=daily,{minute},UTC")
    seconds = lab.ask("GET", "").json["config"]["polling"]["sleep"]
    assert "00:00:30" <= seconds <= "00:01:00"
    before = lab.links()["deploymentBase"]
    after = site.lab("at-once " + open_now()).links()["deploymentBase"]
    assert before.partition("?")[2] != after.partition("?")[2]


def test_soft_is_attempted_until_it_is_forced_and_download_only_ends_when_it_is_there(site):
    soft = site.lab("at-once urgency=soft")
    assert soft.ask("GET", "deploymentBase/" + soft.number()).json["deployment"]["update"] == "attempt"
    past = site.lab("at-once urgency=soft:2020-01-01T00:00Z")
    assert past.ask("GET", "deploymentBase/" + past.number()).json["deployment"]["update"] == "forced"
    fetch = site.lab("at-once urgency=download-only")
    number = fetch.number()
    body = fetch.ask("GET", f"deploymentBase/{number}").json["deployment"]
    assert (body["download"], body["update"]) == ("forced", "skip")
    assert fetch.says(number, "downloaded") == 200
    assert "deploymentBase" not in fetch.links()
    assert "all its rollout asks" in site.world.delivery.why(fetch.terminal, "firmware", time.time())
    swupdate = site.lab("at-once urgency=download-only")
    swupdate.agent = SWUPDATE
    assert "deploymentBase" not in swupdate.links()


# ---- forms of documents --------------------------------------------------------------------------------------------------


def test_a_poll_that_has_not_changed_is_304(site):
    lab = site.lab()
    first = lab.ask("GET", "")
    tag = first.headers["etag"]
    again = lab.ask("GET", "", If_None_Match=tag)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert lab.ask("GET", "", If_None_Match=f'"other", W/{tag}').status == 304
    lab.ask("PUT", "configData", {"data": {"a": "b"}})
    assert lab.ask("GET", "", If_None_Match=tag).status == 200


def test_everything_speaks_cbor_both_ways(site):
    lab = site.lab()
    poll = lab.ask("GET", "", Accept="application/cbor")
    assert poll.headers["content-type"] == "application/cbor"
    assert cbor2.loads(poll.body) == lab.ask("GET", "", Accept="application/hal+json").json
    assert lab.ask("GET", "", Accept="application/hal+json").headers["content-type"] == "application/hal+json"
    number = lab.number()
    deployment = lab.ask("GET", f"deploymentBase/{number}", Accept="application/cbor;q=1, application/json;q=0.5")
    assert cbor2.loads(deployment.body)["id"] == number
    word = {"status": {"execution": "closed", "result": {"finished": "success"}}}
    kind = {"Content-Type": "application/cbor"}
    assert lab.ask("POST", f"deploymentBase/{number}/feedback", cbor2.dumps(word), **kind).status == 200
    assert lab.ask("PUT", "configData", cbor2.dumps({"data": {"a": "b"}}), **kind).status == 200
    assert lab.ask("PUT", "configData", b"\xff", **kind).status == 400


# ---- artifacts -----------------------------------------------------------------------------------------------------------


def test_several_ranges_come_in_one_body_and_each_byte_is_counted(site):
    lab = site.lab()
    got = lab.ask("GET", lab.file, Range="bytes=0-9, 500-1499,-7, 900000-")
    assert got.status == 206
    assert int(got.headers["content-length"]) == len(got.body)
    whole = email.message_from_bytes(b"Content-Type: " + got.headers["content-type"].encode() + b"\r\n\r\n" + got.body)
    size = len(lab.data)
    seen = [(part["content-range"], part.get_payload(decode=True)) for part in whole.get_payload()]
    assert [where for where, _ in seen] == [
        f"bytes 0-9/{size}", f"bytes 500-1499/{size}", f"bytes {size - 7}-{size - 1}/{size}",
    ]  # fmt: skip
    assert [body for _, body in seen] == [lab.data[:10], lab.data[500:1500], lab.data[-7:]]
    head = lab.ask("HEAD", lab.file, Range="bytes=0-9,20-29")
    assert (head.status, head.body) == (206, b"")
    deadline = time.monotonic() + 20
    while lab.entry().bytes != 1017 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lab.entry().bytes == 1017


def test_conditions_hold_for_strong_tags_only(site):
    lab = site.lab()
    tag = f'"{hashlib.sha1(lab.data).hexdigest()}"'
    head = lab.ask("HEAD", lab.file)
    assert (head.headers["etag"], head.headers["accept-ranges"]) == (tag, "bytes")
    assert head.headers["content-length"] == str(len(lab.data))
    for match, status in ((tag, 200), (f'"x", {tag}', 200), ("*", 200), ('"x"', 412), (f"W/{tag}", 412)):
        assert lab.ask("GET", lab.file, If_Match=match).status == status
    date = head.headers["last-modified"]
    for condition, status in ((tag, 206), (date, 206), ('"x"', 200), (f"W/{tag}", 200)):
        assert lab.ask("GET", lab.file, Range="bytes=5-8", If_Range=condition).status == status
    listed = lab.ask("GET", lab.file.rsplit("/", 1)[0]).json
    assert listed[0]["size"] == len(lab.data)
    assert lab.ask("GET", lab.file.rsplit("/", 3)[0] + "/999999/artifacts").status == 404
    md5 = lab.ask("GET", lab.file + ".MD5SUM")
    assert md5.body.decode() == f"{hashlib.md5(lab.data).hexdigest()}  fw.swu"


RANGES = st.lists(
    st.tuples(st.integers(-1, 40), st.integers(-1, 40)).map(lambda p: "-".join("" if n < 0 else str(n) for n in p)), max_size=5
)


@settings(max_examples=300)
@given(st.integers(0, 30), RANGES)
def test_ranges_lie_inside_the_file_and_name_what_was_asked(size, specs):
    found = parts(size, "bytes=" + ",".join(specs))
    assert found is None or all(start >= 0 and count >= 0 and start + count <= size for start, count in found)
    data = bytes(range(size))
    for spec in specs if len(specs) == 1 else ():
        first, _, last = spec.partition("-")
        if first and last and int(first) <= int(last) and found is not None:
            assert data[found[0][0] : sum(found[0])] == data[int(first) : int(last) + 1]


# ---- who may speak -------------------------------------------------------------------------------------------------------


def test_a_gateway_token_speaks_for_every_device_of_its_tenant_and_no_other(site):
    token, kept = tenants.new_gateway_token()
    with site.world.store.write() as db:
        tenants.keep(db, "west", Tenant(gateway=kept, model="phone"))
        access.register(db, access.Enrolment("alone", "phone", "east"), 0.0)

    def ask(tenant, name, shown=token):
        return (
            Client(site.running.port)
            .ask("GET", f"/{tenant}/controller/v1/{name}", Authorization=f"GatewayToken {shown}")
            .status
        )

    assert [ask("west", "w1"), ask("west", "w2"), ask("west", "w1")] == [200, 200, 200]
    with site.world.store.read() as db:
        assert access.find(db, "w1", "west").model == "phone"  # registered by first contact
    assert [ask("east", "alone"), ask("DEFAULT", "w1"), ask("west", "w1", token + "0"), ask("west", "w3", "")] == [401] * 4
    with site.world.store.write() as db:
        tenants.keep(db, "west", Tenant(gateway=kept, first_contact=False))
    assert [ask("west", "w1"), ask("west", "w9")] == [200, 401]
    with site.world.store.write() as db:
        tenants.keep(db, "west", Tenant())
    assert ask("west", "w1") == 401  # from this moment on


def test_a_certificate_counts_only_where_a_named_proxy_read_it(site):
    hashed = "ab" * 20
    with site.world.store.write() as db:
        tenants.keep(db, "mtls", Tenant(authorities=(hashed,)))

    def ask(name, **headers):
        return Client(site.running.port).ask("GET", f"/mtls/controller/v1/{name}", **headers).status

    assert ask("c1", X_Controller_Id="c1", X_Authority=f"{'cd' * 20}, {hashed.upper()}") == 200
    assert ask("c1", X_Controller_Id="c1", X_Authority_0="cd" * 20, X_Authority_1=hashed) == 200
    assert ask("c1", X_Controller_Id="c2", X_Authority=hashed) == 401  # the name is part of the certificate
    assert ask("c1", X_Controller_Id="c1", X_Authority="cd" * 20) == 401
    assert ask("c1", X_Controller_Id="c1") == 401
    assert ask("c1") == 401


def test_a_certificate_that_anybody_else_names_counts_for_nothing(tmp_path):
    with serving(tmp_path / "data") as running:  # no proxy is named, not even on this machine
        with running.world.store.write() as db:
            tenants.keep(db, "mtls", Tenant(authorities=("ab" * 20,)))
        got = Client(running.port).ask("GET", "/mtls/controller/v1/c1", X_Controller_Id="c1", X_Authority="ab" * 20)
        assert got.status == 401


def test_packages_without_showing_anything_only_where_the_tenant_says_so(site):
    lab = site.lab()
    path = lab.file
    anyone = Client(site.running.port)
    assert anyone.ask("GET", path).status == 401
    with site.world.store.write() as db:
        tenants.keep(db, "DEFAULT", Tenant(anonymous=True))
    try:
        assert anyone.ask("GET", path).body == lab.data
        assert anyone.ask("GET", lab.client.base).status == 401  # the file and nothing else
        assert anyone.ask("GET", path.replace(lab.client.name, "nobody")).status == 401
    finally:
        with site.world.store.write() as db:
            tenants.keep(db, "DEFAULT", Tenant())
