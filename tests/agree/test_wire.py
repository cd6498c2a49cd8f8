"""Server and terminal agree within two check-ins after what befalls the restoration wire: noise, the package of another model,
one below the floor, one that was tampered with (faults 18, 20, 21)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.flash.geometry import Model
from neurath.ids import Floor, ModelName, Version, digest
from neurath.station.line import Line
from neurath.station.machine import Verdict
from neurath.station.run import Bench
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock
from neurath.wire import manifest, package
from neurath.wire.keys import public_pem
from tests.agree.site import DONE, IMAGES, Site, Word, station
from tests.parts import ASSURANCE
from tests.station import noise
from tests.station.device import Refused
from tests.terminal.world import MODEL, NEW, OLD, RELEASE, envelope_of, image

LEAF = MODEL.layout.leaf
NEWER = NEW[:2000] + image(7, 9000) + NEW[11000:]
#: A terminal on 2.0 to which 3.0 is rolled out: 1.0 lies below its floor.
THREE = {**IMAGES, "3.0": NEWER}


def torn(place: Path, images: dict[str, bytes] | None = None) -> Site:
    """In mid-rewrite, without power: the bank is of no release, and the plan is open."""
    site = Site(place, images=images)
    site.cut_in_rewrite(100)
    assert not site.holds()
    return site


# ---- 18 ----------------------------------------------------------------------------------------------------------------


class Cable(noise.Cable):
    """The noisy line to a terminal of ours."""

    def _look(self) -> None:
        """Nothing is judged here: the bank is, in the end."""


def restore_through(site: Site, stock: Stock, rate: float, seed: int) -> noise.Tally:
    """The station, with its client library, through so much noise."""
    tally, device = noise.Tally(), station(site.world.nor)
    cable = Cable(device, rate, seed, tally)
    bench = Bench(stock, Line("/dev/null"), lambda _state, _pace: None)
    with noise._instead(cable), asyncio.Runner(loop_factory=noise.Jumping) as runner:
        while bench.state.verdict is Verdict.NONE:
            runner.run(bench.run(once=True))
    tally.ended.append(bench.state.verdict.value)
    return tally


@pytest.mark.parametrize("rate", noise.RATES)
def test_fault_18_it_is_restored_through_noise(rate: float, tmp_path: Path) -> None:
    stock, turned = stocked(tmp_path / "stock"), 0
    each = 300 if ASSURANCE else 2
    for n in range(each):
        site = torn(tmp_path / str(n))
        tally = restore_through(site, stock, rate, 18 + n)
        assert tally.ended == [Verdict.RESTORED.value]
        turned += tally.turned
        for record in stock.queued():
            record.unlink()
        site.world.power()
        assert site.goes_on() == DONE
        site.over()
    assert rate < 1e-4 or turned > each


def stocked(place: Path, model: str = MODEL.name, *, data: bytes = NEW, sequence: int = 2) -> Stock:
    """A station's stock with one release, of this model."""
    found = Stock(place)
    raw = signed(data, model, sequence)
    named = manifest.verify(raw, [RELEASE.public]).digest.hex()
    version = Version(f"{sequence}.0")
    entry = Entry(ModelName(model), version, digest(data).hex(), len(data), raw, named, sequence, 0)
    found.keep(Index((entry,), ((ModelName(model), public_pem(RELEASE.public).decode()),), (), 1.0))
    found.put(entry, data)
    return found


def signed(data: bytes, model: str, sequence: int) -> bytes:
    of = Model(ModelName(model), MODEL.layout, ram=MODEL.ram)
    return manifest.sign(manifest.contents_of(data, of, sequence=sequence, version=f"{sequence}.0"), RELEASE)


def refused_by_boot(site: Site, data: bytes) -> None:
    """The boot core takes none of it, and writes nothing."""
    device = station(site.world.nor)
    before = site.world.nor.operations
    with pytest.raises(Refused):
        device.restore(data)
    assert site.world.nor.operations == before
    site.world.power()


# ---- 20 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["phone", "radio", "board2", "boar"])
def test_fault_20_the_station_means_another_device(model: str, tmp_path: Path) -> None:
    site = torn(tmp_path / "data")
    refused_by_boot(site, package.build(signed(NEW, model, 2), NEW, LEAF))
    assert site.server_says() == Word("1.0", offer=site.link.offer.hex()[:8], verdict="pending")  # it heard of nothing yet
    before = site.world.nor.operations
    assert restore_through(site, stocked(tmp_path / "stock", model), 1e-9, 1).ended == [Verdict.NO_RELEASE.value]
    assert site.world.nor.operations == before
    site.world.power()
    assert site.goes_on() == DONE


# ---- 21 ----------------------------------------------------------------------------------------------------------------


def above_the_floor(place: Path) -> Site:
    """It has confirmed 2.0, and was cut on its way to 3.0."""
    site = Site(place)
    site.until(lambda: site.agree() and site.holds() == "2.0")
    site.images, site.goal = THREE, "3.0"
    site.server.add("3.0", NEWER, 3)
    site.server.roll_out("3.0", site.now)
    site.world.clock.sleep(3600)
    site.cut_in_rewrite(100)
    assert not site.holds()
    return site


def test_fault_21_the_package_lies_below_the_floor(tmp_path: Path) -> None:
    site = above_the_floor(tmp_path)
    refused_by_boot(site, package.build(envelope_of(OLD, 1), OLD, LEAF))
    assert site.goes_on(ends_in="3.0") == replace(DONE, bank="3.0", floor=Floor(0, 3))


def test_fault_21_a_package_at_the_floor_is_taken_and_the_server_brings_the_newer_one(tmp_path: Path) -> None:
    site = above_the_floor(tmp_path)
    station(site.world.nor).restore(package.build(envelope_of(NEW, 2), NEW, LEAF))
    site.world.power()
    assert site.holds() == "2.0"
    site.goes_on(ends_in="3.0")


def test_fault_21_the_package_was_tampered_with(tmp_path: Path) -> None:
    good = package.build(envelope_of(NEW, 2), NEW, LEAF)
    header = package.read(good).header
    places = range(header) if ASSURANCE else (3, header // 2, header - 1)
    for at in places:
        site = torn(tmp_path / str(at))
        refused_by_boot(site, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert site.goes_on() == DONE
        site.over()
    site = torn(tmp_path / "body")
    device, at = station(site.world.nor), header + 3000
    bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    with pytest.raises(Refused):
        device.restore(bad)
    leaf = 3000 // LEAF * LEAF
    assert site.raw()[leaf : leaf + LEAF] != bad[header:][leaf : leaf + LEAF]
    device.restore(good)
    site.world.power()
    assert site.goes_on() == DONE
