"""A Cortex-M3 that runs the lean boot core and an application on the NOR model of the host, with a wire and a modem's line. It
knows the registers of examples/lean-m3; it must never know what travels on its lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from unicorn.arm_const import UC_ARM_REG_PC, UC_ARM_REG_SP
from unicorn.unicorn import UcError

from neurath.sim.unicorn_rig import ECC, FLASH, LONGEST, MAIL, RAM, RAM_SIZE, Chip, RuleError

WIRE, AIR, CLOCK, RESTART = 0x20, 0x28, 0x30, 0x34
IDLE, UPDATE, CONFIRM, HANG, ECHO = range(5)
#: Where the rig puts the message of an offer, a file in RAM, and what the update is lent (examples/lean-m3/post.h).
OFFER_AT, FILE_AT, LENT_AT, LENT = MAIL + 0x100, MAIL + 0x1000, MAIL + 0x10000, 0x8000
_POST = 28
#: Looks at an empty line after which nobody will say anything more.
SILENCE = 1024


class End(StrEnum):
    """Why the processor stands still."""

    DONE = "done"  # the application did what it was told
    CUT = "cut"
    RESTART = "restart"
    SILENT = "silent"  # it listens, and nothing comes


@dataclass
class Said:
    """What the application left: 0 for a version, where none ran."""

    end: End
    version: int = 0
    result: int = 0


@dataclass
class LeanChip(Chip):
    """A power-up ends where the application is done, at a restart, in a cut, or where both lines stay silent."""

    #: What answers on the wire: is given what the chip has sent since it was last asked, and gives what the chip reads next.
    wire: Callable[[bytes], bytes] | None = None
    air: bytes = b""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent = self.told = b""
        self._in: dict[int, bytearray] = {WIRE: bytearray(), AIR: bytearray()}
        self._idle = self._millis = 0
        self._end: End | None = None

    def run(
        self, order: int = IDLE, offer: bytes = b"", file: bytes | None = None, at: int = FILE_AT, *, seed: int | None = 0
    ) -> Said:
        """From reset on. `file` goes to `at`; None: it is there. RAM holds anything (`seed`), or, None, what it held."""
        uc = self._uc
        if seed is not None:
            uc.mem_write(RAM, random.Random(seed).randbytes(RAM_SIZE))
        post = (order, len(offer), at, LENT_AT, LENT, 0, 0)
        uc.mem_write(MAIL, b"".join(n.to_bytes(4, "little") for n in post))
        uc.mem_write(OFFER_AT, offer)
        if file is not None:
            uc.mem_write(at, file)
        self._cut = self._done = False
        self._busy = self._flags = self._idle = self._millis = 0
        self._end, self.sent, self.told = None, b"", b""
        self._in = {WIRE: bytearray(), AIR: bytearray(self.air)}
        uc.mem_write(ECC, bytes(4))
        uc.ctl_remove_cache(FLASH, FLASH + self._size)  # the bank holds other code than when it ran last
        stack, start = (int.from_bytes(uc.mem_read(FLASH + place, 4), "little") for place in (0, 4))
        uc.reg_write(UC_ARM_REG_SP, stack)
        try:
            uc.emu_start(start | 1, 0xFFFFFFFE, LONGEST)
        except UcError as fault:
            where = self.program.at(int(uc.reg_read(UC_ARM_REG_PC)))
            raise RuleError("the processor stopped", f"{fault} in {where}", "see the binary") from fault
        if self._fault is not None:
            broken, self._fault = self._fault, None
            raise broken
        return self._said()

    def _said(self) -> Said:
        end = End.CUT if self._cut else End.DONE if self._done else self._end
        if end is None:
            raise RuleError(
                "a power-up came to no end", self.program.at(int(self._uc.reg_read(UC_ARM_REG_PC))), "see the binary"
            )
        left = bytes(self._uc.mem_read(MAIL + 20, _POST - 20))
        return Said(end, int.from_bytes(left[:4], "little"), int.from_bytes(left[4:], "little", signed=True))

    # ---- registers -----------------------------------------------------------------------------------------------------

    def _load(self, uc: Any, offset: int, size: int, _: Any) -> int:
        if offset == CLOCK:
            self._millis += 1
            return self._millis
        if offset in (WIRE, AIR):
            return self._in[offset].pop(0)
        if offset in (WIRE + 4, AIR + 4):
            return self._waits(uc, offset - 4)
        return super()._load(uc, offset, size, _)

    def _waits(self, uc: Any, port: int) -> int:
        line = self._in[port]
        if not line and port == WIRE and self.wire is not None:
            said, self.sent = self.sent, b""
            line += self.wire(said)
        self._idle = 0 if line else self._idle + 1
        if self._idle > SILENCE:
            self._end = self._end or End.SILENT
            uc.emu_stop()
        return int(bool(line))

    def _store(self, uc: Any, offset: int, size: int, value: int, _: Any) -> None:
        if offset == WIRE:
            self.sent += bytes([value & 0xFF])
        elif offset == AIR:
            self.told += bytes([value & 0xFF])
        elif offset == RESTART:
            self._end = self._end or End.RESTART
            uc.emu_stop()
        else:
            super()._store(uc, offset, size, value, _)
