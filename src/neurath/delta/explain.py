"""Why an update file is as it is: every profile and the full image are made and weighed, the smallest that the lent memory
holds is chosen, and each fact is read back from the file that was built. It must never say what is not in that file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurath.delta import native
from neurath.delta.budget import Wish
from neurath.delta.build import Delta, build, full
from neurath.delta.format import PROFILES, Head, parse
from neurath.errors import NothingToDo, RefusedError
from neurath.flash.geometry import Layout
from neurath.flash.isas import ISAS
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, SIMPLE, SMALL, TINY, TINY_WORKSPACE

#: What is weighed: profile and the most its decoder may take, in bytes.
WEIGHED = ((LARGE, LARGE_WORKSPACE), (SMALL, 20480), (SIMPLE, 20480), (TINY, TINY_WORKSPACE))


@dataclass(frozen=True, slots=True)
class Weighed:
    """One way to send the image: its file, the RAM in bytes a terminal lends for it, and whether that is there. `size` and
    `ram` are 0 where it cannot be made, `why` says so then."""

    name: str
    size: int
    ram: int
    fits: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """The chosen file and what was weighed; `lent` is the RAM in bytes, None for no limit."""

    delta: Delta
    head: Head
    name: str
    weighed: tuple[Weighed, ...]
    layout: Layout
    lent: int | None

    def facts(self) -> dict[str, object]:
        """What is said, by name: numbers in bytes."""
        head = self.head
        return {
            "kind": head.kind,
            "profile": head.profile,
            "isa": head.isa,
            "address": head.address,
            "mode": self._mode(),
            "joint": head.joint,
            "slide": head.slide,
            "order": list(head.order),
            "saves": len(head.saves),
            "scratch": self.layout.scratch.length,
            "segments": head.segments,
            "lost": self.delta.lost,
            "size": len(self.delta.data),
            "decoder": native.header(self.delta.data, self.layout).decoder,
            "ram": self._ram(),
            "lent": self.lent,
            "decided_by": self._decision()[0],
        }

    def sentences(self) -> list[str]:
        """The same in words, one fact a line, the most important first."""
        f, head = self.facts(), self.head
        code = f"code of {ISAS[head.isa]}" if head.isa else "no code it knows: nothing is predicted"
        where = f", mapped at {head.address:#x}" if head.address else ""
        return [
            f"{f['size']} B, {self.name}: {self._decision()[1]}",
            f"it finds {code}{where}; {head.segments} copies",
            f"{len(head.order)} commit units, {self._way()}; {f['lost']} B of copies could not be kept; {f['saves']} saves",
            f"mode {f['mode']}, {f['scratch']} B of scratch flash",
            f"the terminal lends {f['ram']} B, {f['decoder']} B of them for the decoder"
            + ("" if self.lent is None else f"; {self.lent} B are there"),
        ]

    def _ram(self) -> int:
        return self.delta.ram_needed(self.layout)

    def _mode(self) -> str:
        return "apart" if self.head.apart else "resume" if self.head.resume else "scratch"

    def _way(self) -> str:
        if self.head.apart:
            return "in any order, for old bytes never go"
        if self.head.slide:
            return "each decoded before the one ahead of it is committed"
        return f"{self.head.joint} committed at once" if self.head.joint > 1 else "each committed alone"

    def _decision(self) -> tuple[str, str]:
        """Which limit decided, and how that is said."""
        smaller = [w for w in self.weighed if 0 < w.size < len(self.delta.data) and not w.fits]
        if not smaller:
            return "size", "the smallest of all that were weighed"
        best = min(smaller, key=lambda w: w.size)
        return "ram", f"{best.name} would be {best.size} B, but asks for {best.ram} B of RAM and {self.lent} B are lent"


def explain(old: bytes, new: bytes, layout: Layout, wish: Wish | None = None, lent: int | None = None) -> Explained:
    """The file to send, chosen among all that can be made; RefusedError where none fits `lent` bytes of RAM, NothingToDo when
    the images are the same."""
    wish = wish or Wish()
    if old == new:
        raise NothingToDo("the two images are the same", f"both are {len(new)} B", "give the release you want to reach")
    made: list[tuple[Weighed, Delta]] = []
    refused: list[Weighed] = []
    for profile, workspace in WEIGHED:
        for whole in (False, True):
            if whole and profile == SIMPLE:
                continue
            name = f"{'full image' if whole else 'delta'}, {PROFILES[profile]} profile"
            asked = replace(wish, profile=profile, workspace=workspace, apart=wish.apart and not whole)
            try:
                one = full(new, layout, asked) if whole else build(old, new, layout, asked)
                ram = one.ram_needed(layout)
            except RefusedError as fault:
                refused.append(Weighed(name, 0, 0, False, fault.what))
                continue
            made.append((Weighed(name, len(one.data), ram, lent is None or ram <= lent), one))
    weighed = (*(w for w, _ in made), *refused)
    fit = [(w, one) for w, one in made if w.fits]
    if not fit:
        least = min((w.ram for w in weighed if w.ram), default=0)
        raise RefusedError(
            "no update file fits the RAM that is lent",
            f"the least takes {least} B, {lent} B are lent" if least else weighed[0].why,
            "lend more, or send the image over the wire",
            id="NRT-385",
        )
    chosen, delta = min(fit, key=lambda pair: (pair[0].size, pair[0].ram))
    return Explained(delta, parse(delta.data)[0], chosen.name, weighed, layout, lent)
