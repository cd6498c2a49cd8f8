"""DDI against the real server, under the contract of all carriers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.carriers.http import Http, Place
from neurath.sim.link import CuttingLink
from tests.contracts.carrier import CarrierContract, Site
from tests.contracts.served import ServedSite
from tests.server.test_http import serving


class RealSite(ServedSite):
    def __init__(self, running, link: CuttingLink) -> None:
        carrier = Http(Place(link.url, "unit", running.enrol("unit").token, message_limit=10))
        super().__init__(running.world, link, carrier)


class TestRealServer(CarrierContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with serving(tmp_path / "data") as running, CuttingLink(("127.0.0.1", running.port)) as link:
            site = RealSite(running, link)
            yield site
            site.carrier.close()
