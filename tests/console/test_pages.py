"""Pages and their JSON twins over HTTP: true figures, hostile words, empty states, uploads, both languages."""

from __future__ import annotations

import html
import importlib
import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient

from neurath.cli.main import VERBS, Parser
from neurath.console import charts, japanese, rollouts, shapes, sheet, terminal, words
from neurath.server.fleet import waves
from neurath.server.fleet.figures import State
from neurath.server.software.catalog import list_releases
from neurath.server.store import Store
from neurath.server.watch import folders
from neurath.server.watch.monitor import Watch
from neurath.server.watch.stillness import Stillness
from neurath.wire import manifest
from neurath.wire.report import Phase
from tests.console.fleet import KEY, Fleet, every_state, image
from tests.console.serving import proof, visitor

ROOT = Path(words.__file__).parent
NOW = 1_795_000_000.0


def test_what_waits_in_a_watched_folder_is_on_the_software_list_with_its_reason(tmp_path: Path) -> None:
    fleet = every_state(tmp_path / "fleet", time.time())
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "new<b>.bin").write_bytes(bytes(range(256)))
    with fleet.store.write() as db:
        folders.add(db, folders.Binding(folder, "dial", "firmware"), NOW)
        folders.add(db, folders.Binding(tmp_path / "gone", "dial", "other"), NOW)
    ticks = iter(range(100))
    watch = Watch(fleet.store, still=Stillness(lambda: float(next(ticks))))
    watch.look()
    watch.look()
    client = visitor(fleet.store, fleet.delivery.why)
    told = {one["name"]: one["note"] for one in client.get("/index.json").json()["waiting"]}
    assert told == {"": "No such file or directory", "new<b>.bin": "no envelope beside it (new<b>.bin.suit)"}
    page = client.get("/").text
    assert "In watched folders" in page
    assert "no envelope beside it (new&lt;b&gt;.bin.suit)" in page
    assert "監視フォルダー内" in client.get("/?lang=ja").text
    fleet.close()


def test_the_twin_tells_every_terminal_and_its_state(client: TestClient) -> None:
    told = client.get("/index.json").json()
    states = {line["id"]: line["state"] for line in told["lines"]}
    assert told["total"] == len(states) == 18
    assert set(states.values()) == {state.value for state in State} - {"older"}
    assert states["hub-workshop"] == "restoration"
    assert states["dial-07"] == "silent"
    assert states["dial-09"] == "unheard"
    assert sum(told["counts"].values()) == 18
    receiving = next(line for line in told["lines"] if line["id"] == "hub-10")
    assert (receiving["done"], receiving["size"], receiving["phase"]) == (5632, 13120, "downloading")
    assert receiving["left"] == pytest.approx((13120 - 5632) * 28 / 5632, rel=0.01)


def test_every_terminal_has_a_page_and_a_twin(client: TestClient) -> None:
    for line in client.get("/index.json").json()["lines"]:
        page = client.get(f"/terminals/{line['id']}")
        assert page.status_code == 200
        assert line["id"] in page.text
        twin = re.search(r'rel="alternate" type="application/json" href="([^"]+)"', page.text)
        assert twin
        assert client.get(f"/terminals/{twin[1]}").json()["line"]["id"] == line["id"]


def test_the_choice_of_delta_or_full_and_its_reason_are_on_the_page(client: TestClient) -> None:
    page = client.get("/terminals/hub-10").text
    assert "delta, 12.8 KiB instead of 232 KiB" in page
    assert "the full image would take 3 min, the limit is 60 s" in page


def test_an_absent_terminal_is_a_page_that_says_what_to_try(client: TestClient) -> None:
    page = client.get("/terminals/nobody")
    assert page.status_code == 404
    assert "neurath terminal list" in page.text
    told = client.get("/terminals/nobody/index.json")
    assert (told.status_code, told.json()["error"]) == (404, "NRT-133")


def test_the_matrix_of_a_model_and_its_twin_say_the_same(client: TestClient) -> None:
    page, twin = client.get("/matrix?model=primehub"), client.get("/matrix/index.json?model=primehub").json()
    assert page.status_code == 200
    (column,) = twin["matrix"]["columns"]
    assert f"{column['installed']} of {column['terminals']} run it" in page.text
    assert len(twin["matrix"]["rows"]) == page.text.count('<th scope="row">')
    for row in twin["matrix"]["rows"]:
        assert row["id"] in page.text
    marks = {mesh["mark"] for row in twin["matrix"]["rows"] for mesh in row["meshes"]}
    assert {"installed", "sending", "distributed", "failed"} <= marks
    assert client.get("/matrix").status_code == 200
    assert client.get("/matrix?model=nothing").status_code == 404
    assert "ソフトウェアと端末" in client.get("/matrix?model=primehub", headers={"Accept-Language": "ja"}).text


def test_hostile_words_of_a_terminal_stay_words(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    model = fleet.model("hub", 65536)
    old, new = fleet.release(model, "1.0", 1, 40_000), fleet.release(model, "1.1", 2, 40_100)
    evil = "<script>alert(1)</script><img src=//evil.test/x onerror=alert(2)>\"'{{7123*9}}"
    terminal = fleet.terminal("t1", "hub")
    fleet.shows(terminal, None, word=evil[:64])
    action = fleet.offered(terminal, new, old, 8192, ago=5)
    fleet.report(action, Phase.DOWNLOADING, done=1, reason=evil)
    client = visitor(fleet.store, lambda *_: evil)
    for path in ("/", "/terminals/t1", "/?q=" + evil, "/?lang=" + evil, "/terminals/" + evil.replace("/", "")):
        text = client.get(path).text
        assert text.count("<script") == 1, path
        assert "<img" not in text
        assert "64107" not in text
    fleet.close()


#: Every page there is but the one of a terminal and of a rollout, which are never empty.
PAGES = (*(path for path, _ in sheet.PAGES), "/matrix", "/keys", "/audit")


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_page_says_how_to_fill_it(path: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    text = visitor(store).get(path).text
    store.close()
    main = text[text.index("<main") :]
    shown = [shlex.split(line) for line in commands(main) if line.startswith("neurath ")]
    assert shown or 'class="empty"' in main
    for said in shown:
        verb = importlib.import_module(f"neurath.cli.{VERBS[said[1]][0]}")
        parser = Parser(prog=f"neurath {said[1]}")
        parser.set_defaults(verb=said[1])
        verb.configure(parser)
        if "--help" not in said:
            parser.parse_args(said[2:])  # UsageError: the page shows a command that is none


@pytest.mark.parametrize("path", [*PAGES, "/rollouts/1", "/terminals/hub-01"])
def test_every_page_has_its_twin_and_its_place(path: str, client: TestClient) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert page.text.count('aria-current="page"') == (
        2 if path in ("/software", "/matrix", "/people", "/keys", "/audit") else 1
    )
    link = re.search(r'rel="alternate" type="application/json" href="([^"]+)"', page.text)
    assert link
    told = client.get(urljoin(f"http://127.0.0.1{path}", html.unescape(link[1])))
    assert told.status_code == 200
    assert told.json()["now"] > NOW
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, path + ("" if path == "/" else "/") + "index.json").status_code in (404, 405)


def commands(page: str) -> list[str]:
    """The command lines a page shows, continued lines joined."""
    blocks = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
    return [line for block in blocks for line in html.unescape(block).replace("\\\n", " ").splitlines()]


def test_filters_and_words_narrow_the_list(client: TestClient) -> None:
    assert [x["id"] for x in client.get("/index.json?state=silent").json()["lines"]] == ["dial-07"]
    assert {x["model"] for x in client.get("/index.json?q=dial").json()["lines"]} == {"dial"}
    assert client.get("/index.json?q=%25").json()["found"] == 0
    assert client.get("/?q=nothing-like-it").text.count("No terminal matches.") == 1
    for odd in ("page=0", "page=-1", "page=99999999999", "page=x", "state=x", "q=" + "x" * 9999):
        assert client.get("/?" + odd).status_code == 200


def test_a_thousand_terminals_are_paged(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, time.time())
    fleet.model("hub", 65536)
    from neurath.server.fleet.access import Enrolment, register

    with fleet.store.write() as db:
        for n in range(1000):
            register(db, Enrolment(f"t{n:04}", "hub"), NOW)
    client = visitor(fleet.store)
    begin = time.monotonic()
    first, last = client.get("/").text, client.get("/?page=20").text
    assert time.monotonic() - begin < 5
    assert "1–50 of 1000" in first
    assert "951–1000 of 1000" in last
    assert "t0999" in last
    fleet.close()


def test_pages_allow_nothing_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_every_address_in_every_asset_is_relative() -> None:
    for path in ROOT.rglob("*.*"):
        if path.suffix in (".html", ".css", ".js", ".svg"):
            outside = re.findall(r"(?:https?:)?//[a-z][^\s\"')]*", re.sub(r"(?m)^\s*//.*$", "", path.read_text()))
            assert [x for x in outside if not x.startswith("http://www.w3.org/2000/svg")] == [], path


class TestUpload:
    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        found = Fleet(tmp_path, time.time())
        self.hub = found.model("hub", 65536)
        yield found
        found.close()

    def send(self, fleet: Fleet, data: bytes, envelope: bytes = b"", **headers: str) -> tuple[int, str]:
        client = visitor(fleet.store)
        files = {"image": ("fw.bin", data), "envelope": ("fw.env", envelope)}
        fields = {"model": "hub", "version": "2.0", "csrf": proof(client)}
        answer = client.post("/software", data=fields, files=files, headers=headers)
        return answer.status_code, answer.text

    def sealed(self, data: bytes) -> bytes:
        return manifest.sign(manifest.contents_of(data, self.hub, sequence=2, version="2.0"), KEY)

    def kept(self, fleet: Fleet) -> list[str]:
        with fleet.store.read() as db:
            return [f"{one.name} {bool(one.envelope)}" for one in list_releases(db)]

    def test_an_image_and_its_envelope_reach_the_catalog(self, fleet: Fleet) -> None:
        data = image("hub", "2.0", 9000)
        status, text = self.send(fleet, data, self.sealed(data), origin="http://127.0.0.1")
        assert (status, "hub/2.0" in text) == (201, True)
        assert self.kept(fleet) == ["hub/2.0 True"]
        assert self.send(fleet, data, self.sealed(data))[0] == 200  # the same again changes nothing

    def test_a_form_from_another_site_is_refused(self, fleet: Fleet) -> None:
        data = image("hub", "2.0", 9000)
        for headers in ({"origin": "http://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            status, _ = self.send(fleet, data, self.sealed(data), **headers)
            assert status == 403
        assert self.kept(fleet) == []

    def test_a_form_without_the_proof_of_its_page_is_refused(self, fleet: Fleet) -> None:
        data = image("hub", "2.0", 9000)
        client, other = visitor(fleet.store), visitor(fleet.store)
        files = {"image": ("fw.bin", data), "envelope": ("fw.env", self.sealed(data))}
        for given in ({}, {"csrf": ""}, {"csrf": proof(other)}):
            client.get("/")
            answer = client.post("/software", data={"model": "hub", "version": "2.0"} | given, files=files)
            assert answer.status_code == 403
        assert self.kept(fleet) == []

    def test_a_wrong_envelope_is_refused_in_three_lines(self, fleet: Fleet) -> None:
        status, text = self.send(fleet, image("hub", "2.0", 9000), self.sealed(b"another"))
        assert status == 422
        assert "<dt>why</dt>" in text
        assert "<dt>try</dt>" in text
        assert self.kept(fleet) == []

    def test_what_is_no_form_is_refused(self, fleet: Fleet) -> None:
        client = visitor(fleet.store)
        for body, kind in ((b"", "text/plain"), (b"x", "multipart/form-data"), (b"x", "multipart/form-data; boundary=b")):
            answer = client.post("/software", content=body, headers={"content-type": kind})
            assert answer.status_code == (403 if kind == "text/plain" else 422), kind  # no field, no proof
        assert client.post("/software", content=b"", headers={"content-length": "99999999999"}).status_code == 422


def test_every_word_the_console_says_is_there_in_japanese() -> None:
    said: set[str] = set()
    for path in (ROOT / "templates").glob("*.html"):
        said |= set(re.findall(r'\bt\("([^"]+)"', path.read_text()))
    for path in ROOT.glob("*.py"):
        said |= set(re.findall(r'\bt\(\s*"([^"]+)"', path.read_text()))
    for path in ROOT.glob("*.py"):
        said |= set(re.findall(r'(?:act|form)\(.*, "([A-Z][^"{]+)"\)', path.read_text()))
    said |= {word for _, word in sheet.PAGES} | {word for word, _ in rollouts.BUTTONS.values()} | set(shapes.ROLES)
    said |= set(shapes.RESCUE_WORDS.values()) | {word for _, _, word in charts.LAYERS}
    said |= {*terminal.REWRITES.values(), *terminal.UNKNOWN.values()} | {state.value for state in waves.State}
    said |= {*shapes.STATE_WORDS.values(), *shapes.PHASE_WORDS.values(), "running", "paused", "draft", "aborted", "confirmed"}
    assert sorted(said - set(japanese.JAPANESE)) == []
    for english, other in japanese.JAPANESE.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", other)), english


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "language"),
    [
        ("ja", "en", "en", "ja"),
        ("", "ja", "en", "ja"),
        ("", "", "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("", "", "de,en;q=0.5,ja;q=0.1", "en"),
        ("", "", "en;q=x,ja;q=0.1", "ja"),
        ("xx", "", "", "en"),
    ],
)
def test_the_language_is_asked_kept_or_accepted(asked: str, kept: str, accepted: str, language: str) -> None:
    assert words.choose(asked, kept, accepted) == language


def test_the_language_stays_when_it_was_chosen(fleet: Fleet) -> None:
    client = visitor(fleet.store)
    assert 'lang="ja"' in client.get("/?lang=ja").text.split("<head>")[0]
    assert 'lang="ja"' in client.get("/").text.split("<head>")[0]


def test_amounts_and_times_are_written_for_people() -> None:
    t = words.speaker("en")
    assert [words.amount(n) for n in (0, 1023, 1024, 237_920, 52_428_800)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "232 KiB",
        "50.0 MiB",
    ]
    assert [words.span(n, t) for n in (0.2, 99, 100, 7200, 200_000)] == ["0 s", "99 s", "2 min", "2 h", "2 days"]
    assert [words.ago(then, NOW, t) for then in (None, NOW, NOW - 30)] == ["never", "just now", "30 s ago"]
    assert words.moment(NOW) == "2026-11-18T11:06:40Z"


def test_the_twin_is_plain_json(client: TestClient) -> None:
    assert json.loads(client.get("/index.json").text)["now"] > NOW
