"""A fleet in every state, made through the server's own ledger, for the console's tests and the pictures in the documents."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import Floor, ModelName
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.sightings import Sighting
from neurath.server.delivery.tickets import load_key
from neurath.server.fleet import access, actions, progress, rollout, waves
from neurath.server.fleet.access import Enrolment, Terminal
from neurath.server.fleet.actions import Action, Draft
from neurath.server.software import catalog
from neurath.server.software.catalog import Release, Upload
from neurath.server.software.deltas import Deltas
from neurath.server.software.models import add_model, add_plain_model, list_models
from neurath.server.store import Store
from neurath.server.store.sql import upsert
from neurath.server.store.tables import delta as deltas
from neurath.wire import keys, manifest
from neurath.wire.check import Check
from neurath.wire.report import Phase, Report, Verdict

KEY = keys.from_seed(bytes(range(32)))


def image(model: str, version: str, size: int) -> bytes:
    """Deterministic bytes: versions of a model share most of their sectors."""
    body = bytearray(random.Random(model).randbytes(size))
    source = random.Random(f"{model} {version}")
    for _ in range(size // 9000):
        at = source.randrange(size - 300)
        body[at : at + 260] = source.randbytes(260)
    return bytes(body)


@dataclass
class Fleet:
    """The store of one pretended server at one pretended moment."""

    directory: Path
    now: float

    def __post_init__(self) -> None:
        self.store = Store(self.directory)
        self.delivery = Delivery(self.store, Deltas(self.store), load_key(self.directory), lambda *_: 20_000)

    def model(self, name: str, room: int) -> Model:
        made = Model(ModelName(name), simple_layout(room), ram=96 * 1024)
        with self.store.write() as db:
            add_model(db, model_to_toml(made), [keys.public_pem(KEY.public).decode()], self.now - 9e5)
        return made

    def release(self, model: Model, version: str, sequence: int, size: int) -> Release:
        data = image(model.name, version, size)
        sealed = manifest.sign(manifest.contents_of(data, model, sequence=sequence, version=version), KEY)
        upload = Upload(data=data, model=model.name, version=version, filename=f"{model.name}-{version}.bin", envelope=sealed)
        return catalog.add(self.store, upload, self.now - 8e5 + sequence)

    def package(self, model: str, version: str) -> Release:
        with self.store.write() as db:
            if model not in list_models(db):
                add_plain_model(db, model, self.now)
        return catalog.add(
            self.store, Upload(data=version.encode() * 9000, model=model, version=version, kind="swu"), self.now
        )

    def terminal(self, name: str, model: str | None, *, heard: float | None = 5.0) -> Terminal:
        with self.store.write() as db:
            access.register(db, Enrolment(name, model), self.now - 7e5)
            found = access.find(db, name)
        if heard is not None:
            self.delivery.sightings.note(found.n, Sighting("http", "192.0.2.17", self.now - heard))
            self.delivery.flush()
        return found

    def shows(
        self, terminal: Terminal, release: Release | None, *, ago: float = 5.0, word: str = "", state: str = "idle"
    ) -> None:
        """A check-in: the bank holds this release, confirmed (None: something nobody knows)."""
        bank = bytes.fromhex(release.image) if release else hashlib.sha256(terminal.id.encode()).digest()
        check = Check(
            model=ModelName(terminal.model or "?"),
            bank=bank,
            bank_size=release.size if release else 1000,
            ram=96 * 1024,
            nonce=bytes(8),
            floor=Floor(release.epoch, release.sequence) if release else Floor(0, 0),
            version=word or (release.version if release else ""),
            link=1200,
            state=state,
        )
        self.delivery.record(terminal, check, self.now - ago)

    def offered(
        self, terminal: Terminal, release: Release, base: Release, size: int, *, ago: float, kind: str = "delta"
    ) -> Action:
        draft = Draft(terminal.n, "firmware", release.id, None, kind, release.image, size, 20_000, base.image)
        with self.store.write() as db:
            if kind == "delta":
                self._built(db, base, release, size)
            action = actions.open_action(db, draft, self.now - ago)
            actions.fetched(db, action, self.now - ago)
            progress.offered(db, action, self.now - ago)
        return action

    def _built(self, db: Connection, old: Release, new: Release, size: int) -> None:
        """As if the files between two releases had been built."""
        for base, bytes_, workspace, sectors in ((old.image, size, 18_000, 41), ("", new.size - 2048, 12_000, 58)):
            row = {"old": base, "new": new.image, "layout": "x", "profile": 2, "file": new.image, "size": bytes_}
            row |= {"workspace": workspace, "sectors": sectors, "built": self.now}
            db.execute(upsert(deltas).values(**row).on_conflict_do_nothing())

    def report(self, action: Action, phase: Phase, *, done: int = 0, ago: float = 1.0, reason: str = "") -> None:
        self._report(action, Report(str(action.id), phase, done=done, total=action.size, reason=reason), ago)

    def verdict(self, action: Action, verdict: Verdict, *, reason: str = "", ago: float = 1.0) -> None:
        phase = {Verdict.CONFIRMED: Phase.UPDATED, Verdict.RESTORATION: Phase.RESTORING}.get(verdict, Phase.FAILED)
        with self.store.read() as db:
            bank = catalog.find_release(db, str(action.release)).image if verdict is Verdict.CONFIRMED else ""
        told = Report(str(action.id), phase, verdict, action.size, action.size, bank=bytes.fromhex(bank), reason=reason)
        self._report(action, told, ago)

    def _report(self, action: Action, report: Report, ago: float) -> None:
        self.delivery.reported(action, report, self.now - ago)

    def close(self) -> None:
        self.delivery.deltas.close()
        self.store.close()


def every_state(directory: Path, now: float) -> Fleet:
    """At least one terminal in each state the console knows."""
    fleet = Fleet(directory, now)
    hub, dial = fleet.model("primehub", 256 * 1024), fleet.model("dial", 64 * 1024)
    old, new = fleet.release(hub, "3.4.0", 7, 236_412), fleet.release(hub, "3.5.0", 8, 237_920)
    small, smaller = fleet.release(dial, "1.9.2", 21, 41_200), fleet.release(dial, "1.8.0", 20, 40_960)
    router = fleet.package("router", "2026.11")
    with fleet.store.write() as db:
        policy = waves.policy("waves=90% go-on=90% halt=25% patience=1d")
        made = rollout.create(db, rollout.Plan(new, None, policy=policy), now - 400)
        second = rollout.create(db, rollout.Plan(small, None), now - 90_000)
        rollout.move(db, second.id, "start", now - 90_000)
    for index in range(4):
        done = fleet.terminal(f"hub-0{index + 1}", "primehub", heard=3.0 + 7 * index)
        fleet.shows(done, old, ago=300)
        action = fleet.offered(done, new, old, 13_120, ago=290)
        for phase, ago in ((Phase.DOWNLOADING, 280), (Phase.DOWNLOADED, 240), (Phase.UPDATING, 230), (Phase.JUDGING, 215)):
            fleet.report(action, phase, done=13_120, ago=ago - 6 * index)
        fleet.verdict(action, Verdict.CONFIRMED, ago=200 - 6 * index)
        fleet.shows(done, new, ago=3.0 + 7 * index)
    steps = (Phase.DOWNLOADING, Phase.DOWNLOADED, Phase.UPDATING, Phase.JUDGING)
    for index in range(len(steps)):
        busy = fleet.terminal(f"hub-1{index}", "primehub", heard=1.0 + index)
        fleet.shows(busy, old, ago=60)
        action = fleet.offered(busy, new, old, 13_120, ago=50)
        for phase in steps[: index + 1]:
            fleet.report(action, phase, done=900 if phase is Phase.DOWNLOADING else 13_120, ago=30 - 8 * index)
        if index == 0:
            fleet.report(action, Phase.DOWNLOADING, done=5_632, ago=2)
    asked = fleet.terminal("hub-recorder", "primehub", heard=41)
    fleet.shows(asked, old, ago=41)
    action = fleet.offered(asked, new, old, 13_120, ago=120)
    fleet.report(action, Phase.WAITING_FOR_USER, done=13_120, ago=41, reason="in use: recorder; asked 2 minutes ago")
    torn = fleet.terminal("hub-workshop", "primehub", heard=640)
    fleet.shows(torn, old, ago=700)
    action = fleet.offered(torn, new, old, 13_120, ago=690)
    fleet.report(action, Phase.UPDATING, done=13_120, ago=660)
    fleet.verdict(action, Verdict.RESTORATION, ago=640, reason="first boot not confirmed in 3 tries")
    refused = fleet.terminal("hub-meter", "primehub", heard=75)
    fleet.shows(refused, old, ago=75)
    action = fleet.offered(refused, new, old, 13_120, ago=90)
    fleet.verdict(action, Verdict.REFUSED, ago=80, reason="battery 12 %, needs 30 %")
    failed = fleet.terminal("dial-03", "dial", heard=22)
    fleet.shows(failed, smaller, ago=22)
    action = fleet.offered(failed, small, smaller, 2_210, ago=600)
    fleet.verdict(action, Verdict.FAILED, ago=500, reason="rehearsal: leaf list differs from the envelope's")
    silent = fleet.terminal("dial-07", "dial", heard=5_400)
    fleet.shows(silent, smaller, ago=5_400)
    action = fleet.offered(silent, small, smaller, 2_210, ago=5_400)
    fleet.report(action, Phase.DOWNLOADING, done=900, ago=5_400)
    fleet.shows(fleet.terminal("dial-01", "dial", heard=12), small, ago=12)
    fleet.shows(fleet.terminal("dial-02", "dial", heard=19), None, ago=19, word="1.7-custom")
    fleet.terminal("dial-09", "dial", heard=None)
    waiting = fleet.terminal("dial-04", "dial", heard=8)
    fleet.shows(waiting, smaller, ago=8)
    fleet.offered(waiting, small, smaller, 2_210, ago=8)
    plain = fleet.terminal("router-a", "router", heard=30)
    action = fleet.offered(plain, router, router, router.size, ago=900, kind="package")
    fleet.delivery.served(action, 0, router.size, now - 880)
    fleet.verdict(action, Verdict.CONFIRMED, ago=860)
    with fleet.store.write() as db:
        rollout.move(db, made.id, "start", now - 380)
    return fleet
