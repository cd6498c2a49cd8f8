"""Everything that the management plane answers, asked once: a small fleet goes through a rollout, a halt and a way back while
people look. It knows in which order things can be asked so that each is answered; it must never answer itself."""

from __future__ import annotations

import base64
import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import update
from starlette.testclient import TestClient

from neurath import delta
from neurath.flash.geometry import model_to_toml
from neurath.ids import ModelName
from neurath.repository import roles
from neurath.server.access.roles import Role
from neurath.server.alerts.teller import Teller
from neurath.server.fleet import access, actions, rollout, waves
from neurath.server.software import catalog
from neurath.server.software.repository import load_key
from neurath.server.store.tables import component
from neurath.server.store.tables import rollout as rollouts
from neurath.wire import manifest
from neurath.wire import signed as signed_files
from neurath.wire.keylist import Family
from neurath.wire.keys import public_pem
from neurath.wire.report import Phase, Report, Verdict
from tests.cli.bad import recorded
from tests.server.schemas import app
from tests.server.test_operators import token
from tests.server.world import KEY, MODEL, World, image
from tests.wire.test_keylist import FIRST, RELEASE, A, B, signed

PASSWORD = "seven words that nobody has said"
#: Sequence of a release -> what its image holds; the way back is the first image again, signed anew.
IMAGES = {1: 1, 2: 2, 3: 1}


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: of which operation, with which status, media type and body; `asked`: the JSON that was sent."""

    key: str
    status: int
    media: str
    body: Any
    asked: Any = None


@dataclass
class Asker:
    """Asks, and keeps the answers of each operation, in order."""

    client: TestClient
    bearer: dict[str, str]
    paths: list[str]  # of the description, as it names them
    said: list[Said] = field(default_factory=list)

    def __call__(self, method: str, path: str, *, query: str = "", **more: Any) -> Any:
        more["headers"] = more.get("headers", self.bearer)
        answer = self.client.request(method, f"/api/v1{path}{query}", **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status_code == 204:  # nothing has neither kind nor length
            assert not {"content-type", "content-length"} & set(answer.headers), f"{method} {path}"
        body = answer.json() if media == "application/json" and answer.content else answer.content
        self.said.append(Said(f"{method} {self._named(path)}", answer.status_code, media, body, more.get("json")))
        return body

    def _named(self, path: str) -> str:
        """The path as the description has it: the longest that fits, those without a name in them first."""
        fit = [one for one in self.paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+(/[^/]+)?", one), path)]
        return min(fit, key=lambda one: (one.count("{"), -len(one)))


@contextmanager
def webhook() -> Iterator[str]:
    """Somebody who is told: takes whatever comes."""

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/neurath"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


@dataclass
class Story:
    """One fleet of phones; `folder` is a place that the server may look into."""

    world: World
    folder: Path
    hook: str = ""

    def tell(self) -> list[Said]:
        inside = app(self.world)
        with TestClient(inside, raise_server_exceptions=True) as client, webhook() as self.hook:
            bearer = {"Authorization": f"Bearer {token(self.world, Role.ADMIN, days=3650)}"}
            described = client.get("/api/v1/openapi.json", headers=bearer).json()
            ask = Asker(client, bearer, list(described["paths"]))
            for chapter in (self.people, self.software, self.terminals, self.rollout, self.halted):
                chapter(ask)
            for chapter in (self.back, self.sites, self.lives, self.afterwards, self.factory):
                chapter(ask)
            return ask.said

    # ---- chapters ------------------------------------------------------------------------------------------------------

    def people(self, ask: Asker) -> None:
        for name, role in (("mila", "admin"), ("ben", "releaser")):
            ask("POST", "/operators", json={"name": name, "role": role, "password": PASSWORD})
        ask("PATCH", "/operators/ben", json={"role": "operator"})
        ask("GET", "/operators")
        ask("DELETE", "/operators/ben")
        ask("POST", "/session", json={"name": "mila", "password": PASSWORD}, headers={"Origin": "http://127.0.0.1"})
        csrf = ask("GET", "/session", headers={})["csrf"]
        mine = {"X-CSRF-Token": csrf, "Origin": "http://127.0.0.1"}
        ask("PUT", "/session/password", json={"old": PASSWORD, "new": PASSWORD + " yet"}, headers=mine)
        mine |= {"X-CSRF-Token": ask("GET", "/session", headers={})["csrf"]}
        ask("DELETE", "/session", headers=mine)
        ask.client.cookies.clear()
        ask("POST", "/tokens", json={"name": "nightly-build", "role": "releaser", "days": 90})
        ask("GET", "/tokens")
        ask("DELETE", "/tokens/nightly-build")
        given = {"issuer": "https://id.example", "client": "neurath", "secret": "a word", "groups": {"board": "releaser"}}
        ask("PUT", "/oidc", json=given)
        ask("GET", "/oidc")

    def software(self, ask: Asker) -> None:
        gauge = replace(MODEL, name=ModelName("gauge"))
        keys = [public_pem(KEY.public).decode()]
        ask("POST", "/models", json={"toml": model_to_toml(gauge), "release_keys": keys})
        ask("GET", "/models")
        ask("GET", "/models/gauge")
        ask("GET", "/ticket-key")
        ours = replace(FIRST, ticket=self.world.delivery.key.public, families=(Family(("gauge",), (RELEASE.public,)),))
        ask("POST", "/key-lists", json={"signed": base64.b64encode(signed(ours, A, B)).decode()})
        for sequence, version in ((1, "1.4.0"), (2, "1.4.1")):
            self.upload(ask, sequence, version)
        ask("GET", "/releases")
        ask("POST", "/deltas", json={"model": "phone", "signed": self.signed_file("1.4.1")})
        ask("GET", "/releases/phone/1.4.1")
        ask("PUT", "/releases/phone/1.4.1/priority", json={"priority": 2})
        ask("PUT", "/releases/phone/1.4.1/channels", json={"channels": ["beta"]})

    def upload(self, ask: Asker, sequence: int, version: str) -> None:
        data = image(IMAGES[sequence])
        sealed = manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version=version), KEY)
        files = {"file": (f"phone-{version}.bin", data), "envelope": ("e", sealed)}
        ask("POST", "/releases", data={"model": "phone", "version": version}, files=files)

    def signed_file(self, version: str) -> str:
        with self.world.store.read() as db:
            release = catalog.find_release(db, f"phone/{version}")
        file = delta.full(self.world.store.files.verified(release.image).read_bytes(), MODEL.layout).data
        return base64.b64encode(signed_files.sign(file, bytes.fromhex(release.envelope_digest)[:16], KEY)).decode()

    def terminals(self, ask: Asker) -> None:
        ask("POST", "/terminals", json={"id": "T-0001", "model": "phone", "place": "Osaka, hall 3"})
        rows = "id,model,token,link,tenant,place\n" + "".join(f"T-000{n},phone,,,,Osaka\n" for n in (2, 3, 4, 5))
        ask("POST", "/terminals/import", content=rows)
        for n in (1, 2, 3):
            self.checks_in(f"T-000{n}")
        ask("PATCH", "/terminals/T-0001/tags", json={"add": ["field"]})
        ask("PUT", "/terminals/T-0001/place", json={"place": "Osaka, hall 3, row 12"})
        ask("PUT", "/terminals/T-0001/budget", json={"bytes": 20_000_000})
        ask("GET", "/terminals/T-0001/budget")
        ask("PUT", "/terminals/T-0001/veil", json={"veil": "device:" + 32 * "5a"})
        ask("PUT", "/terminals/T-0004/key", json={"key": "02" + 32 * "5a"})
        ask("POST", "/terminals/T-0004/revoke", json={"why": "lost"})
        for n in (1, 2, 3):
            ask("PUT", f"/terminals/T-000{n}/channel", json={"channel": "beta"})
        ask("PUT", "/filters/field", json={"text": "tag:field and not id:lab-*"})
        ask("GET", "/filters")
        ask("GET", "/terminals", query="?limit=2")

    def rollout(self, ask: Asker) -> None:
        made = ask("POST", "/rollouts", json={"release": "phone/1.4.1", "policy": "waves=50% go-on=90% halt=40% patience=1d"})
        number = made["id"]
        ask("POST", f"/rollouts/{number}/start")
        for command in ("pause", "resume"):
            ask("POST", f"/rollouts/{number}/{command}", json={"by": "mila", "why": "the line stands still today"})
        for n in (1, 2, 3):
            self.checks_in(f"T-000{n}")
        self.reports("T-0001", Phase.DOWNLOADING, done=3000)
        ask("GET", "/underway")
        ask("GET", "/matrix", query="?model=phone")
        ask("GET", f"/rollouts/{number}")
        ask("GET", "/rollouts")
        ask("GET", "/terminals/T-0001")
        ask("GET", "/terminals/T-0001/why")
        self.reports("T-0001", Phase.UPDATED, Verdict.CONFIRMED, bank=self.bank(2))
        ask("GET", "/terminals/T-0001/timeline")
        ask("GET", "/ledger")
        ask("POST", "/terminals/T-0002/remind", json={"text": "Please restart tonight"})
        ask("PUT", "/terminals/T-0004/pin", json={"release": "phone/1.4.1"})
        for name, command in (("ann", "approve"), ("ann", "deny")):
            draft = ask("POST", "/rollouts", json={"release": "phone/1.4.0", "policy": "at-once approve=yes"})
            ask("POST", f"/rollouts/{draft['id']}/start")
            with self.world.store.write() as db:  # it was somebody else who asked for it
                db.execute(update(rollouts).where(rollouts.c.id == draft["id"]).values(author=name))
            ask("POST", f"/rollouts/{draft['id']}/{command}", json={"why": "seen and tried"})
            ask("POST", f"/rollouts/{draft['id']}/abort")

    def halted(self, ask: Asker) -> None:
        ask("POST", "/alert-channels", json={"name": "on-call", "kind": "webhook", "url": self.hook})
        ask("POST", "/alert-channels/on-call/test")
        with self.world.store.write() as db:
            db.execute(update(rollouts).where(rollouts.c.id == 1).values(state="halted", why="wave 1: 2 of 3 failed"))
            db.execute(update(component).where(component.c.terminal == 3).values(state="restoring"))
        Teller(self.world.store, lambda *_: None).look(time.time())
        for path in ("/alerts", "/alerts/standing", "/alert-channels", "/work"):
            ask("GET", path)
        ask("DELETE", "/alert-channels/on-call")
        ask("POST", "/rollouts/1/retry", json={"by": "mila", "why": "the cell was down"})

    def back(self, ask: Asker) -> None:
        self.upload(ask, 3, "1.4.0-again-3")
        ask("POST", "/rollouts/1/back", json={"by": "mila", "why": "the screen stays dark"})
        for method in ("PUT", "GET", "DELETE"):
            ask(method, "/stop", **({"json": {"by": "mila", "why": "smoke in hall 3"}} if method == "PUT" else {}))
        ask("POST", "/releases/phone/1.4.1/revoke", json={"by": "mila", "why": "the screen stays dark"})

    def sites(self, ask: Asker) -> None:
        ask("PATCH", "/tenants/DEFAULT", json={"gateway_token": True, "first_contact": True, "model": "phone"})
        ask("GET", "/tenants/DEFAULT")
        ask("POST", "/gateways", json={"name": "plant-7", "terminals": ["T-0001"]})
        ask("PATCH", "/gateways/plant-7", json={"add": ["T-0002"]})
        ask("GET", "/gateways/plant-7")
        ask("GET", "/gateways")
        ask("POST", "/gateways/plant-7/revoke")
        self.folder.mkdir()
        ask("POST", "/folders", json={"path": str(self.folder), "model": "phone", "auto": True})
        ask("GET", "/folders")
        ask("DELETE", "/folders/1")

    def lives(self, ask: Asker) -> None:
        self.waits_for_a_word("T-0005")
        ask("POST", "/terminals/T-0005/confirmation", json={"confirmed": True, "why": "the line stands still today"})
        self.twin("T-0002")
        ask("POST", "/terminals/T-0002/one")
        ask("POST", "/terminals/T-0004/decommission", json={"why": "lost"})
        ask("POST", "/terminals/T-0004/recommission")
        ask("POST", "/terminals/T-0004/replace", json={"id": "T-9001"})
        ask("DELETE", "/filters/field")

    def repository(self, ask: Asker) -> None:
        online = load_key(self.world.store.directory)
        until, family = roles.in_days(365, time.time()), {("phone",): (KEY.public,)}
        made = [roles.root([A.public, B.public], online.public, until), roles.targets(family, online.public, until)]
        signed_twice = [roles.signed(roles.read(roles.signed(one, A)), B) for one in made]
        ask("POST", "/repository", json={"documents": [base64.b64encode(one).decode() for one in signed_twice]})
        ask("GET", "/repository/metadata/timestamp.json")

    def afterwards(self, ask: Asker) -> None:
        record = {"name": "9f86d081-1", "at": time.time(), "terminal": "T-0003", "verdict": "confirmed", "version": "1.4.0"}
        ask("POST", "/restorations", json=record | {"station": "bench-2"})
        ask("GET", "/restorations")
        self.repository(ask)
        stock = ask("GET", "/stock")
        ask("GET", f"/stock/files/{stock['releases'][0]['image']}")
        ask("GET", "/store")
        ask("POST", "/store/prune", json={"dry_run": True})
        head = ask("GET", "/audit/head")["head"]
        ask("GET", "/audit/verify", query=f"?head={head}")
        ask("GET", "/audit", query="?limit=2")
        ask("GET", "/audit/export")

    # ---- the part of the terminals -------------------------------------------------------------------------------------

    def factory(self, ask: Asker) -> None:
        ask("POST", "/terminals/enrolments", json={"records": recorded("T-0030", "phone").decode()})

    def bank(self, sequence: int) -> bytes:
        return self.world.says(image(IMAGES[sequence]), 1).bank

    def checks_in(self, name: str) -> None:
        with self.world.store.read() as db:
            found = access.find(db, name)
        self.world.delivery.heard(found, "http", "192.0.2.17", time.time())
        self.world.delivery.flush()
        self.world.delivery.check(found, self.world.says(image(1), 1, link=1200), time.time())

    def reports(self, name: str, phase: Phase, verdict: Verdict = Verdict.PENDING, **more: Any) -> None:
        with self.world.store.read() as db:
            (action,) = actions.current_actions(db, access.find(db, name).n)
        told = Report(str(action.id), phase, verdict, total=action.size, **({"done": action.size} | more))
        self.world.delivery.reported(action, told, time.time())

    def waits_for_a_word(self, name: str) -> None:
        with self.world.store.read() as db:
            found = access.find(db, name)
        self.world.delivery.check(found, self.world.says(image(1), 1), time.time())
        with self.world.store.write() as db:
            release = catalog.find_release(db, "phone/1.4.0-again-3")
            plan = rollout.Plan(release, [found], policy=waves.policy("at-once confirm=yes"))
            rollout.move(db, rollout.create(db, plan, time.time()).id, "start", time.time())
        self.world.delivery.check(found, self.world.says(image(2), 2), time.time())

    def twin(self, name: str) -> None:
        """Two devices that use one id: their nonces take turns."""
        with self.world.store.read() as db:
            found = access.find(db, name)
        for at, nonce in enumerate((b"first---", b"second--", b"first---", b"second--", b"first---")):
            self.world.delivery.check(found, self.world.says(image(1), 1, nonce=nonce), time.time() + at)
