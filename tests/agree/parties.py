"""The two parties of an agreement, each whole: a server (store, delivery, builder), and the terminal's end of a link that
keeps what was said over it, or of a wire. They know nothing of each other but by messages."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.carriers.base import Answer
from neurath.carriers.memory import Memory
from neurath.errors import LinkError, NeurathError
from neurath.flash.bank import Why
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Nor, need
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.trickle import Trickle
from neurath.server.fleet import access, rollout
from neurath.server.fleet.access import Enrolment
from neurath.server.problems import status_of
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.deltas import Job, Result, build
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.wire.check import Check
from neurath.wire.keys import public_pem
from neurath.wire.report import Report, Verdict
from tests.server.world import AtOnce, Here
from tests.station.device import Device
from tests.terminal.world import MODEL, RELEASE, envelope_of

if TYPE_CHECKING:
    from tests.agree.site import Site

_made: dict[object, Result] = {}


def kept(job: Job) -> Result:
    """The product's builder; the same file is built once in a run of the tests."""
    parts = (job.old, job.new, *((job.left.file, job.left.meant) if job.left else ()))
    key = (*(part and part.name for part in parts), job.layout, job.profile, job.left and job.left.description)
    if key not in _made:
        _made[key] = build(job)
    return _made[key]


@cache
def _empty() -> Path:
    """A data directory as a first start leaves it."""
    place = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    store = Store(place / "data")
    tickets.load_key(place / "data")
    store.close()
    return place / "data"


class Server:
    """A store and what works on it; one of several, where they share a directory."""

    def __init__(self, place: Path) -> None:
        self.place, self.built = place, 0
        if not (place / "neurath.db").exists():
            shutil.copytree(_empty(), place, dirs_exist_ok=True)
        self.open()

    def open(self) -> None:
        self.store = Store(self.place)
        self.deltas = AtOnce(self.store, builder=self._build, pool=Here())
        self.delivery = Delivery(self.store, self.deltas, tickets.load_key(self.place), need)
        self.trickle = Trickle(self.delivery)

    def _build(self, job: Job) -> Result:
        self.built += 1
        return kept(job)

    def close(self) -> None:
        self.deltas.close()
        self.store.close()

    def again(self) -> None:
        """The server's process ends, and another begins on what is on the disk."""
        self.close()
        self.open()

    def stock(self, images: dict[str, bytes]) -> None:
        """The model, and a release of each image, signed in this order."""
        with self.store.write() as db:
            add_model(db, model_to_toml(MODEL), [public_pem(RELEASE.public).decode()], 0.0)
        for n, (version, data) in enumerate(images.items(), start=1):
            self.add(version, data, n)

    def add(self, version: str, data: bytes, n: int) -> catalog.Release:
        upload = Upload(data, MODEL.name, version, envelope=envelope_of(data, n))
        return catalog.add(self.store, upload, 0.0)

    def register(self, name: str) -> str:
        with self.store.write() as db:
            return access.register(db, Enrolment(name, str(MODEL.name)), 0.0)

    def roll_out(self, version: str, now: float) -> None:
        with self.store.write() as db:
            found = catalog.find_release(db, f"{MODEL.name}/{version}")
            made = rollout.create(db, rollout.Plan(found, None, 60.0), now)
            rollout.move(db, made.id, "start", now)


class Said:
    """The terminal's end of any link: it keeps what was said over it, as the terminal said and heard it."""

    site: Site
    offer = b""
    verdict = ""

    def check(self, check: Check) -> Answer:
        answer: Answer = super().check(check)  # type: ignore[misc]  # of the carrier beside it
        if answer.offer is not None:
            self.offer = answer.offer.file
        elif not self.site.world.bank.facts.candidate:
            self.offer = b""
        return answer

    def report(self, report: Report) -> None:
        super().report(report)  # type: ignore[misc]
        if report.verdict is not Verdict.PENDING:
            self.verdict = report.verdict.value
        if report.verdict not in (Verdict.PENDING, Verdict.RESTORATION):
            self.offer = b""

    def rescue(self, question: bytes) -> bytes | None:
        facts = self.site.world.bank.facts
        answer: bytes | None = super().rescue(question)  # type: ignore[misc]
        if facts.broken is Why.UNCONFIRMED and not facts.plan_open:
            self.verdict = Verdict.FAILED.value  # it asks for the way back: the image did not confirm
            self.offer = b""
        return answer


class _Direct(Memory):
    """The link inside one process, with all that one over a network has."""

    far: Site

    def rescue(self, question: bytes) -> bytes | None:
        answer = self.far.rescue(self._through(question))
        return None if answer is None else self._through(answer)

    def key_list(self, version: int) -> bytes:
        self._through(bytes(4))
        return self._through(self.far.key_list(version))


class Link(Said, _Direct):
    """Both."""


@contextmanager
def carried(site: Site) -> Iterator[None]:
    """What a carrier makes of a server in trouble: try later."""
    try:
        yield
    except LinkError:
        raise
    except NeurathError as fault:
        if status_of(fault) < 500:
            raise
        site.troubles.append(fault)
        raise LinkError("the server asks to try later", fault.why, "it is tried again") from None


def station(nor: Nor) -> Device:
    """The same chip, as a station sees it, from this power-up on."""
    device = Device.__new__(Device)
    device.model, device.nor, device.buffer, device.heard = MODEL, nor, 512, []
    device.power_up()
    return device
