"""What every installer promises; an installer's test module subclasses InstallerContract and says how to make one with an
offer that it accepts."""

from __future__ import annotations

from typing import Protocol

import pytest

from neurath.terminal.identity import Lending
from neurath.terminal.install import Installer
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Fate, Weight
from neurath.wire.offer import Offer


class Site(Protocol):
    """One component as the contract drives it."""

    installer: Installer
    offer: Offer
    file: bytes
    ram: int

    def untouched(self) -> bool:
        """The old software is still there, whole."""
        ...

    def updated(self) -> bool:
        """The new software is there, whole."""
        ...

    def damage(self) -> None:
        """Somebody changes the software behind the installer's back."""
        ...


def altered(offer: Offer, **fields: object) -> Offer:
    return type(offer)(**({name: getattr(offer, name) for name in offer.__slots__} | fields))  # type: ignore[arg-type]


class InstallerContract:
    """Nothing is changed before everything is proven; success is read, never assumed."""

    @pytest.fixture
    def site(self) -> Site:
        raise NotImplementedError

    def test_the_whole_way_ends_confirmed(self, site: Site) -> None:
        unit = site.installer
        assert unit.start().fate is Fate.BOOT
        assert unit.weigh(site.offer, in_ram=True) == ev.Weighed(Weight.ACCEPTED)
        assert unit.prove(site.file, site.ram) == ev.Proved()
        assert site.untouched()
        assert unit.ready() == ev.Ready()
        assert unit.rewrite(site.file, site.ram) == ev.Rewritten()
        assert unit.judge() == ev.Judged(True)
        woken = unit.start()
        assert woken.candidate
        assert unit.self_test() == ev.SelfTested(True)
        assert unit.confirm() == ev.Confirmed()
        assert not unit.start().candidate
        assert site.updated()
        assert unit.weigh(site.offer, in_ram=True).weight is Weight.INSTALLED

    def test_the_check_in_shows_what_is_there_and_not_what_was_written_down(self, site: Site) -> None:
        site.installer.start()
        before = site.installer.check(Lending(1000), "idle")
        site.damage()
        after = site.installer.check(Lending(1000), "idle")
        assert before.ram == getattr(site, "lends", 1000)
        assert before.bank != after.bank
        assert before.component == site.installer.component

    #: Parts of an offer that must not be altered.
    fields = ("envelope", "ticket", "file", "size", "need")

    @pytest.mark.parametrize("field", ["envelope", "ticket", "file", "size", "need"])
    def test_an_altered_offer_is_refused_with_a_reason(self, site: Site, field: str) -> None:
        if field not in self.fields:
            return  # a part that decides nothing here
        site.installer.start()
        value = getattr(site.offer, field)
        spoiled = value[:9] + bytes([value[9] ^ 1]) + value[10:] if isinstance(value, bytes) else 1
        weighed = site.installer.weigh(altered(site.offer, **{field: spoiled}), in_ram=True)
        assert weighed.weight is Weight.REFUSED
        assert weighed.reason
        assert site.untouched()

    def test_a_file_that_is_not_what_it_claims_is_not_proven_and_is_counted(self, site: Site) -> None:
        site.installer.start()
        site.installer.weigh(site.offer, in_ram=True)
        spoiled = site.file[:-1] + bytes([site.file[-1] ^ 1])
        outcome = site.installer.prove(spoiled, site.ram)
        assert isinstance(outcome, ev.NotProved)
        assert outcome.reason
        assert site.untouched()

    def test_a_file_is_proven_again_by_the_rewrite_itself(self, site: Site) -> None:
        site.installer.start()
        site.installer.weigh(site.offer, in_ram=True)
        spoiled = site.file[:-1] + bytes([site.file[-1] ^ 1])
        assert isinstance(site.installer.rewrite(spoiled, site.ram), ev.RewriteRefused)
        assert site.untouched()

    def test_success_is_read_and_not_assumed(self, site: Site) -> None:
        site.installer.start()
        site.installer.weigh(site.offer, in_ram=True)
        site.installer.rewrite(site.file, site.ram)
        site.damage()
        assert site.installer.judge() == ev.Judged(False)
        assert site.installer.self_test() == ev.SelfTested(False)

    def test_what_was_given_up_is_not_started_again(self, site: Site) -> None:
        site.installer.start()
        site.installer.weigh(site.offer, in_ram=True)
        site.installer.rewrite(site.file, site.ram)
        site.damage()
        if site.installer.give_up() is None:
            assert site.installer.start().fate is Fate.RESTORE
        else:
            woken = site.installer.start()
            assert (woken.fate, woken.candidate) == (Fate.BOOT, False)
            assert woken.back
            assert site.untouched()
