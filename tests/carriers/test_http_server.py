"""DDI against the real server, under the contract of all carriers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.carriers.http import Http, Place
from neurath.server.fleet import access
from neurath.sim.link import CuttingLink
from neurath.wire.offer import Offer
from neurath.wire.report import Report
from tests.contracts.carrier import CarrierContract, Site
from tests.server.test_http import serving
from tests.server.world import image

OLD, NEW = image(1), image(2)


class RealSite:
    """One registered terminal of a server that runs."""

    def __init__(self, running, link: CuttingLink) -> None:
        self.world = running.world
        self.link = link
        client = running.enrol("unit")
        self.check = self.world.says(OLD, 1)
        self.carrier = Http(Place(link.url, "unit", client.token, message_limit=10))
        self.world.release("1.0", OLD, 1)
        self.reports: list[Report] = []
        taken = self.world.delivery.reported

        def reported(action, report, now):
            self.reports.append(report)
            return taken(action, report, now)

        self.world.delivery.reported = reported

    def publish(self) -> Offer:
        self.rollout = self.world.start(self.world.release("1.1", NEW, 2))
        with self.world.store.read() as db:
            terminal = access.find(db, "unit")
        for _ in range(100):
            offer = self.world.delivery.check(terminal, self.check, time.time())
            if offer is not None:
                self.offer = offer
                return offer
            time.sleep(0.05)
        raise AssertionError("the server built no file")

    def data(self) -> bytes:
        return self.world.store.files.verified(self.offer.file.hex()).read_bytes()

    def pin(self) -> None:
        """The ticket was given out with the offer: that pins it."""

    def withdraw(self) -> None:
        self.world.move(self.rollout, "abort")

    def cut_after(self, count: int) -> None:
        self.link.allow(count)

    def mend(self) -> None:
        self.link.mend()

    def told(self) -> list[Report]:
        return self.reports


class TestRealServer(CarrierContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with serving(tmp_path / "data") as running, CuttingLink(("127.0.0.1", running.port)) as link:
            site = RealSite(running, link)
            yield site
            site.carrier.close()
