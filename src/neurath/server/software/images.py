"""Reads a firmware image out of the file a person has: raw binary, Intel hex (micro:bit universal hex too), ELF, and knows
.swu and .raucb packages when it sees them. It knows file forms and a model's bank spans; it must never trust a name, an
extension or a length field, and never write anything. Spec: docs/spec/images.md."""

from __future__ import annotations

import bisect
import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from neurath.errors import DataError
from neurath.flash.geometry import Model
from neurath.ids import Contents
from neurath.server.software import squashfs

ImageKind = Literal["bin", "hex", "elf", "swu", "raucb"]
#: Contents of part of the processor's memory: where it begins, and the bytes.
Segment = tuple[int, bytes | memoryview]

#: No image is longer, and no unnamed bank reaches further, than this.
MAX_SPAN = 64 * 1024 * 1024
#: A hole longer than this, without a model to explain it, is taken for a second memory and not for a gap.
MAX_HOLE = 1024 * 1024
#: Words that configure a chip, never part of a bank: Nordic nRF51/nRF52 UICR, nRF53/nRF91 UICR, STM32 option bytes.
CONFIGURATION = (range(0x10001000, 0x10002000), range(0x00FF8000, 0x00FF9000), range(0x1FFF7800, 0x1FFF8000))

#: A linked image lies in a few runs; hostile files scatter single bytes to eat memory.
_MAX_RUNS = 65536
_MAX_SEGMENTS = 1024

_HEX_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*:[0-9A-Fa-f]{10}")
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive", "unpack it and give the image inside"),
    b"UF2\n": ("a UF2 file", "give the .bin, .hex or .elf it was made from"),
}
#: Board ids of universal hex sections (micro:bit universal hex specification).
_MICROBIT_V1 = (0x9900, 0x9901)


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a file says the bank should hold.

    `image` is the bank's contents from its first byte (gaps hold the erased value); `address` is where the processor sees
    the first byte, None when the file does not say; `outside` counts bytes the file has for other memories, left out.
    `version` and `compatible` are what a package says about itself, else empty.
    """

    image: Contents
    address: int | None
    kind: ImageKind
    outside: int = 0
    version: str = ""
    compatible: tuple[str, ...] = ()


def read_image(data: Contents, name: str, model: Model | None = None) -> Firmware:
    """The image in the bytes of a file; its form is told from the contents, `name` serves messages only.

    With a model, addresses are mapped through its bank spans: the image is the concatenation of the spans' contents and
    what lies outside is left out. Raises DataError for anything that is not wholly what it claims to be.
    """
    if not data:
        raise _bad(name, "the file is empty", "build or copy it again", "NRT-610")
    if data[:6] in (b"070701", b"070702") and data[110:125] == b"sw-description\0":
        return _swu(data, name)
    if data[:4] == b"hsqs":
        return _raucb(data, name)
    return _image(bytes(data), name, model)


def _image(data: bytes, name: str, model: Model | None) -> Firmware:
    if data.startswith(b"\x7fELF"):
        return _assembled(_elf_segments(data, name), name, "elf", model)
    if _HEX_START.match(data):
        return _assembled(_hex_segments(data, name), name, "hex", model)
    return _binary(data, name, model)


def _bad(name: str, why: str, hint: str, id: str) -> DataError:  # noqa: A002
    return DataError(f"cannot read an image from {name[:120]!r}", why, hint, id=id)


# --- raw binary -----------------------------------------------------------------------------------------------------


def _binary(data: bytes, name: str, model: Model | None) -> Firmware:
    for magic, (what, hint) in _FOREIGN.items():
        if data.startswith(magic):
            raise _bad(name, f"it is {what}", hint, "NRT-611")
    suffix = PurePath(name).suffix.lower()
    if suffix in (".hex", ".ihex", ".elf", ".axf", ".swu", ".raucb"):
        why = f"its name ends in {suffix} but its contents are not of that form"
        raise _bad(name, why, "build or copy it again; name it .bin if it is a raw image", "NRT-611")
    _check_room(len(data), name, model)
    return Firmware(bytes(data), model.address if model else None, "bin")


def _check_room(size: int, name: str, model: Model | None) -> None:
    room = min(MAX_SPAN, model.layout.bank_size) if model else MAX_SPAN
    if size > room:
        whose = f"the bank of model {model.name} holds" if model else "an image has at most"
        raise _bad(name, f"it is {size} bytes; {whose} {room}", "check that this is the right file and model", "NRT-612")


# --- segments to image ----------------------------------------------------------------------------------------------


def _assembled(segments: list[Segment], name: str, kind: ImageKind, model: Model | None) -> Firmware:
    """One image out of addressed segments; refuses overlaps, and holes that no model explains."""
    segments.sort(key=lambda s: s[0])
    for (base, content), (following, _) in itertools.pairwise(segments):
        if base + len(content) > following:
            why = f"two parts of it both hold address 0x{following:x}"
            raise _bad(name, why, "link or merge it again; two files may have been joined", "NRT-613")
    if model is not None:
        return _in_bank(segments, name, kind, model)
    inside = [s for s in segments if not any(s[0] in area for area in CONFIGURATION)]
    outside = _length(segments) - _length(inside)
    if not inside:
        raise _bad(name, "it holds no data for a bank", "build it again; check the linker's output format", "NRT-614")
    for (base, content), (following, _) in itertools.pairwise(inside):
        if following - base - len(content) > MAX_HOLE:
            why = f"nothing lies between 0x{base + len(content):x} and 0x{following:x}: these are two memories"
            raise _bad(name, why, "name the model (--model M): its bank spans say which parts are the bank", "NRT-615")
    start, end = inside[0][0], inside[-1][0] + len(inside[-1][1])
    _check_room(end - start, name, None)
    image = bytearray(b"\xff") * (end - start)
    for base, content in inside:
        image[base - start : base - start + len(content)] = content
    return Firmware(bytes(image), start, kind, outside)


def _in_bank(segments: Sequence[Segment], name: str, kind: ImageKind, model: Model) -> Firmware:
    """The part of the segments inside the model's bank spans, from the bank's first byte to the last one given."""
    placed: list[Segment] = []
    offset, first = 0, model.layout.bank[0].base
    for span in model.layout.bank:
        low = model.address + span.base - first
        for base, content in segments:
            begin, end = max(base, low), min(base + len(content), low + span.length)
            if begin < end:
                placed.append((offset + begin - low, content[begin - base : end - base]))
        offset += span.length
    if not placed:
        why = f"it has {_length(segments)} bytes, none of them inside the bank of model {model.name}"
        raise _bad(name, why, "check the model's address and bank spans (neurath model show)", "NRT-616")
    size = max(at + len(content) for at, content in placed)
    _check_room(size, name, model)
    image = bytearray([model.layout.erased]) * size
    for at, content in placed:
        image[at : at + len(content)] = content
    return Firmware(bytes(image), model.address, kind, _length(segments) - _length(placed))


def _length(segments: Sequence[Segment]) -> int:
    return sum(len(content) for _, content in segments)


# --- Intel hex ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _HexFile:
    """What has been read of a hex file so far: the runs of data, the address base, and the section being read."""

    name: str
    runs: list[tuple[int, bytearray]]
    base: int = 0
    board: int | None = None
    boards: set[int] | None = None
    ended: bool = False

    def take(self, number: int, kind: int, address: int, content: bytes) -> None:
        """One record; `number` is its line for messages."""
        if self.ended:
            raise self.refuse(number, "there are records after the end record", "two files may have been joined")
        match kind, len(content):
            case 0x00, _:
                self.put(number, address, content)
            case 0x0D, _ if self.boards is not None:
                self.put(number, address, content)
            case 0x01, 0:
                self.ended = True
            case 0x02, 2:
                self.base = int.from_bytes(content, "big") << 4
            case 0x04, 2:
                self.base = int.from_bytes(content, "big") << 16
            case ((0x03 | 0x05), 4):
                pass  # where execution starts: the image itself says so on the parts we know
            case 0x0A, 4:
                self.board = int.from_bytes(content[:2], "big")
                self.boards = (self.boards or set()) | {self.board}
            case ((0x0B | 0x0C | 0x0E), _) if self.boards is not None:
                pass  # end of a block, padding, other data
            case _:
                raise self.refuse(number, f"no record of type {kind:02X} has {len(content)} bytes", "build it again")

    def put(self, number: int, address: int, content: bytes) -> None:
        if not content or (self.board is not None and self.board not in _MICROBIT_V1):
            return
        start = self.base + address
        if address + len(content) > 0x10000:
            raise self.refuse(number, "a record runs over its 64 KiB segment", "build it again")
        if self.runs and self.runs[-1][0] + len(self.runs[-1][1]) == start:
            self.runs[-1][1].extend(content)
        elif len(self.runs) == _MAX_RUNS:
            raise self.refuse(number, f"the data lies in more than {_MAX_RUNS} places", "link it again, or give the .bin")
        else:
            self.runs.append((start, bytearray(content)))

    def refuse(self, number: int, why: str, hint: str) -> DataError:
        return _bad(self.name, f"line {number}: {why}", hint, "NRT-617")


def _hex_segments(data: bytes, name: str) -> list[Segment]:
    if len(data) > 4 * MAX_SPAN:
        raise _bad(name, f"{len(data)} bytes of hex are more than any image", "check that this is the right file", "NRT-612")
    found = _HexFile(name, [])
    for number, line in _hex_lines(data):
        try:
            record = bytes.fromhex(line[1:].decode("ascii")) if line.startswith(b":") and b" " not in line else b""
        except ValueError:
            record = b""
        if len(record) < 5 or len(record) != record[0] + 5:
            raise found.refuse(number, "this is not a whole record", "the file is damaged or cut short: copy it again")
        if sum(record) & 0xFF:
            raise found.refuse(number, "the checksum is wrong", "the file is damaged: copy it again")
        found.take(number, record[3], int.from_bytes(record[1:3], "big"), record[4:-1])
    if not found.ended:
        raise _bad(name, "it has no end record", "the file is cut short: copy it again", "NRT-617")
    if found.boards and not found.runs:
        boards = ", ".join(f"0x{b:04X}" for b in sorted(found.boards)[:4])
        why = f"it is a universal hex with sections for boards {boards} and none for micro:bit V1 (0x9900, 0x9901)"
        raise _bad(name, why, "give the plain .hex of the one board (uflash or the build makes it)", "NRT-618")
    return [(base, bytes(content)) for base, content in found.runs]


def _hex_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if stripped := line.strip():
            yield number, stripped


# --- ELF ------------------------------------------------------------------------------------------------------------


def _elf_segments(data: bytes, name: str) -> list[Segment]:
    """What a loader puts into memory: PT_LOAD segments at their physical addresses, without the ELF headers that some
    linkers leave in the first one. Source: System V ABI, gABI chapter 5."""
    try:
        wide, order = {1: False, 2: True}[data[4]], {1: "<", 2: ">"}[data[5]]
        header = struct.unpack_from(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), data, 16)
        segments = list(_loads(data, header, order, wide))
    except (KeyError, IndexError, OverflowError, struct.error):
        raise _bad(name, "its ELF headers are damaged or cut short", "build or copy it again", "NRT-619") from None
    if not segments:
        why = "this ELF file has nothing to load; it may be an object file"
        raise _bad(name, why, "give the linked image", "NRT-614")
    view = memoryview(data)
    for _, offset, size in segments:
        if offset + size > len(data):
            raise _bad(name, "a segment lies beyond the end of the file", "the file is cut short: copy it again", "NRT-619")
    return [(address, view[offset : offset + size]) for address, offset, size in segments]


def _loads(data: bytes, header: tuple[int, ...], order: str, wide: bool) -> Iterator[tuple[int, int, int]]:
    """(physical address, file offset, size) of each PT_LOAD segment with contents."""
    table, entry, count = header[4], header[8], header[9]
    if count > _MAX_SEGMENTS:
        raise IndexError(count)
    starts = sorted(_section_offsets(data, header, order, wide))
    for index in range(count):
        fields = struct.unpack_from(order + ("IIQQQQQQ" if wide else "IIIIIIII"), data, table + index * entry)
        kind = fields[0]
        offset, address, size = (fields[2], fields[4], fields[5]) if wide else (fields[1], fields[3], fields[4])
        if kind != 1 or not size:
            continue
        if offset < table + count * entry:
            after = bisect.bisect_left(starts, offset)
            start = starts[after] if after < len(starts) and starts[after] < offset + size else offset + size
            offset, address, size = start, address + start - offset, offset + size - start
        if size:
            yield address, offset, size


def _section_offsets(data: bytes, header: tuple[int, ...], order: str, wide: bool) -> Iterator[int]:
    """File offsets of the allocated sections that have contents."""
    table, entry, count = header[5], header[10], header[11]
    for index in range(count):
        fields = struct.unpack_from(order + ("IIQQQQ" if wide else "IIIIII"), data, table + index * entry)
        kind, flags, offset, size = fields[1], fields[2], fields[4], fields[5]
        if flags & 2 and kind not in (0, 8) and size:
            yield offset


# --- packages of other updaters ---------------------------------------------------------------------------------------


def _swu(data: Contents, name: str) -> Firmware:
    """A SWUpdate package: a cpio archive whose first member is sw-description. Taken whole, as its client wants it."""
    try:
        size, name_size = int(data[54:62], 16), int(data[94:102], 16)
    except ValueError:
        raise _bad(name, "its cpio header is damaged", "build or copy it again", "NRT-619") from None
    start = -(-(110 + name_size) // 4) * 4
    text = data[start : start + size]
    if len(text) != size or b"TRAILER!!!" not in data[-1024:]:
        raise _bad(name, "the package is cut short", "build or copy it again", "NRT-619")
    words = text[:65536].decode("utf-8", "replace")
    version = re.search(r'^\s*version\s*[=:]\s*"([^"\n]{1,64})"', words, re.MULTILINE)
    boards = re.search(r"hardware-compatibility\s*[=:]\s*\[([^\]]{0,512})\]", words)
    compatible = tuple(re.findall(r'"([^"\n]{1,64})"', boards[1])) if boards else ()
    return Firmware(data, None, "swu", version=version[1] if version else "", compatible=compatible)


def _raucb(data: Contents, name: str) -> Firmware:
    """A RAUC bundle: a squashfs with a CMS signature behind it, whose size stands in the last 8 bytes. Taken whole."""
    used = int.from_bytes(data[40:48], "little")
    signature = int.from_bytes(data[-8:], "big")
    if len(data) < 104 or not 96 <= used <= len(data) - 8 - signature or not signature:
        why = "it is a squashfs without the signature of a RAUC bundle behind it"
        raise _bad(name, why, "give the .raucb that `rauc bundle` wrote; it may be cut short", "NRT-619")
    text = (squashfs.read(memoryview(data)[:used], "manifest.raucm") or b"").decode("utf-8", "replace")
    section = re.search(r"^\[update\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    said = dict(re.findall(r"^\s*([a-z-]+)\s*=\s*([^\n]{0,128}?)\s*$", section[1], re.MULTILINE)) if section else {}
    compatible = (said["compatible"],) if said.get("compatible") else ()
    return Firmware(data, None, "raucb", version=said.get("version", "")[:64], compatible=compatible)
