"""Cores broken on purpose: each mutant of mutants.toml built beside the real one, and the story they are made to live
through. It must never touch the sources of the clone."""

from __future__ import annotations

import ctypes
import random
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from neurath.delta import hybrid
from neurath.delta.apply import control_of
from neurath.delta.format import parse
from neurath.delta.match import Segment
from neurath.flash.native import ffi
from neurath.sim.power import Cure, Cuts, Story, walk
from tests.flash.crafted import joint_layout, raw_file, resume_layout, small_layout, target_of

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = ROOT / "core"
PORTS = ("nor.c", "device.c", "pool.c", "look.c", "restate.c", "canon.c", "closure.c")
FLAGS = ["-std=c11", "-fPIC", "-fno-strict-aliasing", "-w", "-I", str(CORE / "include"), "-I", str(CORE / "src")]
FLAGS += ["-I", str(CORE / "ports")]
SIGNATURE = "int(*)(const struct nrt_layout *, const struct nrt_story *, struct nrt_closure *)"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One textual change of one file of the core."""

    name: str
    file: str
    text: str
    story: str = "story"


def mutants() -> list[Mutant]:
    """All mutants, each with the whole text of its broken file; AssertionError where the text to change is not unique."""
    found = []
    for raw in tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())["mutant"]:
        text = (CORE / raw["file"]).read_text()
        for old, new in (("old", "new"), ("more_old", "more_new")):
            if old in raw:
                assert text.count(raw[old]) == 1, f"{raw['name']}: its text occurs {text.count(raw[old])} times"
                text = text.replace(raw[old], raw[new])
        found.append(Mutant(raw["name"], raw["file"], text, raw.get("story", "story")))
    return found


def sources() -> list[Path]:
    return [*sorted((CORE / "src").glob("*.c")), *(CORE / "ports" / name for name in PORTS)]


def compile_all(folder: Path, level: str = "-O1", *more: Path) -> dict[str, Path]:
    """The sound core, and files beside it, as objects by path under core/."""
    objects = {}
    for source in (*sources(), *more):
        name = str(source.relative_to(CORE))
        objects[name] = folder / (name.replace("/", "_") + ".o")
        subprocess.run(["gcc", *FLAGS, level, "-c", str(source), "-o", str(objects[name])], check=True)
    return objects


def link(objects: Sequence[Path], library: Path, *flags: str) -> ctypes.CDLL:
    """A core in a library of its own."""
    # Its own symbols first: the sound core may live in the same process.
    subprocess.run(["gcc", "-shared", "-Wl,-Bsymbolic", *map(str, objects), *flags, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def entry(library: ctypes.CDLL, name: str = "nrt_closure_walk") -> Any:
    """The enumerator of such a core, as neurath.sim.power.walk() calls it."""
    return ffi.cast(SIGNATURE, ctypes.cast(library[name], ctypes.c_void_p).value)


def compile_broken(mutant: Mutant, folder: Path) -> Path:
    """The one object of a mutant that is not the sound core's."""
    stem = "".join(c if c.isalnum() else "_" for c in mutant.name)
    source, target = folder / f"{stem}.c", folder / f"{stem}.o"
    source.write_text(mutant.text)
    subprocess.run(["gcc", *FLAGS, "-O1", "-c", str(source), "-o", str(target)], check=True)
    return target


def build(mutant: Mutant, objects: dict[str, Path], folder: Path) -> Any:
    """nrt_closure_walk of a core with this one file broken."""
    broken = compile_broken(mutant, folder)
    return entry(link([*(path for name, path in objects.items() if name != mutant.file), broken], broken.with_suffix(".so")))


def story(sector: int = 512, *, ecc: bool = False, erased: int = 0xFF, write_unit: int = 32) -> Story:
    """An update of the small device: every sector but one changes, half of each is copied from its own old self, and the
    first unit copies from the last one's."""
    layout = small_layout(sector, erased=erased, write_unit=write_unit)
    rng = random.Random(sector)
    old = rng.randbytes(8 * sector - 40)
    new = bytearray(rng.randbytes(8 * sector - 100))
    segments = []
    for at in range(0, 8 * sector, sector):
        count = sector if at == 3 * sector else sector // 2
        new[at : at + count] = old[at : at + count]
        segments.append(Segment(at, at, count))
        if at == 0:
            source = 7 * sector + sector // 2
            new[count : count + 64] = old[source : source + 64]
            segments.append(Segment(count, source, 64))
    file = raw_file(old, bytes(new), layout, segments=segments)
    return Story(layout, old, bytes(new), file, target_of(bytes(new), file, layout), 1 << 16, ecc=ecc)


def swapped(sector: int = 512, *, ecc: bool = False, erased: int = 0xFF, write_unit: int = 32, pairs: int = 2) -> Story:
    """An update whose units swap places two by two, less one sector that stays: each pair is committed at once. With one
    pair the last unit stays as it is, and the one before it is committed alone."""
    layout = joint_layout(sector, erased=erased, write_unit=write_unit)
    rng = random.Random(sector + 1)
    old = rng.randbytes(8 * sector - 40)
    new = bytearray(rng.randbytes(8 * sector - 100))
    segments = []
    for at in range(0, 8 * sector, sector):
        source = at ^ 2 * sector
        count = sector // 2
        if at == 3 * sector or (pairs == 1 and at >= 6 * sector):
            source, count = at, sector
        count = min(count, len(new) - at)
        new[at : at + count] = old[source : source + count]
        segments.append(Segment(at, source, count))
    file = raw_file(old, bytes(new), layout, segments=segments, joint=2)
    return Story(layout, old, bytes(new), file, target_of(bytes(new), file, layout), 1 << 16, ecc=ecc)


def resumed(sector: int = 512, *, ecc: bool = False, erased: int = 0xFF, write_unit: int = 32) -> Story:
    """The update of `story` without scratch: after a cut that leaves a sector open the file made for just that comes."""
    layout = resume_layout(sector, erased=erased, write_unit=write_unit)
    told = story(sector, ecc=ecc, erased=erased, write_unit=write_unit)
    whole = parse(told.file)[0]
    file = raw_file(told.old, told.new, layout, order=(2, 0, 3, 1), segments=control_of(whole), resume=True)
    goal = hybrid.Goal(told.old, told.new, file)
    cures = []
    for left in hybrid.cuts(goal, layout):
        made = hybrid.build(left, goal, layout)
        assert left.torn is not None
        cures.append(Cure(left.torn[0], made.data, target_of(told.new, made.data, layout)))
    return replace(told, layout=layout, file=file, target=target_of(told.new, file, layout), cures=tuple(cures))


def slid(sector: int = 512, *, ecc: bool = False, erased: int = 0xFF, write_unit: int = 32) -> Story:
    """An update whose units move round: each but the first reads what stood where the one ahead of it goes, so that each is
    decoded before that one is committed. One sector stays as it is."""
    layout = joint_layout(sector, erased=erased, write_unit=write_unit)
    rng = random.Random(sector + 2)
    old = rng.randbytes(8 * sector - 40)
    new = bytearray(rng.randbytes(8 * sector - 100))
    segments = []
    for at in range(0, 8 * sector, sector):
        source, count = (at - 2 * sector) % (8 * sector), sector // 2
        if at == 3 * sector:
            source, count = at, sector
        count = min(count, len(new) - at)
        new[at : at + count] = old[source : source + count]
        segments.append(Segment(at, source, count))
    file = raw_file(old, bytes(new), layout, segments=segments, slide=True)
    return Story(layout, old, bytes(new), file, target_of(bytes(new), file, layout), 1 << 16, ecc=ecc)


#: Cuts that leave a trace (or did nothing): any number of them is walked to closure.
TRACED = ("before", "early", "late", "after", "random", "weak", "meta")

#: Where mutants are looked for, in this order: cheap before dear. A core that looks at bytes the sound one never looks at
#: could hide behind the representatives of states, so some states are walked as cuts left them.
HUNTS: tuple[dict[str, Any], ...] = (
    {"depth": 1, "keep_scratch": True},
    {"depth": 1, "as_found": True},
    {"depth": 3},
    {"kinds": TRACED},
    {"kinds": TRACED, "ecc": True},
)


STORIES: dict[str, Callable[..., Story]] = {
    "story": story,
    "swapped": swapped,
    "swapped once": partial(swapped, pairs=1),
    "resumed": resumed,
    "slid": slid,
}


def hunt(call: Any, told: str = "story") -> Cuts:
    """Cuts a broken core in one of STORIES until a brick is found."""
    for limits in HUNTS:
        cuts = walk(replace(STORIES[told](), first_brick_only=True, **limits), call)
        if cuts.bricked:
            break
    return cuts
