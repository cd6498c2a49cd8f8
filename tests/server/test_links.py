"""Signed check-ins against a server: who may speak, and every way to speak in another's place, written as the attack."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from neurath.carriers import signing as signs
from neurath.carriers.http import Http, Place
from neurath.carriers.stream import Ear
from neurath.errors import DataError, NothingToDo, RefusedError
from neurath.server import links
from neurath.server.fleet import access, actions, signing, tenants
from neurath.server.links import Proof, Rule
from neurath.server.store.tables import terminal as terminals
from neurath.terminal.compose import compose
from neurath.terminal.setup import setup_from_toml
from neurath.terminal.software.kinds import device_key
from neurath.wire import keys
from neurath.wire.httpsig import Fresh
from neurath.wire.keys import Alg
from neurath.wire.report import Phase, Report
from tests.contracts.delivery import NEW, OLD
from tests.server.test_http import Client, serving

SEED, OTHER = bytes(range(32)), bytes(range(1, 33))


@dataclass
class Site:
    """A server with one release to give, and whoever speaks to it."""

    running: object

    @property
    def world(self):
        return self.running.world

    def __post_init__(self) -> None:
        signs._open.clear()  # a new process
        self.world.release("1.0", OLD, 1)
        self.world.start(self.world.release("2.0", NEW, 2))

    def enrol(self, name: str = "t1", seed: bytes | None = SEED) -> Client:
        found = self.running.enrol(name)
        if seed is not None:
            with self.world.store.write() as db:
                signing.give(db, access.find(db, name), keys.from_seed(seed).public, 1.0)
        return found

    def agent(self, name: str = "t1", seed: bytes = SEED, **more) -> Http:
        return Http(Place(f"http://127.0.0.1:{self.running.port}", name, device_key=seed, message_limit=20.0, **more))

    def rule(self, links: str) -> None:
        with self.world.store.write() as db:
            tenants.keep(db, "DEFAULT", tenants.Tenant(links=links))

    def found(self, name: str = "t1"):
        with self.world.store.read() as db:
            return access.find(db, name)


@pytest.fixture
def site(tmp_path: Path):
    with serving(tmp_path / "data") as running:
        yield Site(running)


class Tap:
    """Keeps every request of an agent as it left, to be sent again by somebody else."""

    def __init__(self, agent: Http, running) -> None:
        self.sent: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self._port = running.port
        send = agent._send

        def tapped(method: str, target: str, headers: dict[str, str], body: bytes | None) -> None:
            self.sent.append((method, target, dict(headers), body))
            send(method, target, headers, body)

        agent._send = tapped  # type: ignore[method-assign]

    def again(self, number: int, **changed):
        method, target, headers, body = self.sent[number]
        told = {"method": method, "target": target, "body": body} | changed
        given = {k.replace("-", "_"): v for k, v in (headers | changed.get("headers", {})).items()}
        return Client(self._port).ask(told["method"], told["target"], told["body"], **given)


@pytest.mark.parametrize("alg", Alg)
def test_an_update_goes_its_whole_way_signed_and_no_token_is_ever_sent(site: Site, alg: Alg) -> None:
    key = keys.from_seed(SEED) if alg is Alg.ED25519 else keys.create(alg)
    site.enrol(seed=None)
    with site.world.store.write() as db:
        signing.give(db, access.find(db, "t1"), key.public, 1.0)
    signs._open[SEED] = signs.Signing(key)  # the agent's own, with a key that no seed makes
    site.rule("signed")
    agent = site.agent(token="not to be sent")
    tap = Tap(agent, site.running)
    offer = agent.check(site.world.says(OLD)).offer
    assert offer is not None
    agent.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    data = b"".join(agent.fetch(offer.file, 0, offer.size))
    assert hashlib.sha256(data).digest() == offer.file
    assert agent.still_wanted(offer.action)
    assert not any("not to be sent" in str(one) or "Authorization" in one[2] for one in tap.sent)
    assert site.found().proof == "signature"
    agent.close()


def test_the_first_message_of_a_life_costs_one_more_and_the_others_none(site: Site) -> None:
    site.enrol()
    agent = site.agent()
    tap = Tap(agent, site.running)
    for _ in range(3):
        agent.check(site.world.says(OLD))
    assert len(tap.sent) == 1 + 3 * 3  # attributes, poll, deployment
    agent.close()


def test_what_was_heard_once_is_not_heard_again(site: Site) -> None:
    site.enrol()
    agent = site.agent()
    tap = Tap(agent, site.running)
    for _ in range(2):
        agent.check(site.world.says(OLD))
    for number in range(len(tap.sent)):
        assert tap.again(number).status == 401, tap.sent[number]
    agent.check(site.world.says(OLD))  # nor do they stand in its way
    agent.close()


def test_what_was_recorded_and_never_delivered_is_worth_nothing_under_the_next_word(site: Site) -> None:
    site.enrol()
    agent = site.agent()
    offer = agent.check(site.world.says(OLD)).offer
    assert offer is not None
    tap = Tap(agent, site.running)
    send, agent._send = agent._send, lambda *_request: (_ for _ in ()).throw(OSError("cut"))  # type: ignore[method-assign]
    with pytest.raises(Exception, match="does not answer"):
        agent.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    made = agent._place._signing().headers("POST", f"{agent._base}/deploymentBase/{offer.action}/feedback", b"{}")
    tap.sent.append(("POST", f"{agent._base}/deploymentBase/{offer.action}/feedback", made.fields, b"{}"))
    agent._send = send  # type: ignore[method-assign]
    signs._open.clear()  # the terminal begins anew
    site.agent().check(site.world.says(OLD))
    assert tap.again(-1).status == 401
    with site.world.store.read() as db:
        assert actions.by_id(db, int(offer.action)).secured == 0
    agent.close()


def test_a_changed_body_path_method_or_question_is_refused(site: Site) -> None:
    site.enrol()
    site.enrol("t2", OTHER)
    agent = site.agent()
    agent.check(site.world.says(OLD))
    tap = Tap(agent, site.running)
    agent._send = lambda *request: (tap.sent.append(request), (_ for _ in ()).throw(OSError("cut")))  # type: ignore[method-assign]

    def caught() -> int:
        with pytest.raises(Exception, match="does not answer"):
            agent.check(site.world.says(OLD))
        return len(tap.sent) - 1

    assert tap.again(caught(), body=b'{"mode": "merge", "data": {}}').status == 401
    assert tap.again(caught(), target="/DEFAULT/controller/v1/t2/configData").status == 401
    assert tap.again(caught(), target="/DEFAULT/controller/v1/t1/configData?component=other").status == 401
    other = caught()
    digest = tap.sent[other][2]["Content-Digest"]
    assert tap.again(other, headers={"Content-Digest": digest.replace("sha-256", "sha-512")}).status == 401
    assert tap.again(caught()).status == 200  # as it was signed, once


def test_another_terminals_key_speaks_for_none_but_its_own(site: Site) -> None:
    site.enrol()
    site.enrol("t2", OTHER)
    with pytest.raises(RefusedError, match="token"):
        site.agent("t1", OTHER).check(site.world.says(OLD))
    site.agent("t2", OTHER).check(site.world.says(OLD))
    with pytest.raises(RefusedError):
        site.agent("t3", SEED).check(site.world.says(OLD))


def test_a_terminal_without_a_key_and_one_nobody_knows_are_refused_alike(site: Site) -> None:
    site.enrol(seed=None)
    said = []
    for name in ("t1", "nobody"):
        agent = site.agent(name)
        tap = Tap(agent, site.running)
        with pytest.raises(RefusedError):
            agent.check(site.world.says(OLD))
        answer = tap.again(0)
        said.append((answer.status, answer.body, answer.headers.get("accept-signature")))
    assert said[0] == said[1]
    assert said[0][0] == 401
    assert said[0][2] is None


def test_a_token_alone_passes_where_nothing_is_said_and_is_shown(site: Site) -> None:
    client = site.enrol()
    assert client.ask("GET", "").status == 200
    assert site.found().proof == "token"
    site.agent().check(site.world.says(OLD))
    assert site.found().proof == "signature"


def test_a_token_alone_is_refused_where_signatures_are_wanted(site: Site) -> None:
    client, plain = site.enrol(), site.enrol("t2", None)
    assert client.ask("GET", "").status == 200  # this answer may be kept
    site.rule("signed")
    answer = client.ask("GET", "")
    assert answer.status == 401
    assert b"NRT-335" in answer.body
    assert client.ask("POST", "/DEFAULT/neurath/v1/t1/heartbeat", bytes(12)).status == 401
    assert plain.ask("GET", "").status == 200  # it has no key to sign with
    site.rule("protected")
    assert client.ask("GET", "").status == 401
    assert plain.ask("GET", "").status == 401
    site.rule("token")
    assert client.ask("GET", "").status == 200


def test_a_heartbeat_whose_token_was_remembered_is_refused_from_the_moment_signatures_are_wanted(site: Site) -> None:
    client = site.enrol()
    path = "/DEFAULT/neurath/v1/t1/heartbeat"
    state = bytes.fromhex("00")
    first = [client.ask("POST", path, state).status for _ in range(3)]
    site.rule("signed")
    assert client.ask("POST", path, state).status == 401, first


def test_one_terminal_is_revoked_at_once_with_its_key_and_with_its_token(site: Site) -> None:
    client, agent = site.enrol(), site.agent()
    site.enrol("t2", OTHER)
    agent.check(site.world.says(OLD))
    with site.world.store.write() as db:
        signing.revoke(db, access.find(db, "t1"), 5.0, "stolen")
    with pytest.raises(RefusedError, match="token"):
        agent.check(site.world.says(OLD))
    assert client.ask("GET", "").status == 401
    with site.world.store.write() as db, pytest.raises(NothingToDo):
        signing.revoke(db, access.find(db, "t1"), 6.0)
    site.agent("t2", OTHER).check(site.world.says(OLD))
    with site.world.store.write() as db:
        signing.give(db, access.find(db, "t1"), keys.from_seed(bytes(32)).public, 7.0)
    site.agent("t1", bytes(32)).check(site.world.says(OLD))
    with pytest.raises(RefusedError):
        agent.check(site.world.says(OLD))


def test_one_key_is_one_terminals(site: Site) -> None:
    site.enrol()
    site.enrol("t2", None)
    with site.world.store.write() as db, pytest.raises(RefusedError, match="not t2's own"):
        signing.give(db, access.find(db, "t2"), keys.from_seed(SEED).public, 1.0)


def test_requests_that_overtake_each_other_are_each_taken_once(site: Site) -> None:
    site.enrol()
    number = site.found().n
    with site.world.store.write() as db:
        word = signing.taken(db, number, Fresh("0", 1))
        assert signing.taken(db, number, Fresh(word, 5)) == ""
        for told, good in (
            (7, True),
            (6, True),
            (6, False),
            (5, False),
            (1, True),
            (40, True),
            (8, False),
            (9, True),
            (9, False),
        ):
            assert (signing.taken(db, number, Fresh(word, told)) == "") is good, told
        assert signing.taken(db, number, Fresh("0", 99)) != ""


def test_a_number_that_another_server_takes_meanwhile_is_not_taken_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.enrol()
    number, kept = site.found().n, signing._kept
    with site.world.store.write() as db:
        word = signing.taken(db, number, Fresh("0", 1))
        assert not signing.taken(db, number, Fresh(word, 1))
        others = [""]

        def overtaken(db, terminal):  # beside one database: read, and then somebody else was first
            found = kept(db, terminal)
            if others:
                others.pop()
                assert not signing.taken(db, terminal, Fresh(word, 2))
            return found

        monkeypatch.setattr(signing, "_kept", overtaken)
        assert signing.taken(db, number, Fresh(word, 2))
        assert not signing.taken(db, number, Fresh(word, 3))


def test_many_threads_take_each_number_once(site: Site) -> None:
    site.enrol()
    number = site.found().n
    with site.world.store.write() as db:
        word = signing.taken(db, number, Fresh("0", 1))
        assert not signing.taken(db, number, Fresh(word, 1))
    good: list[int] = []

    def take(told: int) -> None:
        with site.world.store.write() as db:
            if not signing.taken(db, number, Fresh(word, told)):
                good.append(told)

    threads = [threading.Thread(target=take, args=(told,)) for told in [2, 3, 4, 5] * 4]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert sorted(good) == [2, 3, 4, 5]


def test_an_ear_signs_too(site: Site) -> None:
    site.enrol()
    site.rule("signed")
    heard = threading.Event()
    ear = Ear(site.agent()._place, heard.set)
    try:
        assert heard.wait(30)
    finally:
        ear.close()


def test_a_signature_that_is_none_is_said_and_nothing_breaks(site: Site) -> None:
    site.enrol()
    whole = 'neurath=("@method" "@path" "@query" "content-digest");nonce="x";tag="neurath"'
    for given in ("", "neurath", 'neurath=("@method");tag="other"', whole, "neurath=((", "a" * 5000, '="'):
        answer = Client(site.running.port).ask("GET", "", Signature_Input=given, Signature="neurath=:AAAA:")
        assert answer.status in (400, 401), given


def test_each_proof_is_enough_for_what_it_is_worth() -> None:
    passes = {rule: {p for p in Proof if links.enough(p, rule, has_key=True)} for rule in Rule}
    assert passes[Rule.TOKEN] == set(Proof)
    assert passes[Rule.PROTECTED] == {Proof.CERTIFICATE, Proof.OSCORE, Proof.NARROW, Proof.SIGNATURE}
    assert passes[Rule.SIGNED] == {Proof.CERTIFICATE, Proof.SIGNATURE}
    with pytest.raises(DataError):
        links.rule("none")


def test_an_agent_whose_setup_says_so_signs_and_shows_no_token(site: Site, tmp_path: Path) -> None:
    state = tmp_path / "state"
    site.enrol(seed=device_key(state))
    site.rule("signed")
    (tmp_path / "thing").write_bytes(b"old")
    text = f"""
        server = "http://127.0.0.1:{site.running.port}"
        id = "t1"
        model = "phone"
        token = "not to be shown"
        state = "state"
        sign = true
        notify = false
        push = false
        [[component]]
        name = "thing"
        installer = "file"
        path = "thing"
    """
    agent = compose(replace(setup_from_toml(text, tmp_path), once=True), lambda _kind, _fields: None)
    try:
        assert agent.run(once=True).code == 3  # nothing newer: it was let in
    finally:
        agent.close()
    assert site.found().proof == "signature"


def test_a_row_of_numbers_is_only_kept_of_who_signs(site: Site) -> None:
    site.enrol("t2", None).ask("GET", "")
    with site.world.store.read() as db:
        assert db.scalar(select(terminals.c.proof).where(terminals.c.id == "t2")) == ""


def test_the_page_of_links_says_of_each_proof_what_the_table_does() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/spec/links.md").read_text()
    said = {row[0]: row[1:] for row in (tuple(cell.strip() for cell in line[1:-1].split("|")) for line in page.splitlines()
            if line.startswith("| ")) if len(row) == 4 and row[0] in set(Proof)}  # fmt: skip
    assert said == {
        one.value: (worth.rests_on, "yes" if worth.whole and worth.fresh else "no", f"`{worth.rule.name.lower()}`")
        for one, worth in links.WORTH.items()
    }
    assert set(Proof) == set(links.WORTH)
