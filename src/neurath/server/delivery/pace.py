"""The rule that chooses an update file (A5), in one place: the full image where it arrives in time and fits, else the delta,
else nothing, with a reason a person can act on. It knows sizes, speeds and RAM; it must never build, store or send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neurath.flash.geometry import Layout

#: Seconds a transfer may take where a rollout names no limit of its own.
TIME_LIMIT = 60.0
#: Components that are files get deltas up to this many bytes: matching holds both versions in memory.
DELTA_MOST = 64 << 20
#: Images beyond this size get no update file of the large profile: it takes seconds a megabyte to make.
LARGE_MOST = 4 << 20
#: What nrt_need() says when the memory map cannot take the update at all.
IMPOSSIBLE = 0xFFFF_FFFF
#: Gives nrt_need(layout, image_size, file_size, workspace, staged_in_ram).
Need = Callable[[Layout, int, int, int, bool], int]


@dataclass(frozen=True, slots=True)
class Built:
    """An update file that is there: digest in hexadecimal, bytes, RAM its decoder wants, sectors it rewrites."""

    file: str
    size: int
    workspace: int
    sectors: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """The file is being built."""


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """The file cannot be built, and why."""

    reason: str


File = Built | Pending | Unbuilt
#: Asks for the full image or the delta; asking begins the building.
Ask = Callable[[Literal["full", "delta"]], File]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the choice depends on. `speed` is measured or declared, bytes a second, 0 unknown; `limit` the seconds a
    transfer may take; `ram` and `stage` what the terminal lends; `base` whether the server has the image it runs."""

    layout: Layout
    image_size: int
    speed: int
    limit: float
    ram: int
    stage: int
    base: bool


@dataclass(frozen=True, slots=True)
class Take:
    """This file, and the RAM in bytes it needs at the terminal."""

    kind: Literal["full", "delta"]
    built: Built
    need: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A file that decides is still being built."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No file fits, and why; `ram`: one whose decoder takes less RAM might."""

    reason: str
    ram: bool = False


Choice = Take | Wait | Refuse


def choose(situation: Situation, ask: Ask, need: Need) -> Choice:
    """A5. Without a known speed, or without a known base, only one kind is left to ask for."""
    if not situation.base:
        return _only_full(situation, ask, need)
    full: File | None = None
    if situation.speed:
        full = ask("full")
        if isinstance(full, Pending):
            return Wait()
        if isinstance(full, Built) and full.size <= situation.speed * situation.limit:
            taken = _fit(situation, "full", full, need)
            if isinstance(taken, Take):
                return taken
    delta = ask("delta")
    if isinstance(delta, Pending):
        return Wait()
    if isinstance(delta, Unbuilt):
        return _only_full(situation, ask, need, delta.reason)
    return _fit(situation, "delta", delta, need)


def _only_full(situation: Situation, ask: Ask, need: Need, why: str = "its bank holds an image not known here") -> Choice:
    """No delta can be had: the full image however long it takes, or nothing."""
    full = ask("full")
    if isinstance(full, Pending):
        return Wait()
    if isinstance(full, Unbuilt):
        return Refuse(f"{why}; {full.reason}")
    taken = _fit(situation, "full", full, need)
    return taken if isinstance(taken, Take) else Refuse(f"{why}; for the full image it {taken.reason}", taken.ram)


def _fit(situation: Situation, kind: Literal["full", "delta"], built: Built, need: Need) -> Take | Refuse:
    in_ram = situation.stage < built.size
    wanted = need(situation.layout, situation.image_size, built.size, built.workspace, in_ram)
    if wanted >= IMPOSSIBLE:
        return Refuse("cannot take this update: its memory map has no room for the rewrite")
    if wanted > situation.ram:
        return Refuse(f"cannot lend {_kib(wanted)}: needs {wanted:,}, lends {situation.ram:,}", ram=True)
    return Take(kind, built, wanted)


def _kib(count: int) -> str:
    return f"{-(-count // 1024)} KiB"
