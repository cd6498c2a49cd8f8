"""Attacks on the server over real HTTP that its own tests do not make: names that climb out of the store, the token of one
terminal on the routes of another, kept files that are gone, and a server that died between ticket and verdict."""

from __future__ import annotations

import hashlib

import pytest

from neurath.wire import ddi
from neurath.wire.report import Phase, Report, Verdict
from tests.server.test_http import DEVICE_ROUTES, NEW, OLD, Client, serving

CLIMBING = (
    "..",
    "../ticket.pem",
    "..%2fticket.pem",
    "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd",
    "..%5c..%5cticket.pem",
    "%00",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "~root",
    "a" * 3000,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("attacked") / "data") as made:
        made.world.release("1.0", OLD, 1)
        made.world.start(made.world.release("1.1", NEW, 2))
        yield made


def offered(phone, world):
    """(offer, path of its artifact)"""
    phone.checks_in(world.says(OLD, 1))
    offer, artifact = ddi.offered(ddi.deployment_from(phone.ask("GET", phone.link("deploymentBase")).json))
    return offer, "/" + artifact.href.split("/", 3)[3]


@pytest.mark.parametrize("name", CLIMBING)
def test_a_name_that_climbs_finds_nothing(running, name):
    phone = running.enrol("climber" + hashlib.sha256(name.encode()).hexdigest()[:8])
    anyone = Client(running.port)
    answers = [
        phone.ask("GET", f"softwaremodules/1/artifacts/{name}"),
        phone.ask("GET", f"softwaremodules/{name}/artifacts/x"),
        phone.ask("GET", f"deploymentBase/{name}"),
        phone.ask("GET", f"/{name}/controller/v1/{phone.name}"),
        anyone.ask("GET", f"/DEFAULT/neurath/v1/file/{name}"),
        anyone.ask("GET", f"/{name}/neurath/v1/file/{'0' * 64}"),
        anyone.ask("GET", f"/static/{name}"),
    ]
    for answer in answers:
        assert 400 <= answer.status < 500 or answer.status in (301, 307), answer.status
        assert b"root:x:" not in answer.body
        assert b"PRIVATE KEY" not in answer.body


@pytest.mark.parametrize(("method", "path"), DEVICE_ROUTES[:-1])
def test_the_token_of_one_terminal_opens_no_route_of_another(running, method, path):
    one, two = (running.enrol(f"{who}{abs(hash((method, path)))}") for who in ("one", "two"))
    assert Client(running.port, one.token, two.name).ask(method, path, b"{}").status == 401


def test_no_byte_leaves_before_the_secured_report_of_this_very_terminal(running):
    one, two = running.enrol("secures"), running.enrol("does-not")
    (first, path), (_, other) = offered(one, running.world), offered(two, running.world)
    one.reports(Report(first.action, Phase.DOWNLOADING, secured=first.size))
    assert one.ask("GET", path).status == 200
    assert two.ask("GET", other).status == 409
    assert two.ask("GET", path.replace(one.name, two.name)).status in (404, 409)


def test_a_confirmation_without_the_banks_digest_confirms_nothing(running):
    phone = running.enrol("boaster")
    offer, _ = offered(phone, running.world)
    phone.reports(Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED))
    with running.world.store.read() as db:
        from neurath.server.fleet import access, progress

        told = progress.entries(db, progress.Wanted(terminal=access.find(db, phone.name).n))
    assert [entry.verdict for entry in told] == ["failed"]
    assert "no digest" in told[0].reason


def test_a_kept_file_that_is_gone_is_our_fault_and_other_terminals_are_served(running):
    phone = running.enrol("unlucky")
    offer, path = offered(phone, running.world)
    phone.reports(Report(offer.action, Phase.DOWNLOADING, secured=offer.size))
    kept = running.world.store.files.path(offer.file.hex())
    data = kept.read_bytes()
    kept.unlink()
    try:
        rescue = f"/DEFAULT/neurath/v1/file/{offer.file.hex()}"
        for answer in (phone.ask("GET", path), Client(running.port).ask("GET", rescue)):
            assert answer.status in (404, 503)
            assert b"Traceback" not in answer.body
        assert running.enrol("lucky").ask("GET", "").status == 200
    finally:
        kept.write_bytes(data)
    assert phone.ask("GET", path).body == data


def test_a_server_that_died_between_ticket_and_verdict_serves_counts_and_hears_the_same_terminal(tmp_path):
    with serving(tmp_path / "data") as first:
        first.world.release("1.0", OLD, 1)
        first.world.start(first.world.release("1.1", NEW, 2))
        phone = first.enrol("t1")
        offer, path = offered(phone, first.world)
        phone.reports(Report(offer.action, Phase.DOWNLOADING, secured=offer.size))
        data = phone.ask("GET", path).body
    with serving(tmp_path / "data") as second:
        again = Client(second.port, phone.token, phone.name)
        # Torn meanwhile: served by digest without a word, and by its action without another report.
        rescue = f"/DEFAULT/neurath/v1/file/{offer.file.hex()[:32]}"
        assert Client(second.port).ask("GET", rescue).body == data
        assert again.ask("GET", path).body == data
        assert offered(again, second.world)[0].file == offer.file
        # It never told how it ended: its bank does.
        again.checks_in(second.world.says(NEW, 2))
        assert again.link("deploymentBase") == ""
        with second.world.store.read() as db:
            from neurath.server.fleet import access, progress

            told = progress.entries(db, progress.Wanted(terminal=access.find(db, "t1").n))
        assert told[0].verdict == "confirmed"
        assert Client(second.port).ask("GET", rescue).status == 404


def test_a_delta_that_is_gone_is_built_again_for_a_terminal_that_was_offered_it(tmp_path):
    with serving(tmp_path / "data") as made:
        made.world.release("1.0", OLD, 1)
        made.world.start(made.world.release("1.1", NEW, 2))
        phone = made.enrol("t1")
        offer, _ = offered(phone, made.world)
        made.world.store.files.path(offer.file.hex()).unlink()
        again, path = offered(phone, made.world)
        phone.reports(Report(again.action, Phase.DOWNLOADING, secured=again.size))
        assert hashlib.sha256(phone.ask("GET", path).body).digest() == again.file
