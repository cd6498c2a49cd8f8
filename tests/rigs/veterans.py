"""The server's side of recorded sessions: a model, its releases and terminals as they were when the sessions were recorded
(vectors/compat/N/world.json), in a store of today. It must never sign anew what a client of then was to be given."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import update

from neurath.server.device import Policy
from neurath.server.fleet import access, gateway
from neurath.server.software import catalog
from neurath.server.software.catalog import Release, Upload
from neurath.server.software.models import add_model, add_plain_model
from neurath.server.store.tables import gateway as gateways
from tests.server import coap_site, test_http
from tests.server.world import World

ROOT = Path(__file__).resolve().parents[2] / "vectors/compat"
#: A token everyone in the recordings has: the world is thrown away.
TOKEN = "recorded" * 5


@dataclass
class Site:
    """A server that speaks on `port`, and the hands of its operator."""

    world: World
    then: dict[str, Any]
    port: int
    terminal: str
    target: Release

    def do(self, what: str) -> None:
        """What happens on the server's side between two requests."""
        verb, _, size = what.partition(" ")
        if verb == "start":
            self._start(self.target)
        elif verb == "package":
            self.package(random.Random(0).randbytes(int(size)))
        else:
            raise ValueError(f"nobody knows how to {what}")

    def package(self, data: bytes) -> None:
        """A release that a third party's client takes as it is."""
        upload = Upload(data, "lab", "2.0.0", kind="swu", filename="fw.swu")
        self._start(catalog.add(self.world.store, upload, self.world.now))

    def _start(self, release: Release) -> None:
        with self.world.store.read() as db:
            found = access.find(db, self.terminal)
        self.world.start(release, found)


def images(then: dict[str, Any]) -> list[bytes]:
    return [random.Random(seed).randbytes(then["image_size"]) for seed in then["image_seeds"]]


@contextlib.contextmanager
def site(directory: Path, version: str, head: Mapping[str, Any]) -> Iterator[Site]:
    """A server as the clients of this wire version knew it. `head` says which `plane` and `terminal` it is about, and the
    seconds of `sleep` that its operator set; `lab` is the model of a terminal that takes packages."""
    then = json.loads((ROOT / version / "world.json").read_text())
    terminal = head["terminal"]
    serving = test_http.serving if head["plane"] == "http" else coap_site.serving
    with serving(directory, Policy(head["sleep"])) as running:
        world: World = running.world
        world.now = time.time()
        with world.store.write() as db:
            add_model(db, then["model"], [then["release_key"]], world.now)
            add_plain_model(db, "lab", world.now)
            model = "lab" if terminal == "dev1" else then["name"]
            access.register(db, access.Enrolment(terminal, model, token=TOKEN), world.now)
            gateway.add(db, "site", now=world.now)
            db.execute(update(gateways).values(token=access.hashed(TOKEN)))
            gateway.assign(db, "site", [terminal])
        releases = [
            catalog.add(world.store, Upload(data, then["name"], f"1.{n}", envelope=bytes.fromhex(signed)), world.now)
            for n, (data, signed) in enumerate(zip(images(then), then["envelopes"], strict=True))
        ]
        yield Site(world, then, running.port, terminal, releases[-1])
