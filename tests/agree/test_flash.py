"""Server and terminal agree within two check-ins after what befalls the flash and the image: torn and weak cells, words that
cannot be read, sectors that fail, a watchdog, an image that hangs (faults 3, 5, 15, 17)."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.errors import FlashError
from neurath.flash.bank import MAX_BOOTS, Why
from neurath.flash.native import Core, PowerCut
from neurath.server.fleet import progress, standing
from neurath.terminal.machine import Machine, Step
from neurath.terminal.machine.events import Do, Fate, Tell
from neurath.wire import package
from tests.agree.site import DONE, Site, Word, station
from tests.parts import ASSURANCE
from tests.terminal.world import MODEL, NEW, OLD, envelope_of

KINDS = ("early", "late", "random", "weak", "meta")
BANK = MODEL.layout.bank[0].base


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Operations of the flash in an undisturbed update."""
    site = Site(tmp_path_factory.mktemp("calm"))
    site.until(lambda: site.holds() == "2.0")
    return site.world.nor.operations


# ---- 3 -----------------------------------------------------------------------------------------------------------------


def torn(place: Path, at: int, kind: str, ecc: bool) -> tuple[bool, bool]:
    """A cut of this kind, with a reading of its own at each power-up: whether cells were torn, and whether two readings of
    them differed."""
    site = Site(place, ecc=ecc)
    before = _cells(site)
    site.world.nor.cut_at(at, kind, seed=at)
    with pytest.raises(PowerCut):
        site.until(lambda: False)
    site.world.nor.no_cut()
    site.world.nor.power(0)
    one = _cells(site)
    site.world.nor.power(1)
    other = _cells(site)
    site.world.power()
    assert site.goes_on() == DONE
    site.over()
    return before != one, one != other


def _cells(site: Site) -> bytes:
    return site.world.nor.read_raw(0, MODEL.layout.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ecc", [False, True], ids=["plain", "ecc"])
def test_fault_3_cells_are_torn_and_read_one_way_or_the_other(kind: str, ecc: bool, operations: int, tmp_path: Path) -> None:
    places = range(operations - 12) if ASSURANCE else (operations // 2,)
    seen = [torn(tmp_path / str(at), at, kind, ecc) for at in places]
    assert all(changed for changed, _ in seen)
    assert kind != "meta" or any(both for _, both in seen)


# ---- 5 -----------------------------------------------------------------------------------------------------------------

CHANGED = [at for at in range(0, len(OLD), 1024) if OLD[at : at + 1024] != NEW[at : at + 1024]]


def fails_in_rewrite(place: Path, at: int, silent: bool, ecc: bool = False, cut: int = 0) -> Site:
    """The update runs into a sector of the bank that fails; `cut`: power was lost in it before."""
    site = Site(place, ecc=ecc)
    if cut:
        site.cut_in_rewrite(cut, "late")
    site.world.nor.fault(BANK + at, silent=silent)
    site.until(lambda: site.world.bank.facts.broken is Why.FLASH)
    return site


def restored(site: Site, sequence: int = 2, data: bytes = NEW) -> None:
    """A technician exchanges the chip and brings the release over the wire."""
    site.sector_mended()
    station(site.world.nor).restore(package.build(envelope_of(data, sequence), data, MODEL.layout.leaf))
    site.world.power()


@pytest.mark.parametrize("silent", [False, True], ids=["loud", "silent"])
def test_fault_5_a_sector_of_the_bank_fails_and_both_say_that_it_waits_for_the_wire(silent: bool, tmp_path: Path) -> None:
    untouched = 0
    for at in CHANGED if ASSURANCE else CHANGED[3:4]:
        site = fails_in_rewrite(tmp_path / str(at), at, silent)
        said = site.after_two()
        assert said == Word(said.bank, plan=said.offer, wire=True, offer=said.offer, verdict="restoration")
        assert said.bank != "2.0"
        untouched += said.bank == "1.0"
        assert said.plan
        restored(site)
        assert site.goes_on() == DONE
        site.over()
    # Only where the very first erase fails, and says so, has no byte changed; that sector is not to be relied on all the same.
    assert untouched <= (0 if silent else 1)


def test_fault_5_a_sector_of_the_scratch_fails_and_both_say_that_the_old_image_runs(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.world.nor.fault(MODEL.layout.scratch.base, silent=True)
    site.world.agent.power_up()
    assert site.after_two() == Word("1.0", verdict="refused")
    with site.store.read() as db:
        told = [line.text for line in progress.timeline(db, site.me().n) if line.kind == "refused"]
    assert len(told) == 2
    assert all("an erase or a program failed" in text for text in told)
    site.sector_mended()
    assert site.goes_on() == DONE


def test_fault_5_a_sector_of_the_log_fails_and_both_say_that_nothing_is_confirmed(tmp_path: Path) -> None:
    """The new image lies in the bank, whole, and that it works cannot be written down."""
    site = Site(tmp_path)
    site.world.nor.fault(MODEL.layout.log[0].base)
    site.until(lambda: site.world.agent.machine.step is Step.RESTORING)
    said = site.after_two()
    assert said == Word("2.0", wire=True, offer=said.offer, verdict="restoration")
    site.sector_mended()
    site.world.power()
    assert site.goes_on() == DONE


def test_fault_5_a_bank_that_cannot_be_read_is_told_all_the_same(tmp_path: Path) -> None:
    """A chip with ECC: power was lost in a program of the bank, and then that sector takes no erase any more."""
    site = Site(tmp_path, ecc=True)
    at = next(at for at in range(100, 240) if _torn_in_bank(tmp_path / f"try{at}", at))
    site = _torn_in_bank(tmp_path / "it", at)
    assert site is not None
    site.world.agent.power_up()
    said = site.after_two()
    assert said.wire
    assert said.verdict == "restoration"
    restored(site)
    assert site.goes_on() == DONE


def _torn_in_bank(place: Path, at: int) -> Site | None:
    """The sector of the bank where a cut left a word that cannot be read fails from now on; None: it left none there."""
    site = Site(place, ecc=True)
    site.world.nor.cut_at(at, "late", seed=at)
    with pytest.raises(PowerCut):
        site.until(lambda: False)
    site.world.nor.no_cut()
    site.world.nor.power(0)
    for sector in CHANGED:
        core = Core(MODEL.layout, site.world.nor)
        if not _reads(core, sector + 1024):
            site.world.nor.fault(BANK + sector)
            site.world.power()
            return site
    return None


def _reads(core: Core, size: int) -> bool:
    try:
        core.bank_digest(size)
    except FlashError:
        return False
    return True


# ---- 15 ----------------------------------------------------------------------------------------------------------------


class Reset(BaseException):
    """The watchdog: nothing in the terminal may catch it."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_fault_15_the_watchdog_bites_in_the_rehearsal(after: bool, tmp_path: Path) -> None:
    """It writes nowhere: the flash is as it was before it and after it, so what lies between is one of the two."""
    site = Site(tmp_path)
    prove, ran = site.world.bank.prove, []

    def bitten(file: bytes | memoryview, ram: int) -> object:
        before = site.world.nor.operations
        if after:
            prove(file, ram)
        ran.append(site.world.nor.operations - before)
        raise Reset

    site.world.bank.prove = bitten  # type: ignore[assignment,method-assign]
    with pytest.raises(Reset):
        site.until(lambda: False)
    assert ran == [0]
    site.world.power()
    assert site.goes_on(fault=True) == DONE


def test_fault_15_the_watchdog_bites_in_the_rewrite(operations: int, tmp_path: Path) -> None:
    for at in range(4, operations - 12) if ASSURANCE else (operations // 3, operations // 2):
        site = Site(tmp_path / str(at))
        site.cut_in_rewrite(at, "after" if at % 2 else "before")
        assert site.goes_on(fault=True) == DONE
        site.over()


# ---- 17 ----------------------------------------------------------------------------------------------------------------


#: Where the new image hangs: ahead of a deed of its agent, or right after it.
POINTS = {
    "at its first instruction": (Do.SELF_TEST, False),
    "in its self-test": (Do.SELF_TEST, True),
    "before it calls": (Do.CHECK_IN, False),
    "with the answer in its hands": (Do.CHECK_IN, True),
    "as it confirms": (Do.CONFIRM, False),
}


def hangs(site: Site, point: str) -> None:
    """This life of the terminal is one in which an image that was not confirmed hangs at this point."""
    where, after = POINTS[point]
    bank, acts = site.world.bank, site.world.agent.lives[0].acts
    perform = acts.perform

    def watched(action: Do | Tell, m: Machine) -> object:
        here = action is where and bank.fate is Fate.BOOT and bank.facts.candidate and site.holds() == "2.0"
        if here and not after:
            raise Reset
        event = perform(action, m)
        if here:
            raise Reset
        return event

    acts.perform = watched  # type: ignore[method-assign]


def gives_up(site: Site, point: str) -> int:
    """Lives until the terminal works again; how many ended by the watchdog."""
    for bites in range(MAX_BOOTS + 2):
        hangs(site, point)
        try:
            site.world.agent.power_up(fault=bites > 0)
            next(made for made in site.rests() if made >= 1 and site.world.bank.fate is Fate.BOOT)
            site.world.agent.wait()  # at once: the server is to hear that it came back
        except Reset:
            site.world.power()
            continue
        return bites
    raise AssertionError("it hangs for ever")


@pytest.mark.parametrize("point", POINTS)
def test_fault_17_the_new_image_hangs_and_is_left_again_over_the_air(point: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert gives_up(site, point) == MAX_BOOTS
    assert site.agreed() == Word("1.0", verdict="failed")
    site.world.power()
    assert site.goes_on() == DONE


def test_fault_17_an_image_that_always_hangs_is_offered_no_more(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for _ in range(standing.MAX_FAILURES):
        assert gives_up(site, "before it calls") == MAX_BOOTS
        assert site.agreed() == Word("1.0", verdict="failed")
        site.world.clock.sleep(standing.LONGEST)
    site.world.agent.power_up()
    assert site.after_two() == Word("1.0", verdict="failed")
    assert "failed 3 times" in site.delivery.why(site.me(), "firmware", site.now)
