"""Single power cuts in the rewrite of real firmware, 4 KiB sectors and 256 B pages: every operation x kind in the assurance
tier, samples of it else. Cells that may read either way are read four ways (all ways: test_closure). What a cut leaves is
brought to the new image by the terminal itself, and separately by the wire."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from neurath.delta.build import Delta, build
from neurath.delta.simulate import target
from neurath.flash.bank import Fate, Target
from neurath.flash.geometry import Model, simple_layout
from neurath.flash.native import PowerCut
from neurath.ids import ModelName
from neurath.sim import corpus
from neurath.sim.corpus import Pair
from neurath.sim.power import Story, walk
from tests.station.device import Device, envelope_of, named, package_of

ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"
PAIRS = ("movehub", "electron", "movehub-4", "microbit", "nxt")
KINDS = ("before", "early", "late", "after", "random", "weak", "meta")
#: Cuts a pair that are ended over the wire, where not all are.
WIRED = 24


@dataclass(frozen=True)
class Case:
    pair: Pair
    model: Model
    delta: Delta
    target: Target
    package: bytes

    @property
    def ram(self) -> int:
        return self.delta.ram_needed(self.model.layout, staged_in_ram=False)


@pytest.fixture(scope="module", params=PAIRS)
def case(request: pytest.FixtureRequest) -> Case:
    pair = corpus.pair(request.param)
    room = max(len(pair.old), len(pair.new)) + 4096
    assert min(len(pair.old), len(pair.new)) >= 100_000
    model = Model(ModelName(request.param), simple_layout(room, sector=4096, page=256), ram=1 << 20)
    delta = build(pair.old, pair.new, model.layout)
    envelope = envelope_of(pair.new, model, 6)
    wanted = replace(target(pair.new, delta.data, model.layout), envelope=named(envelope), sequence=6)
    return Case(pair, model, delta, wanted, package_of(pair.new, model, 6))


def story(case: Case, stride: int, seed: int) -> Story:
    old, new = case.pair.old, case.pair.new
    wanted = target(new, case.delta.data, case.model.layout)
    return Story(case.model.layout, old, new, case.delta.data, wanted, case.ram, depth=1, seed=seed, stride=stride, few=0)


@pytest.mark.heavy
@pytest.mark.network
def test_a_cut_anywhere_in_real_firmware_ends_in_the_new_image(
    case: Case, seed: int, figures: Callable[[str, str], None]
) -> None:
    cuts = walk(story(case, 1 if ASSURANCE else 211, seed))
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert cuts.resumed > 0
    figures(
        f"pair-{case.model.name}",
        "| pair | image | update file | operations | cuts | boots old | boots new | resumed by itself | bricks | s |\n"
        + "|---" * 10
        + f"|\n| {case.model.name} | {len(case.pair.new):,} | {len(case.delta.data):,} | {cuts.operations:,} "
        f"| {cuts.edges:,} | {cuts.old:,} | {cuts.new:,} | {cuts.resumed:,} | {cuts.bricked} | {cuts.seconds:.0f} |\n\n"
        "4 KiB sectors, 256 B pages; one cut at every operation, torn in every kind.",
    )


@pytest.mark.heavy
@pytest.mark.network
def test_the_wire_ends_in_the_new_image_after_a_cut_in_real_firmware(
    case: Case, seed: int, figures: Callable[[str, str], None]
) -> None:
    rng = random.Random(seed)
    last = cut(case, 1 << 30, "before", seed).nor.operations
    places = [(n, kind) for n in range(last) for kind in KINDS]
    resumed = 0
    for n, kind in places if ASSURANCE else rng.sample(places, WIRED):
        device = cut(case, n, kind, seed + n)
        if device.power_up() is Fate.BOOT:
            assert device.bank(len(case.pair.old)) == case.pair.old or device.bank(len(case.pair.new)) == case.pair.new
            continue
        resumed += 1
        device.restore(case.package, 3600)
        assert device.power_up() is Fate.BOOT
        assert device.bank(len(case.pair.new)) == case.pair.new
        assert device.core.facts.installed.envelope == case.target.envelope
        assert device.nor.violations == 0
    assert resumed > 0
    figures(
        f"pair-{case.model.name}-wire",
        f"{last:,} operations, {len(places):,} cuts ({', '.join(KINDS)}); {resumed:,} left a bank that does not boot, and "
        "each of them was brought to the new image by a package over the wire.",
    )


def cut(case: Case, operation: int, kind: str, seed: int) -> Device:
    """A terminal of the old firmware whose power went in this operation of its rewrite."""
    device = Device(case.model, buffer=4096, old=case.pair.old)
    before = device.nor.operations
    device.nor.cut_at(operation, kind, seed)
    try:
        device.core.rewrite(case.delta.data, case.target, case.ram)
    except PowerCut:
        device.nor.power(seed)
        return device
    assert device.nor.operations > before
    return device
