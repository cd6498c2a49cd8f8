"""hawkBit's management REST as it is served here and as it is read there: its shapes, who may read it, and terminals that move
from one server to another with tags, attributes and tokens."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
from pathlib import Path
from urllib.parse import unquote

import pytest

from neurath.cli.main import main
from neurath.server.access import tokens
from neurath.server.access.roles import Actor, Role
from neurath.server.access.tokens import Asked
from neurath.server.fleet import access
from neurath.server.store import Store
from tests.server.served import serve
from tests.server.test_http import Client, serving
from tests.server.world import image, open_world

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors/hawkbit.json").read_text())
FIELDS = VECTORS["fields"]
USER, WORD = "DEFAULT\\admin", "a word"


# ---- as it is served -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("hawkbit") / "data") as found:
        world = found.world
        for n in range(7):
            one = world.terminal(f"lab-{n}")
            with world.store.write() as db:
                access.tag(db, one, {"even" if n % 2 == 0 else "odd"}, set())
                access.configure(db, one, {"site": f"hall {n % 3}"}, world.now)
        world.terminal("plain", model=None)
        release = world.release("2.0", image(2), 2)
        world.release("3.0", image(3), 3)
        device = found.enrol("phone-1")
        with world.store.read() as db:
            world.start(release, access.find(db, "phone-1"))
        device.checks_in(world.says(image(1)))
        assert device.link("deploymentBase")
        yield found


def get(running, path, status=200, **headers):
    got = Client(running.port).ask("GET", f"/rest/v1/{path}", **headers)
    assert got.status == status, got.body
    return got.json if got.body else None


def ids(page):
    return [one["controllerId"] for one in page["content"]]


def test_a_page_of_targets_has_hawkbits_shape(running):
    page = get(running, "targets?limit=3&offset=2&sort=controllerId:ASC")
    assert list(page) == FIELDS["page"]
    assert (page["total"], page["size"]) == (9, 3)
    assert ids(page) == ["lab-2", "lab-3", "lab-4"]
    assert set(FIELDS["target"]) <= set(page["content"][0])
    link = page["content"][0]["_links"]["self"]["href"]
    assert link == f"http://127.0.0.1:{running.port}/rest/v1/targets/lab-2"
    assert ids(get(running, "targets?sort=name:DESC&limit=1")) == ["plain"]
    assert get(running, "targets?limit=0")["size"] == 9  # hawkBit's usual page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("controllerId==lab-*;tag==odd", ["lab-1", "lab-3", "lab-5"]),
        ("controllerId==lab-1,name==plain", ["lab-1", "plain"]),
        ("attribute.site=='hall 2'", ["lab-2", "lab-5"]),
        ("targettype.name!=phone", ["plain"]),
        ("name==lab-?", []),
    ],
)
def test_targets_are_asked_for_as_hawkbits_users_do(running, query, found):
    assert ids(get(running, f"targets?q={query.replace(' ', '%20')}")) == found


def test_one_target_says_what_it_was_given_and_its_actions(running):
    assert get(running, "targets/phone-1")["updateStatus"] == "pending"
    assert get(running, "targets/lab-1")["updateStatus"] == "unknown"
    assert get(running, "targets/lab-1/attributes") == {"site": "hall 1"}
    assert get(running, "targets/lab-1/tags") == [{"name": "odd"}]
    assert get(running, "targets/plain/attributes", 204) is None
    assert get(running, "targets/plain/assignedDS", 204) is None
    assert get(running, "targets/phone-1/installedDS", 204) is None
    assert get(running, "targets/phone-1/assignedDS")["version"] == "2.0"
    (action,) = get(running, "targets/phone-1/actions")["content"]
    assert (action["type"], action["status"], action["detailStatus"], action["rollout"]) == ("update", "pending", "running", 1)
    assert get(running, f"targets/phone-1/actions/{action['id']}") == action
    assert get(running, f"targets/lab-1/actions/{action['id']}", 404)["errorCode"]


def test_releases_are_distribution_sets_and_rollouts_rollouts(running):
    page = get(running, "distributionsets?q=version==2*")
    (found,) = page["content"]
    assert page["total"] == 1
    assert set(FIELDS["set"]) <= set(found)
    assert (found["name"], found["version"], found["modules"][0]["name"]) == ("phone", "2.0", "firmware")
    assert get(running, f"distributionsets/{found['id']}") == found
    assert get(running, f"distributionsets/{found['id']}/assignedSM")["content"] == found["modules"]
    assert [one["version"] for one in get(running, "distributionsets?sort=version:DESC")["content"]] == ["3.0", "2.0"]
    (one,) = get(running, "rollouts?q=status==running")["content"]
    assert set(FIELDS["rollout"]) <= set(one)
    assert one["distributionSetId"] == found["id"]
    whole = get(running, "rollouts/1")
    assert whole["totalTargetsPerStatus"] == {"finished": 0, "error": 0, "notstarted": 0, "running": 1}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("targets/absent", 404, "hawkbit.server.error.repo.entitiyNotFound"),
        ("targets/absent/attributes", 404, "hawkbit.server.error.repo.entitiyNotFound"),
        ("distributionsets/99", 404, "hawkbit.server.error.repo.entitiyNotFound"),
        ("distributionsets/phone", 404, "hawkbit.server.error.repo.entitiyNotFound"),
        ("rollouts/99", 404, "hawkbit.server.error.repo.entitiyNotFound"),
        ("targets?q=name", 400, "hawkbit.server.error.rest.param.rsqlParamSyntax"),
        ("targets?q=colour==red", 400, "hawkbit.server.error.rest.param.rsqlInvalidField"),
        ("distributionsets?q=colour==red", 400, "hawkbit.server.error.rest.param.rsqlInvalidField"),
        ("targets?sort=name", 400, "hawkbit.server.error.rest.param.sortParamSyntax"),
    ],
)
def test_what_is_wrong_is_said_in_hawkbits_shape(running, path, status, code):
    said = get(running, path, status)
    assert list(said) == FIELDS["error"]
    assert said["errorCode"] == code


def test_nothing_can_be_changed_through_it(running):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert Client(running.port).ask(method, "/rest/v1/targets/lab-1", {}).status == 405


def test_a_token_is_the_password_of_hawkbits_tools_and_of_nothing_else(tmp_path):
    with serving(tmp_path / "data") as running:
        with running.world.store.write() as db:
            token = tokens.add(db, Asked("tool", Role.VIEWER), Actor("", Role.ADMIN, "command"), running.world.now)
        assert main(["operator", "add", "mila", "--role", "admin", "--data", str(tmp_path / "data"), *password(tmp_path)]) == 0
        basic = "Basic " + base64.b64encode(f"tool:{token}".encode()).decode()
        assert get(running, "targets", Authorization=basic)["total"] == 0
        assert get(running, "targets", Authorization=f"Bearer {token}")["total"] == 0
        for wrong in ("Basic " + base64.b64encode(b"tool:nrt_x").decode(), "Basic !", "Basic", ""):
            got = Client(running.port).ask("GET", "/rest/v1/targets", **({"Authorization": wrong} if wrong else {}))
            assert (got.status, got.headers["www-authenticate"][:5]) == (401, "Basic")
        # A browser would send it by itself, wherever a page of another site led it.
        assert Client(running.port).ask("GET", "/api/v1/terminals", Authorization=basic).status == 401


def password(folder, word="seven words that nobody has said"):
    (folder / "word").write_text(f"{word}\n")
    return ["--password-file", str(folder / "word")]


# ---- as it is read -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def recorded(answers, word=WORD):
    """A hawkBit that says what was written down, to whoever has the word."""

    class Recorded(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = base64.b64encode(f"{USER}:{word}".encode()).decode()
            path = unquote(self.path.partition("?")[0]).removeprefix("/rest/v1/")
            status = 401 if self.headers.get("Authorization") != f"Basic {known}" else 200 if path in answers else 404
            said = answers.get(path, {"errorCode": "hawkbit.server.error.repo.entitiyNotFound", "message": "no"})
            body = b"" if said is None or status == 401 else said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(204 if said is None and status == 200 else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(capsys, folder, url, *words):
    """Exit code, the lines of stdout as JSON, stderr."""
    line = [
        "import",
        "hawkbit",
        url,
        "--user",
        USER,
        *password(folder, WORD),
        "--data",
        str(folder / "data"),
        "--json",
        *words,
    ]
    code = main(line)
    told = capsys.readouterr()
    return code, [json.loads(one) for one in told.out.splitlines()], told.err


@pytest.fixture
def here(tmp_path):
    world = open_world(tmp_path / "data")
    assert main(["model", "add", "--plain", "pump", "--data", str(tmp_path / "data")]) == 0
    yield world
    world.delivery.deltas.close()
    world.store.close()


def terminals(store):
    with store.read() as db:
        return access.all_terminals(db)


def test_a_recorded_hawkbit_moves_over_with_tokens_tags_and_attributes(tmp_path, here, capsys):
    with recorded(VECTORS["answers"]) as url:
        code, said, _ = run(capsys, tmp_path, url, "--dry-run")
        assert code == 1
        assert not terminals(here.store)
        code, said, _ = run(capsys, tmp_path, url, "--tag", "moved")
        assert code == 1
        first, second = terminals(here.store)
        assert (first.id, first.model, first.tags, first.place) == (
            "pump-1",
            "pump",
            ("Europe-East", "moved"),
            "hall 3, row 12",
        )
        assert (first.attributes, first.address) == ({"VIN": "JH4TB2H26CC000000", "hwRevision": "2"}, "192.0.2.1")
        assert (second.id, second.model, second.tags) == ("pump-2", None, ("moved",))
        given = {one["id"]: one["token"] for one in said if "token" in one}
        assert given["pump-1"] == ""
        assert len(given["pump-2"]) == 48
        with here.store.read() as db:
            assert access.admit(db, "DEFAULT", "pump-1", "TargetToken 949f1c3487125467464a960d750373c1").id == "pump-1"
        assert [one["left_out"] for one in said if "left_out" in one] == ["pump 3"]
        (software,) = [one for one in said if "distribution_set" in one]
        assert software["modules"] == [{"name": "Firmware", "version": "1.0.42", "type": "os"}]
        assert software["assigned"] == 2
        assert [one["rollout"]["status"] for one in said if "rollout" in one] == ["running"]
        assert {"task": "read", "done": 3, "total": 3}.items() <= [one for one in said if one.get("task") == "read"][
            -1
        ].items()
        # Again: nothing is changed, no token is given anew.
        code, said, _ = run(capsys, tmp_path, url, "--tag", "again")
        assert [one.tags for one in terminals(here.store)] == [("Europe-East", "moved"), ("moved",)]
        assert not [one for one in said if one.get("token")]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"targets": b"<html>"}, 1),
        ({"targets": {"error": "no list"}}, 1),
        ({}, 4),
        (VECTORS["answers"] | {"targets/pump-1/attributes": b"\xff"}, 1),
    ],
)
def test_what_is_no_hawkbit_changes_nothing_and_says_so(tmp_path, here, capsys, answers, code):
    with recorded(answers) as url:
        got, _, err = run(capsys, tmp_path, url)
    assert got == code
    assert {"what", "why", "try"} <= set(json.loads(err))
    assert not terminals(here.store)


def test_a_wrong_password_is_refused_and_a_dead_server_is_unreachable(tmp_path, here, capsys):
    with recorded(VECTORS["answers"], word="another") as url:
        assert run(capsys, tmp_path, url)[0] == 5
    assert run(capsys, tmp_path, url)[0] == 6
    assert run(capsys, tmp_path, "hawkbit.example")[0] == 2


def test_a_list_longer_than_a_page_comes_whole_and_once(running, tmp_path, here, capsys, monkeypatch):
    from neurath.server.fleet import hawkbit

    monkeypatch.setattr(hawkbit, "PAGE", 4)
    code, _, err = run(capsys, tmp_path, f"http://127.0.0.1:{running.port}")
    assert code == 0, err
    there = [one.id for one in terminals(running.world.store)]
    assert len(there) > 2 * hawkbit.PAGE
    assert [one.id for one in terminals(here.store)] == there


def test_a_second_server_ends_with_the_terminals_of_the_first(tmp_path, here, capsys):
    first = open_world(tmp_path / "first")
    for n in range(5):
        one = first.terminal(f"t-{n}", model="phone" if n else None)
        with first.store.write() as db:
            access.tag(db, one, {f"row-{n % 2}"}, set())
            access.configure(db, one, {"site": "Osaka", "n": str(n)}, 5.0)
            access.put_at(db, one, f"hall {n}")
    first.delivery.deltas.close()
    first.store.close()
    with serve(tmp_path / "first") as there:
        url = f"http://127.0.0.1:{there.port}"
        assert run(capsys, tmp_path, url)[0] == 0
        assert run(capsys, tmp_path, url)[0] == 3
    opened = Store(tmp_path / "first")
    told = [
        [(one.id, one.model, one.tags, one.attributes, one.place) for one in terminals(each)] for each in (opened, here.store)
    ]
    opened.close()
    assert told[0] == told[1]
    assert len(told[0]) == 5
