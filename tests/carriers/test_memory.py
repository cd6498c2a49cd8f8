"""The carrier inside one process, under the contract of all carriers."""

from __future__ import annotations

import pytest

from neurath.carriers.memory import Memory, Shelf
from neurath.ids import digest
from neurath.wire.offer import Offer
from neurath.wire.report import Report
from tests.contracts.carrier import CHECK, FILE, OFFER, CarrierContract, Site


class MemorySite:
    check = CHECK

    def __init__(self) -> None:
        self.far = Shelf()
        self.carrier = Memory(self.far)

    def publish(self) -> Offer:
        self.far.offer, self.far.files = OFFER, {digest(FILE): FILE}
        return OFFER

    def data(self) -> bytes:
        return FILE

    def pin(self) -> None:
        self.far.pinned.add(digest(FILE))

    def withdraw(self) -> None:
        self.far.closed.add(OFFER.action)

    def cut_after(self, count: int) -> None:
        self.carrier.line.left = count

    def mend(self) -> None:
        self.carrier.line.mend()

    def told(self) -> list[Report]:
        return self.far.told


class TestMemory(CarrierContract):
    @pytest.fixture
    def site(self) -> Site:
        return MemorySite()
