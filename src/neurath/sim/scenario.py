"""The story of a demonstration, as a value: which firmware, which terminals, what happens to each. It knows nothing of
processes or files; the same seed tells the same story."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from enum import Enum

from neurath.delta.build import Delta, build
from neurath.delta.simulate import target, terminal
from neurath.errors import RefusedError
from neurath.flash.bank import Fate as Reached
from neurath.flash.geometry import GROUP, Model, simple_layout
from neurath.flash.native import Core, PowerCut
from neurath.ids import ModelName, TerminalId
from neurath.sim.corpus import Pair
from neurath.sim.power import Story, walk

#: Places looked at for a cut that strands a terminal.
DRAWS = 60
#: An agent writes a few records more than the rewrite alone: places near it must do as well.
NEAR = (0, -16, 16)
#: Bytes of RAM a board can lend, where nothing else is said.
RAM = 192 * 1024


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


def story(pair: Pair, seed: int, terminals: int = 5, ram: int = RAM) -> Scenario:
    """Terminals of a board with this firmware: one is cut, one is stranded, the others are left in peace. RefusedError when
    the update does not fit `ram` bytes."""
    rng = random.Random(seed)
    model = board(pair, ram)
    operations = rewrite_operations(pair, model)
    names = [TerminalId(f"terminal-{n}") for n in range(1, terminals + 1)]
    cut, stranded = rng.sample(range(terminals), 2)
    fates = {cut: Fate.CUT, stranded: Fate.STRANDED}

    def actor(place: int, name: TerminalId) -> Actor:
        fate = fates.get(place, Fate.SMOOTH)
        # Well inside the rewrite: the first operations are records in the log, the last ones the verdict.
        places = range(operations // 5 + 1, operations * 4 // 5 + 2)
        if fate is Fate.SMOOTH:
            return Actor(name, fate)
        kill_at = rng.choice(places)
        # What scratch can finish needs no file, and nobody's help.
        for _ in range(DRAWS if fate is Fate.STRANDED else 0):
            if all(needs_its_file(pair, model, kill_at + more) for more in NEAR):
                break
            kill_at = rng.choice(places)
        return Actor(name, fate, kill_at)

    return Scenario(pair, model, tuple(actor(place, name) for place, name in enumerate(names)), seed)


def board(pair: Pair, ram: int = RAM) -> Model:
    """A board whose one bank just holds the firmware, with 4 KiB sectors and so many bytes of RAM that it can lend."""
    room = max(len(pair.old), len(pair.new))
    # Scratch for four commit units; for one where the whole bank is a few, or a rewrite would be one commit.
    scratch = 16 if room > 8 * GROUP else 4
    return Model(ModelName("demo-board"), simple_layout(room, scratch_sectors=scratch), ram=ram)


def needs_its_file(pair: Pair, model: Model, operation: int) -> bool:
    """Whether a terminal whose power goes at this flash operation of its rewrite cannot finish without the update file."""
    made = update_file(pair, model)
    nor, core = terminal(pair.old, model.layout)
    nor.cut_at(operation, "early", operation)
    try:
        core.rewrite(made.data, target(pair.new, made.data, model.layout), made.ram_needed(model.layout, staged_in_ram=False))
    except PowerCut:
        nor.no_cut()
        return Core(model.layout, nor).power_up() is Reached.FETCH
    return False


@functools.lru_cache(maxsize=4)
def update_file(pair: Pair, model: Model) -> Delta:
    return build(pair.old, pair.new, model.layout)


@functools.lru_cache(maxsize=4)
def rewrite_operations(pair: Pair, model: Model) -> int:
    """Erases and programs of the whole rewrite, counted by doing it once in memory. RefusedError when the update file and
    its decoder need more RAM than the board can lend."""
    layout = model.layout
    delta = update_file(pair, model)
    need = delta.ram_needed(layout, staged_in_ram=True)
    if need > model.ram:
        raise RefusedError(
            f"this update does not fit a board that lends {model.ram // 1024} KiB of RAM",
            f"the update file ({len(delta.data):,} bytes) and its decoder need {need:,} bytes; the images share little",
            f"--ram {-(-need // 1024)} lends more (make demo ... ARGS='--ram {-(-need // 1024)}')",
            id="NRT-312",
        )
    workspace = delta.ram_needed(layout, staged_in_ram=False)
    once = Story(
        layout, pair.old, pair.new, delta.data, target(pair.new, delta.data, layout), workspace,
        kinds=("before",), depth=1, stride=1 << 30,
    )  # fmt: skip
    return walk(once).operations
