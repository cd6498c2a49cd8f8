"""The single bank and the dull gates, each under the contract of its seam; the judge."""

from __future__ import annotations

import pytest

from neurath.terminal.gate import Closed, Gate, Open
from neurath.terminal.install import SingleBank
from tests.contracts.gate import GateContract
from tests.contracts.installer import InstallerContract, Site
from tests.terminal.world import MODEL, NEW, OLD, World


class BankSite:
    def __init__(self) -> None:
        self.world = World.fresh()
        self.offer = self.world.publish()
        self.file = self.world.far.files[self.offer.file]
        self.ram = self.offer.need
        self.installer = SingleBank(MODEL, self.world.nor)

    def untouched(self) -> bool:
        return self.world.holds(OLD) and self.world.nor.erases(MODEL.layout.bank[0].base) == 0

    def updated(self) -> bool:
        return self.world.holds(NEW)

    def damage(self) -> None:
        base = MODEL.layout.bank[0].base
        cell = self.world.nor.read_raw(base + 500, 1)
        self.world.nor.write_raw(base + 500, bytes([cell[0] ^ 0x10]))


class TestSingleBank(InstallerContract):
    @pytest.fixture
    def site(self) -> Site:
        return BankSite()

    def test_power_that_is_not_good_holds_the_rewrite_back(self, site: BankSite) -> None:
        weak = SingleBank(MODEL, site.world.nor, power_good=lambda: False)
        weak.start()
        assert "power" in weak.ready().reason  # type: ignore[union-attr]


class TestOpen(GateContract):
    @pytest.fixture
    def gate(self) -> Gate:
        return Open()


class TestClosed(GateContract):
    @pytest.fixture
    def gate(self) -> Gate:
        return Closed("recorder runs", ask=True)
