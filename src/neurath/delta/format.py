"""The update-file container as bytes (docs/spec/delta.md): header, order, saves, control table, frames. It knows every field
and its bounds; it must never decode a frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from neurath.delta.match import Segment
from neurath.errors import DataError
from neurath.flash.profiles import LARGE, QUICK, RAW, SIMPLE, SMALL, SMALL_KIND, TINY

MAGIC = b"NRU\x01"
PROFILES = {RAW: "raw", SIMPLE: "simple", SMALL: "small", LARGE: "large", TINY: "tiny", QUICK: "quick"}
MAX_ISA = 5
MAX_SEGMENTS, MAX_SAVES, MAX_ORDER = 512, 64, 4096
MAX_JOINT = 6
MAX_WINDOW = 65535
#: Of profile 3.
LARGE_SEGMENTS = 4096
_ADDRESS, _SAVES, _APART, _JOINT, _FLOW, _RESUME, _HYBRID, _SLIDE = (1 << bit for bit in range(8))
#: Of the byte that names profile and instruction set: the control table lists sections.
_SECTIONS = 0x80
#: Unit shift of a memory map whose sectors are of several sizes.
IRREGULAR = 7

Kind = Literal["delta", "full"]


@dataclass(frozen=True, slots=True)
class Save:
    """Before plan position `before` commits, the old sector at image offset `offset` goes to scratch."""

    before: int
    offset: int


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the frames, with the control table still coded.

    Sizes in bytes; `base` is the low half of the old image's CRC-32 (0 for a full image), `crc` the CRC-32 over old and
    new image, one after the other; `order` are commit units in plan order; every unit of the memory map is
    `group << unit_shift` long, or it is IRREGULAR; `apart` says that old bytes never go away (not in place); `joint`
    units in plan order are committed at once; `flow`: the model goes on from the first frame to the last, copies may come
    from the last `window` bytes made; `resume`: rewritten from RAM, without scratch; `hybrid`: made for what a cut left
    (docs/spec/rescue.md), `base` is the tag of that; `slide`: each unit is decoded before the one ahead of it is committed;
    `sections`: the control table lists them.
    """

    profile: int
    old_size: int
    new_size: int
    base: int
    crc: int
    group: int
    unit_shift: int
    order: tuple[int, ...]
    segments: int = 0
    control: bytes = b""
    saves: tuple[Save, ...] = ()
    isa: int = 0
    address: int = 0
    apart: bool = False
    joint: int = 1
    flow: bool = False
    window: int = 0
    resume: bool = False
    hybrid: bool = False
    slide: bool = False
    sections: bool = False

    @property
    def kind(self) -> Kind:
        return "delta" if self.old_size else "full"


def varint(value: int) -> bytes:
    """Little-endian base 128, as short as possible."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack(head: Head, frames: Sequence[bytes]) -> bytes:
    """The whole file; frames are those of the groups of each unit, in plan order."""
    flags = (_ADDRESS if head.address else 0) | (_SAVES if head.saves else 0) | (_APART if head.apart else 0)
    flags |= (_JOINT if head.joint > 1 else 0) | (_FLOW if head.flow else 0)
    flags |= (_RESUME if head.resume else 0) | (_HYBRID if head.hybrid else 0) | (_SLIDE if head.slide else 0)
    out = [MAGIC, bytes((_SECTIONS * head.sections | head.isa << 4 | head.profile, flags))]
    if head.address:
        out.append(varint(head.address))
    if head.flow:
        out.append(varint(head.window))
    out += [varint(head.old_size), varint(head.new_size)]
    if head.old_size:
        out.append(struct.pack("<H", head.base))
    out.append(struct.pack("<I", head.crc))
    out += [bytes((head.unit_shift << 5 | head.group.bit_length() - 1,)), varint(len(head.order))]
    out += [varint(first) + varint(run) for first, run in _runs(head.order)]
    if head.joint > 1:
        out.append(varint(head.joint))
    if head.saves:
        out.append(varint(len(head.saves)))
        before = 0
        for save in head.saves:
            out.append(varint(save.before - before) + varint(save.offset))
            before = save.before
    out.append(varint(head.segments))
    if head.segments:
        out.append(varint(len(head.control)) + head.control)
    out += [varint(len(frame)) + frame for frame in frames]
    return b"".join(out)


def _runs(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of neighbouring units: (first, (count - 1) * 2 + 1 if downwards)."""
    i = 0
    while i < len(order):
        step = order[i + 1] - order[i] if i + 1 < len(order) else 0
        end = i + 1
        if step in (1, -1):
            while end < len(order) and order[end] - order[end - 1] == step:
                end += 1
        yield order[i], (end - i - 1) * 2 + (step == -1)
        i = end


def most_segments(profile: int) -> int:
    """How long a control table may be."""
    return LARGE_SEGMENTS if profile == LARGE else MAX_SEGMENTS


def numbers(segments: Sequence[Segment]) -> list[int]:
    """The control table as it is coded: gap, length, turn for each segment."""
    out = []
    at = source = 0
    for s in segments:
        gap = s.at - at
        turn = s.source - (source + gap)
        out += [gap, s.length, turn * 2 if turn >= 0 else -turn * 2 - 1]
        at, source = s.end, s.source + s.length
    return out


def segments(values: Sequence[int], head: Head) -> list[Segment]:
    """The control table back from its numbers, or DataError where a segment leaves an image."""
    out = []
    at = source = 0
    for i in range(0, len(values), 3):
        gap, length, turn = values[i : i + 3]
        at += gap
        source += gap + (-(turn >> 1) - 1 if turn & 1 else turn >> 1)
        if (
            (length == 0 and head.profile < SMALL)
            or at + length > head.new_size
            or source < 0
            or source + length > head.old_size
        ):
            raise malformed("a copy leaves the images")
        out.append(Segment(at, source, length))
        at, source = at + length, source + length
    return out


class Reader:
    """Strict forward reading of the container; every failure is a DataError."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise malformed(f"it ends at byte {len(self.data)} in the middle of a field")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            if (shift == 28 and byte > 0x0F) or (shift and byte == 0):
                raise malformed("a number is longer than necessary")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise malformed("a number is longer than 32 bits")


def is_hybrid(begin: bytes) -> bool:
    """Whether a file that begins so was made for what a cut left of a rewrite."""
    return begin[:4] == MAGIC and len(begin) > 5 and bool(begin[5] & _HYBRID)


def parse(data: bytes) -> tuple[Head, list[bytes]]:
    """Header and frames. Which frame belongs to which unit only a memory map can say; the core checks that."""
    r = Reader(data)
    if r.take(4) != MAGIC:
        raise malformed("it does not begin like one")
    kind, flags = r.take(2)
    _check_flags(kind, flags)
    address = r.varint() if flags & _ADDRESS else 0
    window = r.varint() if flags & _FLOW else 0
    if window > (MAX_WINDOW if kind & 0x0F in SMALL_KIND else 0):
        raise malformed("it looks back too far")
    old_size, new_size = r.varint(), r.varint()
    base = struct.unpack("<H", r.take(2))[0] if old_size else 0
    if flags & _FLOW and (kind & 0x0F < SMALL or (kind & 0x0F == LARGE and old_size and not flags & _APART)):
        raise malformed("its model cannot go on from group to group")
    crc = struct.unpack("<I", r.take(4))[0]
    grain = r.take(1)[0]
    if not 6 <= grain & 31 <= 24 or new_size == 0:
        raise malformed("a size in its header is impossible")
    order = _read_order(r)
    joint = r.varint() if flags & _JOINT else 1
    if flags & _JOINT and (not 2 <= joint <= MAX_JOINT or flags & (_SAVES | _APART)):
        raise malformed("it joins units in a way that is impossible")
    saves = _read_saves(r, len(order)) if flags & _SAVES else ()
    count = r.varint()
    if count > most_segments(kind & 0x0F) or (count and not old_size):
        raise malformed("its control table is longer than allowed")
    control = r.take(r.varint()) if count else b""
    head = Head(
        profile=kind & 0x0F,
        old_size=old_size,
        new_size=new_size,
        base=base,
        crc=crc,
        group=1 << (grain & 31),
        unit_shift=grain >> 5,
        order=order,
        segments=count,
        control=control,
        saves=saves,
        isa=kind >> 4 & 7,
        address=address,
        apart=bool(flags & _APART),
        joint=joint,
        sections=bool(kind & _SECTIONS),
        flow=bool(flags & _FLOW),
        window=window,
        resume=bool(flags & _RESUME),
        hybrid=bool(flags & _HYBRID),
        slide=bool(flags & _SLIDE),
    )
    return head, list(_frames(r, len(data)))


def _frames(r: Reader, end: int) -> Iterator[bytes]:
    while r.at < end:
        yield r.take(r.varint())


def _check_flags(kind: int, flags: int) -> None:
    """Refuses profiles, instruction sets and flags that are not known, or exclude each other."""
    if (
        kind & 0x0F not in PROFILES
        or (kind >> 4 & 7) > (MAX_ISA if kind & 0x0F >= SMALL else 0)
        or (kind & _SECTIONS and kind & 0x0F != LARGE)
        or (kind & 0x0F == TINY and flags & (_FLOW | _SAVES))
        or (flags & _RESUME and flags & (_SAVES | _APART | _JOINT))
        or (flags & _HYBRID and flags & (_SAVES | _APART | _FLOW))
        or (flags & _SLIDE and flags & (_SAVES | _APART | _JOINT | _RESUME | _HYBRID))
    ):
        raise malformed("it asks for a profile or a flag this version does not know")


def _read_order(r: Reader) -> tuple[int, ...]:
    count = r.varint()
    order: list[int] = []
    if count > MAX_ORDER:
        raise malformed("it lists more commit units than allowed")
    while len(order) < count:
        first, run = r.varint(), r.varint()
        step = -1 if run & 1 else 1
        length = (run >> 1) + 1
        if length > count - len(order) or (length == 1 and step < 0) or first + step * (length - 1) < 0:
            raise malformed("its order of commit units is impossible")
        order += range(first, first + step * length, step)
    if len(set(order)) != count:
        raise malformed("it lists a commit unit twice")
    return tuple(order)


def _read_saves(r: Reader, units: int) -> tuple[Save, ...]:
    count = r.varint()
    if not 1 <= count <= MAX_SAVES:
        raise malformed("it saves more sectors than allowed")
    saves = []
    before = 0
    for _ in range(count):
        before += r.varint()
        saves.append(Save(before, r.varint()))
    if before >= units:
        raise malformed("it saves a sector after the last unit")
    return tuple(saves)


def malformed(why: str) -> DataError:
    return DataError(
        "this is not a whole update file", why, "fetch it again, or make it with `neurath delta create`", id="NRT-280"
    )
