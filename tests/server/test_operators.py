"""Who may do what: the table of rights held against every route and verb, set-up that closes itself, sessions, forms, tokens,
guesses. No handler runs in the walks: what the gate lets through is what counts."""

from __future__ import annotations

import argparse
import http.cookies
import re
import sqlite3
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from neurath.cli.main import VERBS as ALL_VERBS
from neurath.cli.main import Parser, main
from neurath.console.pages import Desk, routes
from neurath.errors import NeurathError, RefusedError
from neurath.server.access import people, sessions, throttle, tokens
from neurath.server.access.gate import Gate
from neurath.server.access.paths import Rights, walked
from neurath.server.access.people import Newcomer
from neurath.server.access.rights import ROUTES, STATION, VERBS
from neurath.server.access.roles import Actor, Role
from neurath.server.access.tokens import Asked
from neurath.server.api import management
from neurath.server.hawkbit_api import hawkbit
from neurath.server.hawkbit_asked import PREFIX
from neurath.server.metrics import Board
from neurath.server.operating import Figures, figures_route

#: What a browser takes.
PAGES = {"Accept": "text/html,*/*;q=0.8"}
PASSWORD = "seven words that nobody has said"
NOW = 1_795_000_000.0


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """argon2id with little memory: what is tested here is who gets in."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(people, "_hasher", lambda: PasswordHasher(1, 64, 1))
    people._of_nobody.cache_clear()


def parts(world):
    desk = Desk(world.store, world.delivery.why)
    managing = [Mount("/api/v1", management(world.store, world.delivery)), Mount(PREFIX, hawkbit(world.store))]
    return [*managing, *routes(desk)]


def browser(world, inside=None, scheme="http", host="127.0.0.1", client="127.0.0.1"):
    """A browser, or a script, before the whole of console and management (or before something that answers everything)."""
    every = parts(world)
    app = Gate(inside or Starlette(routes=every), world.store, Rights.of(every), "the-stations-token")
    return TestClient(app, base_url=f"{scheme}://{host}", client=(client, 50000), follow_redirects=False, headers=PAGES)


async def anything(scope, receive, send):
    await PlainTextResponse("let in")(scope, receive, send)


def admin(world, name="mila", role=Role.ADMIN):
    with world.store.write() as db:
        return people.add(db, Newcomer(name, role, PASSWORD), NOW)


def token(world, role, days=90, now=None):
    maker = Actor("", Role.ADMIN, "command")
    with world.store.write() as db:
        return tokens.add(db, Asked(f"t-{role.word}-{days}", role, days), maker, time.time() if now is None else now)


def filled(path):
    return re.sub(r"{[^}]+}", "1", path)


def test_every_route_has_a_role_and_every_role_a_route(world):
    figures = figures_route(Figures(world.store, Board()))
    assert {f"{method} {path}" for method, path in walked([*parts(world), figures])} == set(ROUTES)
    assert set(ROUTES) > STATION


def test_an_application_with_a_route_that_has_no_role_is_not_made(world):
    with pytest.raises(NeurathError, match="GET /new has no role"):
        Rights.of([*parts(world), Route("/new", anything)])


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.RELEASER, Role.ADMIN])
def test_each_route_lets_in_its_role_and_those_above_and_nobody_else(world, role):
    admin(world)
    client = browser(world, anything)
    shown = {"Authorization": f"Bearer {token(world, role)}"}
    for key, needed in ROUTES.items():
        method, path = key.split(" ")
        answer = client.request(method, filled(path), headers=shown)
        assert (answer.text == "let in") == (role >= needed), key
        if role < needed:
            assert answer.status_code == 403
            assert answer.json()["error"] == "NRT-361"
            assert answer.headers["content-type"] == "application/problem+json"


def test_whoever_is_not_let_in_gets_to_sign_in_and_nowhere_else(world):
    admin(world)
    client = browser(world, anything)
    for key, needed in ROUTES.items():
        method, path = key.split(" ")
        for shown in ({}, {"Authorization": "Bearer nrt_" + 43 * "x"}, {"Authorization": "Basic eDp5"}):
            answer = client.request(method, filled(path), headers=shown)
            if needed is Role.ANYONE and not shown:
                assert answer.text == "let in", key
            else:
                assert answer.status_code in (303, 401), key
    page = client.get("/matrix?model=hub")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?back=/matrix%3Fmodel%3Dhub")


def test_what_is_not_in_the_table_is_not_reached_without_being_let_in(world):
    admin(world)
    client = browser(world, anything)
    assert client.get("/api/v1/nothing").status_code == 401
    assert client.request("PATCH", "/api/v1/terminals").status_code == 401
    # Paths that a router might read otherwise than the table does.
    for path in ("/api/v1//terminals", "/api/v1/terminals/", "//people", "/api/v1/%6fperators", "/static/../people"):
        assert client.get(path).status_code in (303, 401, 200)
        assert client.get(path).text != "let in" or path.startswith("/static/")


def test_this_machine_may_do_everything_until_the_first_operator_and_then_nothing(world):
    here, there = browser(world), browser(world, host="updates.example", client="192.0.2.7")
    assert here.get("/api/v1/terminals").status_code == 200
    assert here.get("/sign-in").headers["location"] == "/set-up"
    assert there.get("/set-up").status_code == 403
    first = {"name": "mila", "password": PASSWORD, "csrf": proof(here, "/set-up")}
    assert there.post("/set-up", data=first).status_code == 403
    assert here.post("/set-up", data=first | {"password": "short"}).status_code == 422
    made = here.post("/set-up", data=first)
    assert (made.status_code, made.headers["location"]) == (303, "/")
    assert here.get("/api/v1/session").json() | {"csrf": ""} == {"name": "mila", "role": "admin", "way": "session", "csrf": ""}
    stranger = browser(world)
    assert stranger.get("/api/v1/terminals").status_code == 401
    assert stranger.get("/set-up").headers["location"] == "/sign-in"
    again = {"name": "mallory", "password": PASSWORD, "csrf": proof(stranger, "/sign-in")}
    assert stranger.post("/set-up", data=again).status_code == 409
    with world.store.read() as db:
        assert [one.name for one in people.everyone(db)] == ["mila"]


def test_the_first_operator_is_an_admin_and_the_last_admin_stays(world):
    with pytest.raises(RefusedError, match="first operator"), world.store.write() as db:
        people.add(db, Newcomer("mila", Role.VIEWER, PASSWORD), NOW)
    found = admin(world)
    acts = [people.remove, lambda db, one: people.disable(db, one, NOW), lambda db, one: people.set_role(db, one, Role.VIEWER)]
    for act in acts:
        with pytest.raises(RefusedError, match="last admin"), world.store.write() as db:
            act(db, found)
    admin(world, "second")
    with world.store.write() as db:
        people.remove(db, found)


def proof(client, page):
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
    assert found is not None
    return found[1]


def signed_in(world, **where):
    client = browser(world, **where)
    csrf = proof(client, "/sign-in")
    answer = client.post("/sign-in", data={"name": "mila", "password": PASSWORD, "csrf": csrf, "back": "/trickle"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/trickle")
    return client, answer


def test_signing_in_and_out(world):
    admin(world)
    client, answer = signed_in(world)
    cookie = http.cookies.SimpleCookie(answer.headers["set-cookie"])["neurath_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"], cookie["path"]) == (True, "Lax", "", "/")
    page = client.get("/")
    assert "mila" in page.text
    before = client.cookies["neurath_session"]
    assert client.post("/sign-out", data={"csrf": proof(client, "/")}).headers["location"] == "/sign-in"
    client.cookies.set("neurath_session", before)
    assert client.get("/").status_code == 303


def test_behind_tls_the_cookie_is_secure_and_without_it_nobody_elsewhere_signs_in(world):
    admin(world)
    _, answer = signed_in(world, scheme="https", host="updates.example", client="192.0.2.7")
    assert "; Secure" in answer.headers["set-cookie"]
    plain = browser(world, host="updates.example", client="192.0.2.7")
    assert plain.get("/sign-in").json()["error"] == "NRT-329"
    shown = {"Authorization": f"Bearer {token(world, Role.ADMIN)}"}
    assert plain.get("/api/v1/terminals", headers=shown).json()["error"] == "NRT-329"


def test_nobody_is_led_to_another_site_after_signing_in(world):
    admin(world)
    for back in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/\nx", 600 * "/a"):
        client = browser(world)
        fields = {"name": "mila", "password": PASSWORD, "csrf": proof(client, "/sign-in"), "back": back}
        assert client.post("/sign-in", data=fields).headers["location"] == "/"


def test_every_form_of_the_console_needs_the_proof_of_its_page(world):
    admin(world)
    client, _ = signed_in(world)
    forms = [path for key, path in (key.split(" ") for key in ROUTES) if key == "POST" and not path.startswith("/api/")]
    assert len(forms) >= 10
    for path in forms:
        for given in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
            files = {"image": ("a.bin", b"x")} if path == "/software" else None
            answer = client.post(filled(path), data={"name": "x"} | given, files=files)
            assert (answer.status_code, "NRT-331" in answer.text) == (403, True), path
        crossed = client.post(filled(path), data={"csrf": proof(client, "/people")}, headers={"Origin": "http://evil.example"})
        assert crossed.status_code == 403


def test_a_sessions_changes_through_the_api_need_its_proof_too(world):
    admin(world)
    client, _ = signed_in(world)
    body = {"text": "tag:field"}
    assert client.put("/api/v1/filters/f", json=body).json()["error"] == "NRT-331"
    assert client.put("/api/v1/filters/f", json=body, headers={"X-CSRF-Token": "0"}).status_code == 403
    csrf = client.get("/api/v1/session").json()["csrf"]
    assert client.put("/api/v1/filters/f", json=body, headers={"X-CSRF-Token": csrf}).status_code == 200


def test_sessions_end_unused_end_in_any_case_and_change_their_secret(world):
    found = admin(world)

    def alive(secret, at):
        with world.store.write() as db:
            one = sessions.find(db, secret, at)
            return (
                (None if one is None else sessions.used(db, one, secret, at) or secret) if one is None or one.due else secret
            )

    with world.store.write() as db:
        secret = sessions.begin(db, found, "127.0.0.1", NOW)
    assert alive(secret, NOW + sessions.IDLE + 1) is None
    assert alive(secret, NOW + 10) == secret
    renewed = alive(secret, NOW + sessions.ROTATE)
    assert renewed not in (None, secret)
    assert alive(secret, NOW + sessions.ROTATE + sessions.GRACE) is not None  # requests that cross each other
    assert alive(secret, NOW + sessions.ROTATE + sessions.GRACE + 1) is None
    at, current = NOW + sessions.ROTATE, renewed
    while at + sessions.ROTATE <= NOW + sessions.WHOLE:
        at += sessions.ROTATE
        current = alive(current, at)
        assert current is not None
    assert alive(current, NOW + sessions.WHOLE + 1) is None


def test_neither_password_nor_secret_nor_token_is_in_the_database(world):
    admin(world)
    client, _ = signed_in(world)
    given = token(world, Role.VIEWER)
    assert client.get("/api/v1/session").status_code == 200
    dump = "\n".join(sqlite3.connect(world.store.directory / "neurath.db").iterdump())
    for secret in (PASSWORD, client.cookies["neurath_session"], given, given[4:]):
        assert secret not in dump
    assert "$argon2id$" in dump


def test_the_usual_hash_is_argon2id_as_rfc_9106_has_it(monkeypatch):
    monkeypatch.undo()
    kept = people.hashed(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert people.right(kept, PASSWORD)
    assert not people.right(kept, PASSWORD + "x")
    assert not people.right("", PASSWORD)


def test_a_new_role_password_or_end_signs_an_operator_out(world):
    admin(world, "boss")
    for change in (
        lambda db, one: people.set_role(db, one, Role.VIEWER),
        lambda db, one: people.set_password(db, one, PASSWORD),
        lambda db, one: people.disable(db, one, NOW),
        people.remove,
    ):
        found = admin(world)
        client, _ = signed_in(world)
        with world.store.write() as db:
            change(db, found)
        assert client.get("/api/v1/session").status_code == 401
        with world.store.write() as db:
            if any(one.name == "mila" for one in people.everyone(db)):
                people.remove(db, people.find(db, "mila"))


def test_who_guesses_waits_and_does_not_lock_others_out(world):
    import asyncio

    from neurath.server.access.entry import Entry, Wrong

    admin(world)
    entry = Entry(world.store)
    for _ in range(throttle.FREE["pair"] + 1):
        with pytest.raises(Wrong):
            asyncio.run(entry.sign_in("mila", "wrong", "192.0.2.9"))
    with pytest.raises(throttle.TooMany) as caught:  # the right password does not help now
        asyncio.run(entry.sign_in("mila", PASSWORD, "192.0.2.9"))
    assert caught.value.wait >= 1
    assert asyncio.run(entry.sign_in("mila", PASSWORD, "192.0.2.10"))  # from elsewhere it does


def test_failed_sign_ins_are_in_the_audit_log_and_cannot_fill_it(world):
    import asyncio

    from neurath.server.access.entry import Entry, Wrong
    from neurath.server.store import audit

    admin(world)
    entry = Entry(world.store)
    for name in ("mila", "seven words that nobody"):
        with pytest.raises(Wrong):
            asyncio.run(entry.sign_in(name, "wrong", "192.0.2.9"))
    with world.store.read() as db:
        told = [(one.what, one.who, one.address) for one in audit.page(db)]
        assert not audit.verify(db).broken
    # What was typed in place of a name is kept only where it is one: it may be a password.
    assert told == [("sign in failed", "", "192.0.2.9"), ("sign in failed", "mila", "192.0.2.9")]
    with world.store.write() as db:
        told = [throttle.is_told(db, NOW) for _ in range(3000)]
    assert all(told[: throttle.TOLD])
    assert sum(told[throttle.TOLD :]) == 5  # 128, 256, 512, 1024, 2048
    with world.store.write() as db:
        assert throttle.is_told(db, NOW + throttle.FORGOTTEN)


def test_waits_grow_end_and_are_forgotten(world):
    def tries(name, address, at):
        try:
            with world.store.write() as db:
                throttle.begin(db, name, address, at)
        except throttle.TooMany as many:
            return many.wait
        return 0.0

    at, waited = NOW, []
    for _ in range(25):
        wait = tries("mila", "192.0.2.9", at)
        waited.append(wait)
        at += wait
        assert wait == 0 or tries("mila", "192.0.2.9", at) == 0
    grown = [wait for wait in waited if wait]
    assert grown == sorted(grown)
    assert grown[-1] == throttle.LONGEST
    assert tries("mila", "192.0.2.9", at + throttle.FORGOTTEN + 1) == 0
    # One address and many names: the address waits.
    assert any(tries(f"n{number}", "192.0.2.50", NOW) for number in range(throttle.FREE["from"] + 2))


def test_a_guess_over_http_is_401_and_then_429(world):
    admin(world)
    client = browser(world)
    body = {"name": "mila", "password": "wrong"}
    statuses = [client.post("/api/v1/session", json=body) for _ in range(throttle.FREE["pair"] + 2)]
    assert {one.status_code for one in statuses[:-1]} == {401}
    assert statuses[-1].status_code == 429
    assert int(statuses[-1].headers["retry-after"]) >= 1


def test_a_token_ends_by_time_by_word_and_with_its_maker(world):
    admin(world, "boss")
    maker = admin(world)
    client = browser(world)

    def status(given):
        return client.get("/api/v1/terminals", headers={"Authorization": f"Bearer {given}"}).status_code

    assert status(token(world, Role.VIEWER)) == 200
    assert status(token(world, Role.VIEWER, days=1, now=NOW - 10 * tokens.DAY)) == 401
    with world.store.write() as db:
        tokens.revoke(db, "t-viewer-90")
        given = tokens.add(db, Asked("of-mila", Role.ADMIN), people.actor(maker, "session", ""), time.time())
    assert status(given) == 200
    with world.store.write() as db:
        people.disable(db, maker, NOW)
    assert status(given) == 401


def test_nobody_makes_a_token_that_may_do_more_than_he(world):
    admin(world)
    with pytest.raises(RefusedError), world.store.write() as db:
        tokens.add(db, Asked("up", Role.ADMIN), Actor("x", Role.RELEASER, "session"), NOW)


def test_a_second_person_is_who_signed_in_not_who_is_named(world):
    """Approval: with operators, `by` in a request counts for nothing."""
    admin(world)
    client = browser(world)
    shown = {"Authorization": f"Bearer {token(world, Role.RELEASER)}"}
    client.put("/api/v1/stop", json={"by": "somebody else", "why": "drill"}, headers=shown)
    assert client.get("/api/v1/stop", headers=shown).json()["by"] == "t-releaser-90"


def test_operators_and_tokens_through_the_api_and_the_console(world):
    admin(world)
    client, _ = signed_in(world)
    csrf = {"X-CSRF-Token": client.get("/api/v1/session").json()["csrf"]}
    made = client.post("/api/v1/operators", json={"name": "otto", "role": "viewer", "password": PASSWORD}, headers=csrf)
    assert made.status_code == 201
    assert "password" not in {key for key, value in made.json().items() if value == PASSWORD}
    assert client.patch("/api/v1/operators/otto", json={"role": "operator"}, headers=csrf).json()["role"] == "operator"
    form = {"csrf": proof(client, "/people")}
    page = client.post("/people/tokens", data=form | {"name": "nightly", "role": "releaser", "days": "30"})
    shown = re.search(r"nrt_[A-Za-z0-9_-]{43}", page.text)
    assert (page.status_code, shown is not None) == (201, True)
    assert "nrt_" not in client.get("/people").text
    assert client.get("/api/v1/tokens").json()[0]["name"] == "nightly"
    assert client.post("/people/operators/change", data=form | {"name": "otto", "act": "remove"}).status_code == 303
    assert [one["name"] for one in client.get("/api/v1/operators").json()] == ["mila"]
    new = {"old": PASSWORD, "new": "another seven words of hers"}
    assert client.post("/people/password", data=form | new).status_code == 303
    assert client.get("/api/v1/session").json()["name"] == "mila"


def commands(parser):
    """Every `command` under a verb."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(action.choices)
    return []


#: Commands of such verbs that open no store.
STORELESS = {
    "delta apply",
    "delta create",
    "delta explain",
    "delta show",
    "delta sign",
    "key veil",
    "repository create",
    "repository add",
    "repository sign",
    "repository mirror",
    "model header",
    "backup show",
    "backup restore",
} | {f"key {one}" for one in ("create", "show", "delegate", "rotate", "revoke", "sign")}


def test_every_verb_that_opens_a_servers_store_has_a_role():
    import importlib
    import inspect

    found = set()
    for verb, (name, _) in ALL_VERBS.items():
        module = importlib.import_module(f"neurath.cli.{name}")
        parts = [module, *(found for found in vars(module).values() if inspect.ismodule(found) and verb in found.__name__)]
        if not any("data.store(" in inspect.getsource(part) for part in parts):
            continue
        parser = Parser(prog=verb)
        module.configure(parser)
        found |= {f"{verb} {command}" for command in commands(parser)}
    assert found - STORELESS == set(VERBS)


def test_a_command_that_was_given_a_token_may_do_what_the_token_may(world, monkeypatch, capsys):
    admin(world)
    where = ["--data", str(world.store.directory)]
    assert main(["terminal", "list", *where]) == 0
    monkeypatch.setenv("NEURATH_TOKEN", token(world, Role.VIEWER))
    assert main(["terminal", "list", *where]) == 0
    assert main(["rollout", "stop-all", *where]) == 5
    assert "NRT-361" in capsys.readouterr().err
    monkeypatch.setenv("NEURATH_TOKEN", "nrt_" + 43 * "x")
    assert main(["terminal", "list", *where]) == 5
