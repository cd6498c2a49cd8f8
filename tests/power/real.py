"""Updates of real firmware to be cut: which pairs, on which memory maps, in which mode. It knows how a story is told with
them; it must never decide what counts as a brick."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from neurath.delta import hybrid
from neurath.delta.build import build
from neurath.delta.format import parse
from neurath.delta.simulate import target
from neurath.flash.geometry import Layout, Span, simple_layout
from neurath.sim.corpus import Pair
from neurath.sim.power import Cure, Cuts, Story
from tests.parts import images
from tests.power.recall import Recalling

#: Ten pairs of six makers, from Cortex-M0 to RV32; a walk takes as the square of the image.
PAIRS = (
    "moondancer", "movehub", "movehub-4", "electron", "greatfet",
    "nxt", "nxt-4", "cityhub", "technichub", "microbit",
)  # fmt: skip
SECTORS = (4096, 65536, 131072)
PAGE = 256
#: The cuts of one update are walked in so many parts where sectors are large: each state keeps every sector it changed.
PARTS = {4096: 1, 65536: 8, 131072: 16}


@dataclass(frozen=True, slots=True)
class Case:
    """One update on one memory map: with scratch, or without (resume mode)."""

    name: str
    sector: int
    resume: bool

    def __str__(self) -> str:
        return f"{self.name}-{self.sector // 1024}K-{'resume' if self.resume else 'scratch'}"

    def layout(self, pair: Pair) -> Layout:
        """Scratch for more than one commit unit, never for the whole image of more than two."""
        room = max(len(pair.old), len(pair.new))
        flat = simple_layout(room, sector=self.sector, page=PAGE, scratch_sectors=8 if self.sector < 65536 else 2)
        return replace(flat, scratch=Span(), resume=True) if self.resume else flat

    def story(self, seed: int) -> Story:
        """Single cuts of every kind; in resume mode with the file for every sector a cut can leave open."""
        pair = images(self.name)
        layout = self.layout(pair)
        made = build(pair.old, pair.new, layout)
        assert parse(made.data)[0].resume is self.resume
        files, cures = [made], []
        goal = hybrid.Goal(pair.old, pair.new, made.data)
        for left in hybrid.cuts(goal, layout) if self.resume else ():
            cure = hybrid.build(left, goal, layout)
            assert left.torn is not None
            cures.append(Cure(left.torn[0], cure.data, target(pair.new, cure.data, layout)))
            files.append(cure)
        ram = max(file.ram_needed(layout, staged_in_ram=False) for file in files)
        aim = target(pair.new, made.data, layout)
        return Story(layout, pair.old, pair.new, made.data, aim, ram, depth=1, seed=seed, few=0, cures=tuple(cures))


#: Small ones first, so that a run that is ended early has the most of them.
CASES = tuple(Case(*each) for each in itertools.product(PAIRS, SECTORS, (False, True)))


def whole(case: Case, story: Story, core: Recalling) -> Cuts:
    """Every cut of this update, part by part; the state ahead of the first operation is of each part, and counted once."""
    parts = PARTS[case.sector]
    all_ = [core.walk(replace(story, stride=parts, seed=story.seed + i)) for i in range(parts)]
    worst = next((cuts for cuts in all_ if cuts.bricked), all_[0])
    more = parts - 1
    return replace(
        worst,
        states=sum(c.states for c in all_) - more,
        edges=sum(c.edges for c in all_),
        old=sum(c.old for c in all_) - more,
        new=sum(c.new for c in all_),
        resumed=sum(c.resumed for c in all_),
        rescued=sum(c.rescued for c in all_),
        bricked=sum(c.bricked for c in all_),
        seconds=sum(c.seconds for c in all_),
    )
