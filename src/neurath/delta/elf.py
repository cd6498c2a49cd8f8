"""Sections of two ELF files that belong together: where their bytes and addresses are, whose code or which data. It only
helps: what is no ELF file, or a broken one, has none. It must never trust a number it reads to lie inside the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: Kinds of sections (core/src/sections.h); those from 1 up are instruction sets.
PLAIN, WORDS, SELF, TABLE, APART = 0, 8, 9, 10, 16
#: e_machine, 64-bit -> instruction set. ARM's is found by trial: Thumb or not.
MACHINES = {(40, False): 2, (183, True): 3, (243, False): 4, (62, True): 5}
MOST = 48
_WORDS = (".rela", ".rel.", ".dynsym", ".dynamic", ".data", ".init_array", ".fini_array", ".got", ".symtab", ".tdata")
_ALLOC, _EXEC, _NOBITS, _RELOCATABLE = 2, 4, 8, 1

#: (old offset, lift, new offset, new lift, kind), modulo 2^32.
Section = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One section: bytes of the file [at, at + size), mapped at `address`; size 0 with `room`: memory only."""

    name: str
    at: int
    size: int
    address: int
    flags: int
    room: int = 0


@dataclass(frozen=True, slots=True)
class Elf:
    """What is needed of one file."""

    isa: int
    relocatable: bool
    parts: tuple[Part, ...]


def read(image: bytes) -> Elf | None:
    """The sections with bytes, ascending, and those without; None where this is no ELF file that is understood."""
    if image[:4] != b"\x7fELF" or len(image) < 64 or image[5] != 1:
        return None
    wide = image[4] == 2
    kind, machine = struct.unpack_from("<HH", image, 16)
    isa = MACHINES.get((machine, wide))
    table = struct.unpack_from("<Q", image, 40)[0] if wide else struct.unpack_from("<I", image, 32)[0]
    size, count, names = struct.unpack_from("<HHH", image, 58 if wide else 46)
    if isa is None or not 0 < count <= 512 or table + size * count > len(image) or size < (64 if wide else 40):
        return None
    rows = [_row(image, table + k * size, wide) for k in range(count)]
    if names >= count:
        return None
    text = image[rows[names][2] : rows[names][2] + rows[names][3]]
    parts = []
    for name, type_, at, length, address, flags in rows:
        if type_ and (type_ == _NOBITS or at + length <= len(image)) and length:
            word = text[name : text.find(b"\0", name)].decode("latin-1")
            empty = type_ == _NOBITS
            parts.append(Part(word, at, 0 if empty else length, address & 0xFFFFFFFF, flags, length if empty else 0))
    return Elf(isa, kind == _RELOCATABLE, tuple(sorted(parts, key=lambda p: (p.at, p.size))))


def _row(image: bytes, at: int, wide: bool) -> tuple[int, int, int, int, int, int]:
    """name, type, offset, size, address, flags"""
    if wide:
        name, type_, flags, address, offset, size = struct.unpack_from("<IIQQQQ", image, at)
    else:
        name, type_, flags, address, offset, size = struct.unpack_from("<IIIIII", image, at)
    return name, type_, offset, size, address, flags


def _kind(part: Part, isa: int) -> int:
    apart = 0 if part.flags & _ALLOC else APART
    if part.flags & _EXEC:
        return isa
    if part.name == ".eh_frame":
        return SELF
    if part.name == ".eh_frame_hdr":
        return TABLE
    return (WORDS if part.name.startswith(_WORDS) else PLAIN) | apart


def sections(old: bytes, new: bytes, isa: int | None = None) -> tuple[int, tuple[Section, ...], tuple[tuple[int, int], ...]]:
    """Instruction set, sections that both files have in the same order, and how memory-only ones moved (as `Hints.shifts`);
    (0, (), ()) for none. `isa` stands for the one the files name."""
    before, after = read(old), read(new)
    if before is None or after is None or before.isa != after.isa or before.relocatable:
        return 0, (), ()
    isa = isa or before.isa
    later = {part.name: part for part in after.parts}
    out: list[Section] = [(0, 0, 0, 0, PLAIN | APART)]
    shifts: list[tuple[int, int]] = []
    for part in before.parts:
        twin = later.get(part.name)
        if twin is None:
            continue
        if part.room and part.flags & _ALLOC and ".t" not in part.name:
            shifts += [(part.address, twin.address - part.address & 0xFFFFFFFF), (part.address + part.room, 0)]
        if not part.size or not twin.size or part.at < out[-1][0] or twin.at < out[-1][2]:
            continue
        apart = not part.flags & _ALLOC
        lift, now = (0, 0) if apart else (part.address - part.at, twin.address - twin.at)
        one = (part.at, lift & 0xFFFFFFFF, twin.at, now & 0xFFFFFFFF, _kind(part, isa))
        told = (one[1], one[3], one[4]) == (out[-1][1], out[-1][3], out[-1][4]) and one[4] not in (SELF, TABLE)
        if len(out) < MOST and not told:
            out.append(one)
    return isa, tuple(out), tuple(shifts[:2])


def is_arm(image: bytes) -> bool:
    """Whether it is an ELF file for 32-bit ARM, whose code may be Thumb."""
    return image[:5] == b"\x7fELF\x01" and image[18:20] == b"\x28\0"
