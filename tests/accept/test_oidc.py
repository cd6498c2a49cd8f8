"""A person signs in through a third-party OpenID Connect provider (npm oidc-provider): authorization code, PKCE, state and
nonce, from the first page to the session; and what must not be taken is not."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest

from neurath.errors import TrustError
from neurath.server.access import oidc, people
from neurath.server.access.oidc import Answer, Provider, Try
from neurath.server.access.people import Newcomer
from neurath.server.access.roles import Role
from neurath.sim.corpus import cache
from neurath.sim.processes import free_port
from tests.console.serving import served
from tests.parts import absent, need
from tests.server.world import open_world

PACKAGE = "oidc-provider@8.8.1"
PROVIDER = Path(__file__).with_name("provider.cjs")
SECRET = "a secret of the client's"

pytestmark = [pytest.mark.heavy, pytest.mark.network]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder in which node finds the provider: from the cache, or from its registry by npm, which runs no script of it."""
    folder = cache() / "npm" / PACKAGE.replace("@", "-")
    if not (folder / "node_modules/oidc-provider/lib/index.js").exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = [need("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            absent(f"{PACKAGE} could not be had: {(done.stderr.strip().splitlines() or ['npm failed'])[-1][:120]}")
    return folder


@pytest.fixture
def site(modules, tmp_path):
    """A console, and the provider that vouches for its operators."""
    world = open_world(tmp_path / "data")
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    with world.store.write() as db:
        people.add(db, Newcomer("boss", Role.ADMIN, "seven words that nobody has said"), time.time())
        oidc.keep(db, Provider(issuer, "neurath", SECRET, groups={"ops": "operator", "release-board": "releaser"}))
    with served(world.store) as console, contextlib.ExitStack() as ends:
        words = [need("node"), str(PROVIDER), str(modules), str(port), console + "oidc/callback", "all,ops"]
        process = ends.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        ends.callback(process.terminate)
        assert process.stdout is not None
        while "ready" not in (line := process.stdout.readline()):
            assert line, "the provider ended"
        yield world, console, issuer
    world.delivery.deltas.close()
    world.store.close()


class Person:
    """Somebody with a browser that follows where it is led and fills in the provider's forms."""

    def __init__(self, name="otto"):
        self.name = name
        self.client = httpx.Client(trust_env=False, timeout=30, follow_redirects=False)
        self.seen: list[str] = []

    def go(self, url, until="/oidc/callback?"):
        """Until an address that is not asked any more; gives that address, or the last page."""
        answer = self.client.get(url)
        for _ in range(20):
            self.seen.append(str(answer.url))
            if answer.is_redirect:
                place = urljoin(str(answer.url), answer.headers["location"])
                if until in place:
                    return place
                answer = self.client.get(place)
                continue
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            if form is None:
                return answer
            fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
            fields |= {"login": self.name, "password": "x"} if 'name="login"' in answer.text else {}
            answer = self.client.post(urljoin(str(answer.url), form[1]), data=fields)
        raise AssertionError(self.seen)


def test_a_person_signs_in_by_the_provider_and_has_the_role_of_his_group(site):
    world, console, issuer = site
    otto = Person()
    assert urlsplit(issuer).netloc in otto.client.get(console + "sign-in").text
    callback = otto.go(console + "oidc/start?back=/trickle")
    asked = parse_qs(urlsplit(next(one for one in otto.seen if "/auth?" in one)).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= set(asked)

    stranger = Person("mallory")  # the address of the answer, opened in another browser, signs nobody in
    assert stranger.client.get(callback).status_code == 422
    answer = otto.client.get(callback)
    assert (answer.status_code, answer.headers["location"]) == (303, "/trickle")
    assert "neurath_session" in otto.client.cookies
    assert "otto" in otto.client.get(console).text
    assert otto.client.get(callback).status_code == 422  # once
    with world.store.read() as db:
        found = people.find(db, "otto")
    assert (found.role, found.subject, found.password) == (Role.OPERATOR, f"{issuer} otto", False)


def test_what_the_provider_did_not_say_to_us_now_is_not_taken(site):
    world, console, issuer = site
    with world.store.read() as db:
        provider = oidc.find(db)
    assert provider is not None
    place = oidc.endpoints(provider)
    redirect = console + "oidc/callback"

    def code(made: Try) -> Answer:
        with world.store.write() as db:
            state, _ = oidc.begin(db, "/", time.time())
        came = Person().go(oidc.address(provider, place, state, made, redirect))
        query = parse_qs(urlsplit(came).query)
        assert query["state"] == [state]
        return Answer(query["code"][0], redirect, time.time())

    made = Try("n" * 32, "v" * 64, "/")
    assert oidc.person(provider, place, code(made), made).name == "otto"
    wrong = [
        (provider, replace(made, nonce="another nonce")),
        (provider, replace(made, verifier="w" * 64)),
        (replace(provider, secret="wrong"), made),
    ]
    for who, kept in wrong:
        with pytest.raises(TrustError):
            oidc.person(who, place, code(made), kept)
    late = replace(code(made), now=time.time() + 86400)
    with pytest.raises(TrustError) as caught:
        oidc.person(provider, place, late, made)
    assert "exp" in caught.value.why
    others = code(made)
    with pytest.raises(TrustError) as caught:
        oidc.person(replace(provider, groups={"board": "admin"}), place, others, made)
    assert "none of your groups" in caught.value.why
    with pytest.raises(TrustError) as caught:
        oidc.endpoints(replace(provider, issuer=issuer + "/"))
    assert "another issuer" in caught.value.why
    spent = code(made)
    assert oidc.person(provider, place, spent, made).name == "otto"
    with pytest.raises(TrustError):
        oidc.person(provider, place, spent, made)


def test_a_name_that_somebody_has_here_is_not_taken_over(site):
    _world, console, _ = site
    boss = Person("boss")
    callback = boss.go(console + "oidc/start")
    answer = boss.client.get(callback)
    assert answer.status_code == 409
    assert "neurath_session" not in boss.client.cookies


def test_an_error_of_the_provider_and_a_forged_answer_are_told_as_a_page(site):
    _, console, _ = site
    otto = Person()
    otto.client.get(console + "oidc/start")
    state = otto.client.cookies["neurath_oidc"]
    refused = otto.client.get(console + "oidc/callback?" + urlencode({"state": state, "error": "access_denied"}))
    assert (refused.status_code, "access_denied" in refused.text) == (422, True)
    for forged in ("", "state=x&code=y", "code=y"):
        assert otto.client.get(console + "oidc/callback?" + forged).status_code == 422
