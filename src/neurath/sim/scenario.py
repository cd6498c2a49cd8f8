"""The story of a demonstration, as a value: which firmware, which terminals, what happens to each. It knows nothing of
processes or files; the same seed tells the same story."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName, TerminalId
from neurath.sim.corpus import Pair


class Fate(Enum):
    """What happens to a terminal in the story."""

    SMOOTH = "updates undisturbed"
    CUT = "loses power in the rewrite and goes on by itself"
    STRANDED = "loses power in the rewrite and its link for good; the station restores it over the wire"


@dataclass(frozen=True, slots=True)
class Actor:
    """One terminal of the story; `kill_at` is the flash operation at which power goes (0: it never does)."""

    id: TerminalId
    fate: Fate
    kill_at: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole story."""

    pair: Pair
    model: Model
    actors: tuple[Actor, ...]
    seed: int


def story(pair: Pair, seed: int, terminals: int = 5) -> Scenario:
    """Terminals of a board with this firmware: one is cut, one is stranded, the others are left in peace."""
    rng = random.Random(seed)
    model = board(pair)
    operations = rewrite_operations(pair, model)
    names = [TerminalId(f"terminal-{n}") for n in range(1, terminals + 1)]
    cut, stranded = rng.sample(range(terminals), 2)
    fates = {cut: Fate.CUT, stranded: Fate.STRANDED}

    def actor(place: int, name: TerminalId) -> Actor:
        fate = fates.get(place, Fate.SMOOTH)
        # Well inside the rewrite: the first operations are records in the log, the last ones the verdict.
        kill_at = 0 if fate is Fate.SMOOTH else rng.randrange(operations // 5 + 8, operations * 4 // 5 + 9)
        return Actor(name, fate, kill_at)

    return Scenario(pair, model, tuple(actor(place, name) for place, name in enumerate(names)), seed)


def board(pair: Pair) -> Model:
    """A board whose one bank just holds the firmware, with 4 KiB sectors and 192 KiB of RAM that it can lend."""
    room = max(len(pair.old), len(pair.new))
    return Model(ModelName("demo-board"), simple_layout(room, scratch_sectors=16), ram=192 * 1024)


def rewrite_operations(pair: Pair, model: Model) -> int:
    """Erases and programs that the rewrite takes at least: each changed sector once into scratch and once into the bank."""
    layout = model.layout
    sector, size = layout.regions[0].size, max(len(pair.old), len(pair.new))
    changed = sum(pair.old[at : at + sector] != pair.new[at : at + sector] for at in range(0, size, sector))
    return changed * 2 * (1 + sector // layout.page)
