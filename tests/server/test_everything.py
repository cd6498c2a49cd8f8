"""Whatever the command line and the console can do the management plane can do, and its lists have pages that take as long
wherever they lie. Routes are asked as scripts ask them: without a browser, beside a running server."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from neurath.console.pages import Desk, routes
from neurath.server.access.paths import walked
from neurath.server.access.rights import FORMS, ROUTES, VERBS, of_verb
from neurath.server.access.roles import Role
from neurath.server.api import management
from neurath.server.fleet import progress
from neurath.server.fleet.progress import Key
from neurath.server.store.tables import component
from neurath.wire.keylist import Family
from neurath.wire.keys import fingerprint
from neurath.wire.report import Phase, Report, Verdict
from tests.server.world import image
from tests.wire.test_keylist import FIRST, RELEASE, ROOTS, A, B, signed

#: Verbs that have no route, each with what it does that no request could.
HERE_ONLY: dict[str, str] = {"backup create": "writes the server's own keys into a directory of this machine"}


@pytest.fixture
def api(world):
    return TestClient(management(world.store, world.delivery), raise_server_exceptions=True)


def test_every_verb_and_every_form_has_a_route_that_does_the_same(world):
    there = {f"{method} /api/v1{path}" for method, path in walked(management(world.store, world.delivery).routes)}
    assert {verb for verb, same in VERBS.items() if isinstance(same, Role)} == set(HERE_ONLY)
    for name, same in {**VERBS, **FORMS}.items():
        assert isinstance(same, Role) or same in there, f"{name}: no route {same}"
    forms = {f"POST {path}" for method, path in walked(routes(Desk(world.store, world.delivery.why))) if method == "POST"}
    assert forms == set(FORMS)


def test_a_verb_needs_the_role_that_its_route_needs():
    assert of_verb("rollout stop-all") is ROUTES["PUT /api/v1/stop"] is Role.OPERATOR
    assert of_verb("watch add") is Role.ADMIN  # it names a place on the server's own disk


def test_what_requests_may_hold_is_described_with_an_example(api):
    described = api.get("/openapi.json").json()["components"]["schemas"]
    asked = re.findall(r'"#/components/schemas/(\w+)"', str(api.get("/openapi.json").text))
    bare = []
    for name in set(asked):
        for field, said in described[name].get("properties", {}).items():
            kinds = [said, *said.get("anyOf", [])]
            speaks = {"enum", "const", "$ref", "format", "contentMediaType", "examples"}
            plain = any(speaks & set(one) or one.get("type") in ("boolean", "number", "integer") for one in kinds)
            if not plain and name not in ("HTTPValidationError", "ValidationError"):
                bare.append(f"{name}.{field}")
    assert sorted(bare) == []


def test_tenants_gateways_and_tags_by_requests_are_those_of_the_command_line(api, world):
    for name in ("t1", "t2"):
        assert api.post("/terminals", json={"id": name, "model": "phone", "place": "Osaka, hall 3"}).status_code == 201
    assert api.patch("/terminals/t1/tags", json={"add": ["field", "lab"]}).json()["tags"] == ["field", "lab"]
    assert api.patch("/terminals/t1/tags", json={"remove": ["lab"], "add": ["x y"]}).status_code == 422
    assert api.patch("/terminals/t1/tags", json={"remove": ["lab"]}).json()["tags"] == ["field"]
    assert [one["id"] for one in api.get("/terminals?target=tag:field").json()] == ["t1"]
    assert api.get("/terminals/t1").json()["place"] == "Osaka, hall 3"
    assert api.put("/terminals/t1/place", json={"place": "Kyoto"}).json()["place"] == "Kyoto"
    assert api.put("/terminals/t1/place", json={"place": "a\nb"}).status_code == 422

    changed = api.patch("/tenants/DEFAULT", json={"gateway_token": True, "authorities": ["AB" * 8], "model": "phone"}).json()
    assert (len(changed["token"]), changed["gateway"], changed["authorities"]) == (48, True, ["ab" * 8])
    assert "token" not in api.get("/tenants/DEFAULT").json()
    assert api.patch("/tenants/DEFAULT", json={"first_contact": False}).json()["model"] == "phone"  # the rest stays
    assert api.patch("/tenants/DEFAULT", json={"model": "absent"}).status_code == 404
    assert api.patch("/tenants/DEFAULT", json={"authorities": ["?"]}).status_code == 422

    made = api.post("/gateways", json={"name": "plant-7", "terminals": ["t1"]}).json()
    assert (len(made["token"]), made["terminals"]) == (48, 1)
    assert api.post("/gateways", json={"name": "plant-7"}).status_code == 409
    assert api.patch("/gateways/plant-7", json={"add": ["t2"], "remove": ["t1"]}).json()["terminals"] == 1
    assert api.get("/gateways/plant-7").json()["ids"] == ["t2"]
    assert api.patch("/gateways/plant-7", json={"add": ["absent"]}).status_code == 404
    assert api.post("/gateways/plant-7/revoke").json()["revoked"]
    assert [one["name"] for one in api.get("/gateways").json()] == ["plant-7"]


def test_folders_are_watched_and_left_by_requests(api, world, tmp_path):
    (tmp_path / "drop").mkdir()
    made = api.post("/folders", json={"path": str(tmp_path / "drop"), "model": "phone", "auto": True, "policy": "at-once"})
    assert (made.status_code, made.json()["policy"]) == (201, "at-once")
    assert api.get("/folders").json()[0]["files"] == []
    for wrong, status in (({"path": "drop"}, 400), ({"path": str(tmp_path / "absent")}, 404), ({"path": "/\0"}, 400)):
        assert api.post("/folders", json={"model": "phone"} | wrong).status_code == status
    number = made.json()["id"]
    assert api.delete(f"/folders/{number}").json()["path"] == str(tmp_path / "drop")
    assert api.delete(f"/folders/{number}").status_code == 404


def test_plain_models_come_by_requests_too(api):
    assert api.post("/models", json={"plain": "box", "compatible": ["Lab Board"]}).json()["compatible"] == ["Lab Board"]
    assert api.post("/models", json={"plain": "box"}).status_code == 409
    assert api.post("/models", json={}).status_code == 400
    assert api.get("/models").json() == ["box", "phone"]


def test_a_list_of_keys_comes_by_a_request_as_by_its_verb(api, world):
    ours = replace(FIRST, ticket=world.delivery.key.public, families=(Family(("phone",), (RELEASE.public,)),))
    raw = base64.b64encode(signed(ours, A, B)).decode()
    made = api.post("/key-lists", json={"signed": raw})
    assert (made.status_code, made.json()) == (201, {"version": 1, "root": ROOTS.digest.hex()})
    assert api.get("/models/phone").json()["release_keys"] == [fingerprint(RELEASE.public)]
    alone = base64.b64encode(signed(replace(ours, version=2), A)).decode()
    for wrong, status in ((raw, 409), (alone, 422), ("bm8=", 422), ("!", 422)):
        assert api.post("/key-lists", json={"signed": wrong}).status_code == status, wrong


def paged(api, path, limit):
    """Every line of a list, page by page as its links lead."""
    found, pages, url = [], 0, f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while url:
        answer = api.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        pages += 1
        url = answer.links.get("next", {}).get("url", "")
    return found, pages


def test_the_pages_of_each_list_are_the_whole_list_once(api, world):
    release = world.release("2", image(2), 2)
    names = [f"t{number:02}" for number in range(11)]
    for name in names:
        terminal = world.terminal(name)
        world.delivery.check(terminal, world.says(image(1)), world.now)
    world.start(release)
    for name in names:
        with world.store.read() as db:
            terminal = progress_terminal(db, name)
        world.delivery.check(terminal, world.says(image(1)), world.now)
    found, pages = paged(api, "/terminals", 4)
    assert ([one["id"] for one in found], pages) == (names, 3)
    for path in (f"/ledger?release={release.id}", "/ledger", "/ledger?since=1"):
        found, pages = paged(api, path, 4)
        assert (sorted(one["terminal"] for one in found), pages) == (names, 3)
    assert api.get("/ledger?after=x").status_code == 422
    for _ in range(5):
        api.post("/rollouts", json={"release": "phone/2"})
    found, pages = paged(api, "/rollouts", 4)
    assert ([one["id"] for one in found], pages) == ([6, 5, 4, 3, 2, 1], 2)


def progress_terminal(db, name):
    from neurath.server.fleet import access

    return access.find(db, name)


def test_the_work_list_names_who_wants_a_person_and_where_it_stands(api, world):
    release = world.release("2", image(2), 2)
    world.start(release)
    terminals = {name: world.terminal(name) for name in ("torn", "shows", "twin", "lost", "well")}
    for terminal in terminals.values():
        world.delivery.check(terminal, world.says(image(1)), world.now)
    for name, verdict in (("torn", Verdict.RESTORATION), ("lost", Verdict.FAILED)):
        with world.store.read() as db:
            line = progress.entry(db, Key(terminals[name].n, "firmware", release.id))
            action = world_action(db, line.action)
        world.delivery.reported(action, Report(str(action.id), Phase.FAILED, verdict, reason="cut"), world.now)
    with world.store.write() as db:
        from sqlalchemy import update

        from neurath.server.store.tables import ledger, terminal

        db.execute(update(ledger).where(ledger.c.terminal == terminals["lost"].n).values(tries=3))
        db.execute(update(terminal).where(terminal.c.n == terminals["twin"].n).values(twin=world.now))
        db.execute(update(component).where(component.c.terminal == terminals["shows"].n).values(state="restoring"))
        db.execute(update(terminal).where(terminal.c.n == terminals["shows"].n).values(attributes='{"location": "Nara"}'))
    api.put("/terminals/torn/place", json={"place": "Osaka, hall 3"})
    api.post("/gateways", json={"name": "plant-7", "terminals": ["twin"]})
    told = [(one["kind"], one["id"], one["place"], one["release"], one["reason"]) for one in paged(api, "/work", 1)[0]]
    assert told == [
        ("restoration", "shows", "Nara", "", ""),
        ("restoration", "torn", "Osaka, hall 3", "phone/2", "cut"),
    ]
    (twin,) = api.get("/work?kind=twin").json()
    assert (twin["id"], twin["place"], twin["since"]) == ("twin", "plant-7", world.now)
    (lost,) = api.get("/work?kind=failed").json()
    assert (lost["id"], lost["release"], lost["reason"]) == ("lost", "phone/2", "cut")
    assert api.get("/work?kind=other").status_code == 422


def world_action(db, number):
    from neurath.server.fleet import actions

    return actions.by_id(db, number)


def test_an_import_says_how_much_there_will_be(api):
    answer = api.post("/terminals/import", content="id,model,place\na1,phone,Osaka\na2,phone,\n")
    assert (answer.status_code, answer.headers["neurath-count"], len(answer.text.splitlines())) == (201, "2", 2)
    assert api.get("/terminals/a1").json()["place"] == "Osaka"
