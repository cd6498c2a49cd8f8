"""A Cortex-M3 that runs the shipped Thumb binary of the core on the NOR model of the host: same cells, tears and rules.
It knows registers of the flash controller and what a processor must not do meanwhile; it must never repair what the binary
did. The binary: examples/port-m3."""

from __future__ import annotations

import ctypes
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from unicorn.arm_const import (
    UC_ARM_REG_CPSR,
    UC_ARM_REG_LR,
    UC_ARM_REG_PC,
    UC_ARM_REG_R0,
    UC_ARM_REG_R1,
    UC_ARM_REG_R2,
    UC_ARM_REG_R3,
    UC_ARM_REG_R4,
    UC_ARM_REG_R5,
    UC_ARM_REG_R6,
    UC_ARM_REG_R7,
    UC_ARM_REG_R8,
    UC_ARM_REG_R9,
    UC_ARM_REG_R10,
    UC_ARM_REG_R11,
    UC_ARM_REG_R12,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_M3,
)
from unicorn.unicorn import Uc, UcError
from unicorn.unicorn_const import (
    UC_ARCH_ARM,
    UC_HOOK_BLOCK,
    UC_HOOK_CODE,
    UC_HOOK_MEM_READ,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_NONE,
    UC_PROT_READ,
)

from neurath.errors import FlashError, NeurathError
from neurath.flash.bank import Fate, Target
from neurath.flash.native import Nor, ffi, lib
from neurath.flash.structs import c_target

FLASH, RAM, MAIL, REGISTERS = 0x08000000, 0x20000000, 0x20010000, 0x40000000
RAM_SIZE, MAIL_SIZE, FILE_AT = 0x10000, 0x40000, 0x200
COMMAND, ADDRESS, LENGTH, STATUS, DONE = 0x00, 0x04, 0x08, 0x0C, 0x10
ECC, LATCH = REGISTERS + 0x1000, REGISTERS + 0x1100
#: Bytes at the end of RAM that are the stack's (m3.ld).
STACK = 4096
_REGISTERS = [
    UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4, UC_ARM_REG_R5, UC_ARM_REG_R6,
    UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11, UC_ARM_REG_R12,
    UC_ARM_REG_SP, UC_ARM_REG_LR, UC_ARM_REG_PC, UC_ARM_REG_CPSR,
]  # fmt: skip
BUSY, FAILED = 1, 2
ERASE, PROGRAM = 1, 2
#: Reads of the status register that a busy chip makes the processor wait.
WAITS = 3
ORDER_BOOT, ORDER_UPDATE, ORDER_CONFIRM = 0, 1, 2
#: struct mail (examples/port-m3/mail.h) up to its target.
_IN, _TARGET, _OUT = 12, 56, 12
#: Microseconds a power-up may take before it counts as hung.
LONGEST = 600_000_000


class RuleError(FlashError):
    """The processor did what no chip allows."""


@dataclass(frozen=True, slots=True)
class Program:
    """A linked binary: what stands in flash from its first byte, and where its functions lie."""

    code: bytes
    functions: tuple[tuple[int, int, str], ...]

    @classmethod
    def of(cls, path: Path) -> Program:
        with path.open("rb") as source:
            elf = ELFFile(source)
            end = max(s["p_paddr"] + s["p_filesz"] for s in elf.iter_segments() if s["p_filesz"])
            code = bytearray(b"\xff" * (end - FLASH))
            for segment in elf.iter_segments():
                at = segment["p_paddr"] - FLASH
                code[at : at + segment["p_filesz"]] = segment.data()
            table: Any = elf.get_section_by_name(".symtab")
            found = {
                (int(s["st_value"]) & ~1, int(s["st_size"]), str(s.name))
                for s in table.iter_symbols()
                if s["st_info"]["type"] == "STT_FUNC" and s["st_size"]
            }
        return cls(bytes(code), tuple(sorted(found)))

    def at(self, address: int) -> str:
        """The function that an address lies in."""
        for begin, size, name in self.functions:
            if begin <= address & ~1 < begin + size:
                return name
        return f"0x{address:x}"

    def entry(self, name: str) -> int:
        return next(begin for begin, _, known in self.functions if known == name)


@dataclass(frozen=True, slots=True)
class Operation:
    """One erase or program; `data` b"": an erase."""

    at: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a power-up wrote into its mailbox; `cut`: the power went in it; `met`: it was not lived to its end, for its end is
    known."""

    result: int = 0
    fate: Fate | None = None
    candidate: bool = False
    installed: bytes = b""
    cut: bool = False
    met: bool = False


@dataclass
class Chip:
    """A processor on one flash, through any number of power-ups. `strict` also looks at what a run without cuts may do: no
    fetch while flash is busy, no load from the bank but by the port's read, counts of instructions and stack."""

    program: Program
    nor: Nor
    strict: bool = False
    operations: list[Operation] = field(default_factory=list)
    instructions: int = 0
    #: Functions that had the bank read for them, through the port.
    readers: set[str] = field(default_factory=set)
    #: Called before each operation.
    before: Callable[[Operation], None] | None = None
    #: Called when one is done.
    after: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        make: Any = Uc
        uc = make(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._uc = uc
        uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M3)
        self._size = self.nor.layout.size
        cells = int(ffi.cast("uintptr_t", lib.nrt_nor_cells(self.nor.raw)))
        uc.mem_map_ptr(FLASH, self._size, UC_PROT_READ | UC_PROT_EXEC, ctypes.c_void_p(cells))
        uc.mem_map(RAM, RAM_SIZE, UC_PROT_ALL)
        uc.mem_map(MAIL, MAIL_SIZE, UC_PROT_READ | UC_PROT_EXEC | 2)
        uc.mem_map(ECC, 0x1000, UC_PROT_READ | 2)
        uc.mmio_map(REGISTERS, 0x1000, self._load, None, self._store, None)
        self._address = self._length = self._busy = self._flags = 0
        self._cut = self._done = False
        self._fault: BaseException | None = None
        self._window = range(0)
        self._blocks: dict[tuple[int, int], int] = {}
        self._counting = False
        if self.strict:
            self._watch()

    # ---- a power-up ----------------------------------------------------------------------------------------------------

    def power_up(
        self, order: int, file: bytes = b"", target: Target | None = None, *, seed: int | None = 0, most: int = 0
    ) -> Outcome:
        """From reset to the mailbox. RAM holds anything (`seed`), or, None, what it held: a reset that the power survived.
        `most`: the watchdog bites after so many instructions."""
        uc = self._uc
        if seed is not None:
            uc.mem_write(RAM, random.Random(seed).randbytes(RAM_SIZE))
        mail = order.to_bytes(4, "little") + bytes(4) + len(file).to_bytes(4, "little") + bytes(44)
        raw = bytes(ffi.buffer(c_target(target))) if target is not None else b""
        uc.mem_write(MAIL, mail + raw)
        uc.mem_write(MAIL + FILE_AT, file)
        self._cut = self._done = False
        self._busy = self._flags = 0
        uc.mem_write(ECC, bytes(4))
        self._window = range(0)
        stack, start = (int.from_bytes(uc.mem_read(FLASH + at, 4), "little") for at in (0, 4))
        uc.reg_write(UC_ARM_REG_SP, stack)
        try:
            uc.emu_start(start | 1, 0xFFFFFFFE, LONGEST, most)
        except UcError as fault:
            where = self.program.at(int(uc.reg_read(UC_ARM_REG_PC)))
            raise RuleError("the processor stopped", f"{fault} in {where}", "see the binary") from fault
        if self._fault is not None:
            broken, self._fault = self._fault, None
            raise broken
        if self._cut or (most and not self._done):
            return Outcome(cut=True)
        if not self._done:
            raise RuleError("a power-up came to no end", self.program.at(int(uc.reg_read(UC_ARM_REG_PC))), "see the binary")
        told = bytes(uc.mem_read(MAIL + _OUT, _TARGET - _OUT))
        result = int.from_bytes(told[:4], "little", signed=True)
        return Outcome(result, Fate(int.from_bytes(told[4:8], "little")), told[8] != 0, told[12:44])

    def state(self) -> bytes:
        """A digest of all that decides what comes next: cells of the flash and what they may read another day, RAM but for
        the stack that nobody owns, mailbox, latch, registers. Two chips with one state live the same life."""
        uc, size, raw = self._uc, self._size, self.nor.raw
        told = hashlib.blake2b(digest_size=16)
        unit = self.nor.layout.write_unit
        told.update(ffi.buffer(lib.nrt_nor_cells(raw), size))
        told.update(ffi.buffer(lib.nrt_nor_others(raw), size))
        told.update(ffi.buffer(lib.nrt_nor_marks(raw), size // unit))
        values = uc.reg_read_batch(_REGISTERS)
        below = max(int(values[_REGISTERS.index(UC_ARM_REG_SP)]) - RAM, RAM_SIZE - STACK)
        ram = uc.mem_read(RAM, RAM_SIZE)
        told.update(bytes(ram[: RAM_SIZE - STACK]))
        told.update(bytes(ram[below:]))
        told.update(bytes(uc.mem_read(MAIL, FILE_AT)))
        told.update(bytes(uc.mem_read(ECC, 0x1000)))
        told.update(repr((values, self._address, self._length, self._flags)).encode())
        return told.digest()

    def stack(self, seed: int = 0) -> int:
        """Bytes of stack that the last power-up used, for RAM began as `seed` says."""
        was, now = random.Random(seed).randbytes(RAM_SIZE), bytes(self._uc.mem_read(RAM, RAM_SIZE))
        low = RAM_SIZE - 4096
        return RAM_SIZE - next((at for at in range(low, RAM_SIZE) if was[at] != now[at]), RAM_SIZE)

    # ---- registers -----------------------------------------------------------------------------------------------------

    def _load(self, uc: Any, offset: int, size: int, _: Any) -> int:
        if offset != STATUS:
            return 0
        if self._busy:
            self._busy -= 1
            if self._busy == 0 and self.strict:
                uc.mem_protect(FLASH, self._size, UC_PROT_READ | UC_PROT_EXEC)
            return BUSY
        return self._flags

    def _store(self, uc: Any, offset: int, size: int, value: int, _: Any) -> None:
        if self._cut or self._fault is not None:
            return
        if offset == ADDRESS:
            self._address = value
        elif offset == LENGTH:
            self._length = value
        elif offset == DONE:
            self._done = True
            uc.emu_stop()
        elif offset == COMMAND:
            try:
                self._operate(uc, value)
            except NeurathError as fault:
                self._fault = fault
                uc.emu_stop()

    def _operate(self, uc: Any, command: int) -> None:
        data = bytes(uc.mem_read(LATCH, self._length)) if command == PROGRAM else b""
        operation = Operation(self._address, data)
        if self.before is not None:
            self.before(operation)
        self.operations.append(operation)
        violations = self.nor.violations
        if not data:
            code = lib.nrt_host_erase(self.nor.raw, self._address)
        else:
            code = lib.nrt_host_program(self.nor.raw, self._address, data, len(data))
        if self.nor.violations != violations:
            raise RuleError("flash was written against its rules", f"{operation}", "see the binary")
        if code == lib.NRT_CUT:
            self._cut = True
            uc.emu_stop()
            return
        self._flags = FAILED if code < 0 else 0
        if self.after is not None:
            self.after()
        if self.strict:
            self._busy = WAITS
            uc.mem_protect(FLASH, self._size, UC_PROT_NONE)

    # ---- what is looked at ---------------------------------------------------------------------------------------------

    def torn(self, spans: list[range]) -> None:
        """Reads from these flash addresses raise the chip's ECC flag where the cells say so."""
        for span in spans:
            self._uc.hook_add(UC_HOOK_MEM_READ, self._ecc, None, FLASH + span.start, FLASH + span.stop - 1)

    def _ecc(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        buffer = ffi.new("uint8_t[]", size)
        if lib.nrt_host_read(self.nor.raw, address - FLASH, buffer, size) == lib.NRT_E_TORN:
            uc.mem_write(ECC, b"\1\0\0\0")

    def _watch(self) -> None:
        uc, at = self._uc, self.program.entry
        for span in self.nor.layout.bank:
            uc.hook_add(UC_HOOK_MEM_READ, self._bank_load, None, FLASH + span.base, FLASH + span.base + span.length - 1)
        for name, call in (("flash_read", self._port_read), ("nrt_flash_read", self._core_read), ("nrt_prove", self._count)):
            uc.hook_add(UC_HOOK_CODE, call, None, at(name), at(name))
        uc.hook_add(UC_HOOK_BLOCK, self._block)

    def _bank_load(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        if address - FLASH not in self._window or address - FLASH + size > self._window.stop:
            where = self.program.at(int(uc.reg_read(UC_ARM_REG_PC)))
            self._fault = RuleError("the bank was read past the port", f"0x{address:x} in {where}", "see the binary")
            uc.emu_stop()

    def _port_read(self, uc: Any, address: int, size: int, _: Any) -> None:
        begin = int(uc.reg_read(UC_ARM_REG_R1))
        self._window = range(begin, begin + int(uc.reg_read(UC_ARM_REG_R3)))

    def _core_read(self, uc: Any, address: int, size: int, _: Any) -> None:
        at = int(uc.reg_read(UC_ARM_REG_R1))
        if any(span.base <= at < span.base + span.length for span in self.nor.layout.bank):
            self.readers.add(self.program.at(int(uc.reg_read(UC_ARM_REG_LR))))

    def _count(self, uc: Any, address: int, size: int, _: Any) -> None:
        self._counting = True

    def _block(self, uc: Any, address: int, size: int, _: Any) -> None:
        if self._counting:
            count = self._blocks.get((address, size))
            if count is None:
                count = self._blocks[address, size] = _instructions(bytes(uc.mem_read(address, size)))
            self.instructions += count


def _instructions(code: bytes) -> int:
    """Thumb instructions in these bytes: a halfword from 0xE800 up is the first of two."""
    at = count = 0
    while at < len(code):
        at += 4 if int.from_bytes(code[at : at + 2], "little") >= 0xE800 else 2
        count += 1
    return count
