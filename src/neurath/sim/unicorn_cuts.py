"""One update on the chip that runs the Thumb binary, cut wherever it writes. It knows what counts as a brick there; it must
never know how the chip works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from neurath.errors import FlashError
from neurath.flash.bank import Fate, ImageRecord, Target
from neurath.flash.geometry import Layout
from neurath.flash.native import Core, Nor, lib
from neurath.sim.unicorn_rig import ORDER_BOOT, ORDER_CONFIRM, ORDER_UPDATE, Chip, Operation, Outcome, Program, RuleError

#: Power-ups that a life may take.
LIVES = 8


class Met(FlashError):  # noqa: N818 (an event of the world, not a fault)
    """A chip came to a state from which another was lived to its end."""


@dataclass(slots=True)
class Known:
    """States of a chip behind its operations, from which a life came to its good end. A chip is a machine without chance: what
    comes to one of them ends as that one did."""

    ended: set[bytes] = field(default_factory=set)
    path: list[bytes] = field(default_factory=list)

    def watch(self, chip: Chip) -> None:
        def after() -> None:
            state = chip.state()
            if state in self.ended:
                raise Met("met before", "", "")
            self.path.append(state)

        chip.after = after

    def ends(self) -> None:
        """The life that is under way came to its good end."""
        self.ended.update(self.path)
        self.path.clear()


@dataclass(frozen=True, slots=True)
class Case:
    """An update to be cut on this chip."""

    program: Program
    layout: Layout
    old: bytes
    new: bytes
    file: bytes
    target: Target
    record: ImageRecord
    ecc: bool = False

    def flash(self) -> Nor:
        """A new terminal: the binary in its place, the old image, a first state log."""
        nor = Nor.memory(self.layout, ecc=self.ecc)
        nor.write_raw(0, self.program.code)
        at = 0
        for span in self.layout.bank:
            part = self.old[at : at + span.length]
            nor.write_raw(span.base, part)
            at += len(part)
        Core(self.layout, nor).provision(self.record)
        nor.forget()
        return nor

    def holds(self, nor: Nor, image: bytes) -> bool:
        return b"".join(nor.read_raw(s.base, s.length) for s in self.layout.bank)[: len(image)] == image

    def live(self, chip: Chip, *, seed: int = 0, told: list[Outcome] | None = None) -> list[Outcome]:
        """Power-ups until the new image is confirmed: the file is at hand whenever it is asked for. RuleError: it never was,
        or it booted what is neither old nor new."""
        order, told = ORDER_BOOT, [] if told is None else told
        for life in range(LIVES):
            said = chip.power_up(order, self.file, self.target, seed=seed + life)
            told.append(said)
            if said.cut:
                return told
            if said.result < 0 or said.fate is Fate.RESTORE:
                raise RuleError("a brick", f"{said}", "see the cut")
            order = ORDER_BOOT
            if said.fate is Fate.BOOT:
                holds = self.new if said.installed == self.target.image else self.old
                if not self.holds(chip.nor, holds):
                    raise RuleError("it booted what is neither old nor new", f"{said}", "see the cut")
                if holds == self.new and not said.candidate:
                    return told
                order = ORDER_CONFIRM if holds == self.new else ORDER_UPDATE
        raise RuleError("it never came to its end", f"{told[-1]}", "see the cut")

    def operations(self) -> list[Operation]:
        """What an update without a cut does to the flash."""
        chip = Chip(self.program, self.flash())
        self.live(chip)
        return chip.operations

    def cuts(self, operations: list[Operation], kinds: tuple[str, ...], chosen: range, seed: int = 1) -> Iterator[Cut]:
        """Cuts at these operations (from 0), each of every kind, each lived to its end by the binary."""
        front, back = self.flash(), self.flash()
        chip = Chip(self.program, back)
        seen: set[int] = set()
        known = Known()
        known.watch(chip)
        for number, operation in enumerate(operations):
            for kind in kinds if number in chosen else ():
                for how in (0, 1) if kind in ("weak", "meta", "ghost") else (0,):
                    lib.nrt_nor_copy(back.raw, front.raw)
                    back.cut_at(0, kind, seed + number)
                    if _do(back, operation) != lib.NRT_CUT:
                        raise RuleError("the cut did not fall", f"{operation}", "see the rig")
                    back.power(how)
                    state = back.read_raw(0, self.layout.size) if kind in ("before", "after") else b""
                    if state and hash(state) in seen:
                        yield Cut(number, kind, how, 0)  # nothing is torn: the operation before left the same
                        continue
                    seen.add(hash(state))
                    if self.ecc:
                        chip = Chip(self.program, back)
                        chip.torn([range(operation.at, operation.at + (len(operation.data) or self.sector(operation.at)))])
                        known.watch(chip)
                    told: list[Outcome] = []
                    try:
                        self.live(chip, seed=seed, told=told)
                    except Met:
                        told.append(Outcome(met=True))
                    except RuleError as fault:
                        raise RuleError(fault.what, f"operation {number} {kind} {how}: {fault.why}", "see the rig") from fault
                    known.ends()
                    yield Cut(number, kind, how, len(told), sum(t.fate is Fate.FETCH for t in told), told[-1].met)
            _do(front, operation)

    def sector(self, address: int) -> int:
        for region in self.layout.regions:
            if region.base <= address < region.base + region.size * region.count:
                return region.size
        raise ValueError(address)


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut that was lived to its end: power-ups it took (0: its flash was met before), how many of them asked for the
    file, and whether the last came to a state from which another cut was lived to its end."""

    number: int
    kind: str
    how: int
    lives: int
    fetched: int = 0
    met: bool = False


def _do(nor: Nor, operation: Operation) -> int:
    if operation.data:
        return int(lib.nrt_host_program(nor.raw, operation.at, operation.data, len(operation.data)))
    return int(lib.nrt_host_erase(nor.raw, operation.at))
