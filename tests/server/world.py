"""A server's small world for tests: one model, a release key, signed images, and terminals that check in. Update files are
stand-ins (the delta's own tests build real ones); everything else is the product."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path

from neurath.flash.geometry import Layout, Model, model_to_toml, simple_layout
from neurath.ids import Floor, ModelName
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.pace import File, Pending
from neurath.server.fleet import access, progress, rollout
from neurath.server.fleet.access import Enrolment, Terminal
from neurath.server.fleet.progress import Entry, Key
from neurath.server.software import catalog
from neurath.server.software.catalog import Release, Upload
from neurath.server.software.deltas import PROFILE, Deltas, Job, Result
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.wire import manifest
from neurath.wire.check import Check
from neurath.wire.keys import from_seed, public_pem

MODEL = Model(ModelName("phone"), simple_layout(64 * 1024), ram=48 * 1024)
KEY = from_seed(b"release key of the tests........")
#: What a stand-in update file needs beside itself.
OVERHEAD = 4096


class Here(Executor):
    """An executor that works at once, in the caller's thread."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as fault:
            future.set_exception(fault)
        return future


class AtOnce(Deltas):
    """Asks again, so that what is built at once is had at once."""

    def get(self, old: str, new: str, layout: Layout, profile: int = PROFILE) -> File:
        first = super().get(old, new, layout, profile)
        return super().get(old, new, layout, profile) if isinstance(first, Pending) else first


def build(job: Job) -> Result:
    """A stand-in: an eighth of the image for a delta, half of it for a full one; different for each pair."""
    new = job.new.read_bytes()
    old = job.old.read_bytes() if job.old else b""
    size = max(64, len(new) // (8 if old else 2))
    seed = hashlib.sha256(old + b"|" + new).digest()
    return Result(random.Random(seed).randbytes(size), 1024, 3, 0.01)


def need(_layout: Layout, _image: int, file: int, workspace: int, staged_in_ram: bool) -> int:
    return (file if staged_in_ram else 0) + workspace + OVERHEAD


def image(seed: int, size: int = 40_000) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class World:
    store: Store
    delivery: Delivery
    now: float = 1000.0

    def release(self, version: str, data: bytes, sequence: int, **more) -> Release:
        contents = manifest.contents_of(data, MODEL, sequence=sequence, version=version, **more)
        upload = Upload(data, MODEL.name, version, envelope=manifest.sign(contents, KEY))
        return catalog.add(self.store, upload, self.now)

    def terminal(self, name: str = "t1", model: str | None = "phone", link: int = 0) -> Terminal:
        with self.store.write() as db:
            access.register(db, Enrolment(name, model, link=link), self.now)
            return access.find(db, name)

    def start(self, release: Release, *terminals: Terminal, limit: float = 60.0) -> rollout.Rollout:
        with self.store.write() as db:
            made = rollout.create(db, rollout.Plan(release, list(terminals) or None, limit), self.now)
            return rollout.move(db, made.id, "start", self.now)

    def move(self, made: rollout.Rollout, command: str) -> None:
        with self.store.write() as db:
            rollout.move(db, made.id, command, self.now)

    def says(self, bank: bytes, sequence: int = 1, **more) -> Check:
        """The check-in of a phone whose bank holds these bytes, confirmed at `sequence`."""
        check = Check(
            model=MODEL.name,
            bank=hashlib.sha256(bank).digest(),
            bank_size=len(bank),
            ram=MODEL.ram,
            nonce=b"nonce---",
            floor=Floor(0, sequence),
            version="whatever it likes",
        )
        return replace(check, **more)

    def entry(self, terminal: Terminal, release: Release) -> Entry | None:
        with self.store.read() as db:
            return progress.entry(db, Key(terminal.n, "firmware", release.id))


def open_world(directory: Path, pool: Executor | None = None, database: str = "") -> World:
    store = Store(directory, database)
    with store.write() as db:
        add_model(db, model_to_toml(MODEL), [public_pem(KEY.public).decode()], 0.0)
    deltas = AtOnce(store, builder=build, pool=pool or Here(), clock=lambda: 1000.0)
    return World(store, Delivery(store, deltas, tickets.load_key(directory), need))
