"""Every power cut of one update: the enumerator of core/ports/closure.c with values around it. It knows how to ask and how to
say what came out; it must never decide what counts as a brick (the C code compares flash with images)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from neurath.errors import FlashError
from neurath.flash.bank import Target
from neurath.flash.geometry import Layout
from neurath.flash.native import KINDS, ffi, lib
from neurath.flash.structs import c_layout, c_target

ALL_KINDS = tuple(KINDS)


class Harm(IntEnum):
    """What a brick is (enum nrt_harm)."""

    NONE = 0
    RESTORE = 1
    MIXED = 2
    STUCK = 3
    RULES = 4
    FOREIGN = 5
    FORGOT = 6
    LOOKED = 7


#: Each harm in words.
HARMS = {
    Harm.NONE: "nothing",
    Harm.RESTORE: "restoration state although nothing but power failed",
    Harm.MIXED: "booted what is neither old nor new",
    Harm.STUCK: "no file that is there could bring it to new",
    Harm.RULES: "flash written against its rules",
    Harm.FOREIGN: "bytes changed that belong to nobody here",
    Harm.FORGOT: "something recorded was not remembered",
    Harm.LOOKED: "something was read that a power-up has to erase first",
}


@dataclass(frozen=True, slots=True)
class Cure:
    """A resume delta: for a bank whose sector at image offset `torn` is the one that a cut left open."""

    torn: int
    file: bytes
    target: Target


@dataclass(frozen=True, slots=True)
class Story:
    """One update to be cut. `kinds` are names of flash.native.KINDS; `depth` cuts in a row, 0 for any number; `most` distinct
    states are looked at, 0 for all; every `stride`-th operation is cut; on one path at most `ghosts` programs leave no trace;
    with `as_found` every state is walked as a cut left it, not as the representative of its class. Of a state with at most
    `few` torn units every reading is walked, of others each unit turned alone and three at random; 0: those three only.
    In resume mode `cures` are all resume deltas there are. With a `device_key` the files are veiled for its terminal."""

    layout: Layout
    old: bytes
    new: bytes
    file: bytes
    target: Target
    ram: int
    ecc: bool = False
    kinds: tuple[str, ...] = field(default=ALL_KINDS)
    depth: int = 0
    most: int = 0
    seed: int = 1
    stride: int = 1
    ghosts: int = 1
    few: int = 8
    as_found: bool = False
    keep_scratch: bool = False
    first_brick_only: bool = False
    cures: tuple[Cure, ...] = ()
    device_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Cuts:
    """What came out. `states` are distinct flash contents a power-up may find, `edges` cuts (state x operation x kind);
    every state ended in the new image, confirmed, or counts as a brick. `closed`: nothing was left out. `forms` are classes
    of states, `digest` a sum over them: two walks with the same digest met the same ones."""

    states: int
    edges: int
    operations: int
    old: int
    new: int
    resumed: int
    rescued: int
    bricked: int
    deepest: int
    forms: int
    digest: int
    closed: bool
    harm: Harm
    result: int
    where: str
    seconds: float


def walk(story: Story, call: Any = lib.nrt_closure_walk) -> Cuts:
    """Cuts the update everywhere it was asked to; FlashError when there is no memory for it.

    `call` is nrt_closure_walk of the core to cut: of another build than this one where a test broke it on purpose.
    """
    mem = ffi.new("uint8_t[]", story.ram)
    keep = [c_target(story.target), *(ffi.from_buffer(data) for data in (story.old, story.new, story.file))]
    target, old, new, file = keep
    raw = ffi.new("struct nrt_story *")
    raw.old_image, raw.old_size = ffi.cast("uint8_t *", old), len(story.old)
    raw.new_image, raw.new_size = ffi.cast("uint8_t *", new), len(story.new)
    raw.file, raw.file_size = ffi.cast("uint8_t *", file), len(story.file)
    key = ffi.new("uint8_t[]", story.device_key)
    raw.device_key = key if story.device_key else ffi.NULL
    raw.target, raw.ram.mem, raw.ram.len = target, mem, story.ram
    cures, alive = _cures(story.cures)
    raw.cures, raw.n_cures = cures, len(story.cures)
    raw.keep_scratch, raw.ghosts, raw.as_found, raw.few = story.keep_scratch, story.ghosts, story.as_found, story.few
    raw.ecc, raw.depth, raw.most, raw.seed, raw.stride = story.ecc, story.depth, story.most, story.seed, story.stride
    raw.kinds = sum(1 << KINDS[name] for name in set(story.kinds))
    out = ffi.new("struct nrt_closure *")
    out.closed = -1 if story.first_brick_only else 0
    begun = time.monotonic()
    code = call(c_layout(story.layout), raw, out)
    del alive
    if code < 0:
        raise FlashError("the cuts could not be walked", f"the core answers {code}", "check the memory map", id="NRT-510")
    return _cuts(out, time.monotonic() - begun)


def _cures(cures: tuple[Cure, ...]) -> tuple[Any, list[Any]]:
    raw, alive = ffi.new("struct nrt_cure[]", max(1, len(cures))), []
    for place, cure in zip(raw, cures, strict=False):
        target, data = c_target(cure.target), ffi.from_buffer(cure.file)
        place.torn, place.size, place.target = cure.torn, len(cure.file), target
        place.file = ffi.cast("uint8_t *", data)
        alive += [target, data]
    return raw, alive


def _cuts(out: Any, seconds: float) -> Cuts:
    names = {number: name for name, number in KINDS.items()}
    where = ""
    if out.harm:
        kind = names.get(out.harm_kind, "no cut")
        where = f"operation {out.harm_operation} cut '{kind}' after {out.harm_depth} cuts in a row (result {out.result})"
    return Cuts(
        states=out.states,
        edges=out.edges,
        operations=out.operations,
        old=out.old_boots,
        new=out.new_boots,
        resumed=out.fetches,
        rescued=out.rescues,
        bricked=out.bricks,
        deepest=out.deepest,
        forms=out.forms,
        digest=out.digest,
        closed=bool(out.closed),
        harm=Harm(out.harm),
        result=out.result,
        where=where,
        seconds=seconds,
    )
