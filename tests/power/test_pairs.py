"""Single power cuts in the rewrite of real firmware: ten pairs, sectors of three sizes, with scratch and without, 256 B pages.
Every operation x kind in the assurance tier, samples of it else. Cells that may read either way are read four ways (all ways:
test_closure). What a cut leaves is brought to the new image by the terminal itself, and separately by the wire."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from neurath.delta.build import Delta, build
from neurath.delta.simulate import target
from neurath.flash.bank import Fate, Target
from neurath.flash.geometry import Model, simple_layout
from neurath.flash.native import PowerCut
from neurath.ids import ModelName
from neurath.sim import corpus
from neurath.sim.corpus import Pair
from neurath.sim.power import Cuts, walk
from tests.power.broken import STORIES, mutants
from tests.power.real import CASES, PAIRS, Case, whole
from tests.power.recall import Recalling, compile_recalling
from tests.station.device import Device, envelope_of, named, package_of

ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"
#: A run that is not whole: so many of the first cases, those with the smallest images; every so manieth operation is cut.
SAMPLE, SMALL, STRIDE = 2, 24, 97
KINDS = ("before", "early", "late", "after", "random", "weak", "meta")
#: Pairs whose cuts are ended over the wire, and how many cuts each, where not all are.
WIRED_PAIRS = ("movehub", "electron", "movehub-4", "microbit", "nxt")
WIRED = 24

COLUMNS = "sectors mode image file resume-deltas operations cuts states boots-old boots-new goes-on bricks s".split()
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


#: All in one process: what they need is compiled once.
together = pytest.mark.xdist_group("recall")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return compile_recalling(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def core(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Recalling:
    return Recalling.linked(objects, tmp_path_factory.mktemp("recall"))


def line(case: Case, files: list[int], cuts: Cuts) -> str:
    image, file, cures = files
    return (
        f"| {case.sector // 1024} KiB | {'resume' if case.resume else 'scratch'} | {image:,} | {file:,} | {cures} "
        f"| {cuts.operations:,} | {cuts.edges:,} | {cuts.states:,} | {cuts.old:,} | {cuts.new:,} | {cuts.resumed:,} "
        f"| {cuts.bricked} | {cuts.seconds:.0f} |"
    )


@together
@pytest.mark.heavy
@pytest.mark.network
@pytest.mark.parametrize("name", PAIRS if ASSURANCE else ["a sample"])
def test_a_cut_anywhere_in_real_firmware_ends_in_the_new_image(
    name: str, core: Recalling, seed: int, figures: Callable[[str, str], None]
) -> None:
    lines = []
    cases = [case for case in CASES if case.name == name] if ASSURANCE else random.Random(seed).sample(CASES[:SMALL], SAMPLE)
    for case in cases:
        told = case.story(seed)
        cuts = whole(case, told, core) if ASSURANCE else core.walk(replace(told, stride=STRIDE))
        assert cuts.bricked == 0, (str(case), cuts.harm, cuts.where)
        assert cuts.states > cuts.edges // 2 > 0, str(case)
        lines.append(line(case, [len(told.new), len(told.file), len(told.cures)], cuts))
        figures(
            f"pair-{name}",
            HEAD + "\n".join(lines) + "\n\n256 B pages; one cut at every operation, torn in every kind.",
        )


@pytest.mark.network
def test_the_unit_cut_last_in_a_plan_without_copies_left_is_brought_to_the_new_image(seed: int) -> None:
    """Its resume delta has no control table, and so nothing that one would teach the map."""
    told = Case("movehub", 65536, True).story(seed)
    cuts = walk(replace(told, stride=80, kinds=("before", "early")))
    assert (cuts.bricked, cuts.harm) == (0, 0)


@together
def test_what_was_recalled_changes_nothing_that_a_walk_finds(core: Recalling) -> None:
    """The real core and the one that recalls meet the same states, in every mode."""
    for told in STORIES.values():
        story = replace(told(512), depth=1)
        quick, slow = core.walk(story), walk(story)
        assert replace(quick, seconds=0.0) == replace(slow, seconds=0.0)
        assert core.recalled > core.decoded > 0


@together
def test_a_broken_core_does_not_hide_behind_what_was_recalled(objects: dict[str, Path], tmp_path: Path) -> None:
    (mutant,) = (m for m in mutants() if m.name == "resume skips a unit")
    broken = Recalling.linked(objects, tmp_path, mutant)
    cuts = broken.walk(replace(STORIES[mutant.story](512), depth=1))
    assert broken.recalled > 0
    assert cuts.bricked > 0


# ---- the wire -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wired:
    pair: Pair
    model: Model
    delta: Delta
    target: Target
    package: bytes

    @property
    def ram(self) -> int:
        return self.delta.ram_needed(self.model.layout, staged_in_ram=False)


@pytest.fixture(scope="module", params=WIRED_PAIRS)
def wired(request: pytest.FixtureRequest) -> Wired:
    pair = corpus.pair(request.param)
    room = max(len(pair.old), len(pair.new)) + 4096
    assert min(len(pair.old), len(pair.new)) >= 100_000
    model = Model(ModelName(request.param), simple_layout(room, sector=4096, page=256), ram=1 << 20)
    delta = build(pair.old, pair.new, model.layout)
    envelope = envelope_of(pair.new, model, 6)
    wanted = replace(target(pair.new, delta.data, model.layout), envelope=named(envelope), sequence=6)
    return Wired(pair, model, delta, wanted, package_of(pair.new, model, 6))


@pytest.mark.heavy
@pytest.mark.network
def test_the_wire_ends_in_the_new_image_after_a_cut_in_real_firmware(
    wired: Wired, seed: int, figures: Callable[[str, str], None]
) -> None:
    rng = random.Random(seed)
    last = cut(wired, 1 << 30, "before", seed).nor.operations
    places = [(n, kind) for n in range(last) for kind in KINDS]
    resumed = 0
    for n, kind in places if ASSURANCE else rng.sample(places, WIRED):
        device = cut(wired, n, kind, seed + n)
        if device.power_up() is Fate.BOOT:
            assert device.bank(len(wired.pair.old)) == wired.pair.old or device.bank(len(wired.pair.new)) == wired.pair.new
            continue
        resumed += 1
        device.restore(wired.package, 3600)
        assert device.power_up() is Fate.BOOT
        assert device.bank(len(wired.pair.new)) == wired.pair.new
        assert device.core.facts.installed.envelope == wired.target.envelope
        assert device.nor.violations == 0
    assert resumed > 0
    figures(
        f"pair-{wired.model.name}-wire",
        f"{last:,} operations, {len(places):,} cuts ({', '.join(KINDS)}); {resumed:,} left a bank that does not boot, and "
        "each of them was brought to the new image by a package over the wire.",
    )


def cut(wired: Wired, operation: int, kind: str, seed: int) -> Device:
    """A terminal of the old firmware whose power went in this operation of its rewrite."""
    device = Device(wired.model, buffer=4096, old=wired.pair.old)
    before = device.nor.operations
    device.nor.cut_at(operation, kind, seed)
    try:
        device.core.rewrite(wired.delta.data, wired.target, wired.ram)
    except PowerCut:
        device.nor.power(seed)
        return device
    assert device.nor.operations > before
    return device
