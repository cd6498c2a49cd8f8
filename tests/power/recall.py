"""A core for long walks: as it is, but what a unit decoded to once is recalled where the decoder would read the same old bytes
again (core/test/recall.c). It must never be what any other test calls the core."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurath.sim.power import Cuts, Story, walk
from tests.power.broken import CORE, Mutant, compile_all, compile_broken, entry, link

#: What recall.c stands round.
WRAPPED = ("nrt_unpack_open", "nrt_unpack_unit", "nrt_old", "nrt_sha256_add")


def compile_recalling(folder: Path) -> dict[str, Path]:
    """What such a core is linked of."""
    return compile_all(folder, "-O2", CORE / "test/recall.c")


@dataclass(frozen=True, slots=True)
class Recalling:
    """The enumerator of that core."""

    call: Any
    counts: Any

    @classmethod
    def linked(cls, objects: dict[str, Path], folder: Path, mutant: Mutant | None = None) -> Recalling:
        """Of the sound core, or of one with this file broken."""
        if mutant is not None:
            objects = objects | {mutant.file: compile_broken(mutant, folder)}
        flags = (*(f"-Wl,--wrap={name}" for name in WRAPPED), "-l:libcrypto.so.3")
        library = link(list(objects.values()), folder / "recall.so", *flags)
        return cls(entry(library, "nrt_recall_walk"), (ctypes.c_uint64 * 2).in_dll(library, "nrt_recalled"))

    def walk(self, story: Story) -> Cuts:
        return walk(story, self.call)

    @property
    def decoded(self) -> int:
        """Units that the decoder made in the last walk."""
        return int(self.counts[0])

    @property
    def recalled(self) -> int:
        """And those it did not have to."""
        return int(self.counts[1])
