"""The C encoder of profiles 2 to 4 from Python: control table, groups, and the images as a second pass of matching compares
them. It knows core/ports/encode_small.h; it must never contain a model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import neurath.flash._core as _core
from neurath.delta.match import Segment
from neurath.flash.profiles import LARGE, QUICK, SMALL, TINY


class Brisk(int):
    """The window of a profile 5 that goes on through the file."""


#: Profile 2 or 5 group by group; profile 3; profile 4; 2 or 5 going on through the file, with a window of so many bytes.
Model = Literal["small", "quick", "large", "tiny"] | int | Brisk
#: Profiles that predict fields by the map, and what their model is called.
MAPPED: dict[int, Model] = {SMALL: "small", QUICK: "quick", LARGE: "large", TINY: "tiny"}
#: Old bytes one mark of `gone` stands for.
GRAIN = 64


@dataclass(frozen=True, slots=True)
class Hints:
    """What the encoder was told or found out about the two images: instruction set, where the image is mapped, the address
    another part of it counts from (0: none), and how ranges of words grew, as (from, by) with by modulo 2^32; the last
    range ends the list. `sections` as delta.elf names them, for the large profile."""

    isa: int = 0
    address: int = 0
    also: int = 0
    shifts: tuple[tuple[int, int], ...] = ()
    sections: tuple[tuple[int, int, int, int, int], ...] = ()


@dataclass(slots=True)
class Spent:
    """Where the bits of the groups went, in bytes; `missed` and `literal` count bytes of the image, `noise` those literals
    that are compressed or encrypted."""

    flags: float = 0.0
    misses: float = 0.0
    literals: float = 0.0
    copies: float = 0.0
    missed: int = 0
    literal: int = 0
    noise: int = 0


class Task:
    """struct nrt_task over these values, and what keeps it alive."""

    def __init__(self, old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints, model: Model = "small") -> None:
        before, after = _core.ffi.from_buffer(old), _core.ffi.from_buffer(new)
        table = _core.ffi.new("uint32_t[]", [v & 0xFFFFFFFF for s in segments for v in (s.at, s.source, s.length)] or [0])
        shifts = _core.ffi.new("uint32_t[]", [v for pair in hints.shifts for v in pair] or [0])
        sections = _core.ffi.new("uint32_t[]", [v for one in hints.sections for v in one] or [0])
        self._held = (before, after, table, shifts, sections)
        self.raw = _core.ffi.new(
            "struct nrt_task *",
            {
                "old_image": _core.ffi.cast("uint8_t *", before),
                "new_image": _core.ffi.cast("uint8_t *", after),
                "segments": table,
                "shifts": shifts,
                "sections": sections,
                "old_size": len(old),
                "new_size": len(new),
                "n_segments": len(segments),
                "n_shifts": len(hints.shifts),
                "n_sections": len(hints.sections),
                "isa": hints.isa,
                "address": hints.address,
                "also": hints.also,
                "large": model == "large",
                "tiny": model == "tiny",
                "quick": model == "quick" or isinstance(model, Brisk),
                "flow": isinstance(model, int),
                "window": model if isinstance(model, int) else 0,
            },
        )


class Encoder:
    """Holds both images and the map of their segments while groups are coded."""

    def __init__(self, old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints, model: Model = "small") -> None:
        """`model` is "small", "quick", "large", "tiny", or the window in bytes of a 2 or 5 that goes on through the file."""
        self.large, self.flows = model == "large", isinstance(model, int)
        self._task = Task(old, new, segments, hints, model)
        self._spent = _core.ffi.new("struct nrt_spent *")
        self._count = len(segments) + len(hints.shifts) + 2 * len(hints.sections)
        state = _core.lib.nrt_encoder_open(self._task.raw)
        if state == _core.ffi.NULL:
            raise MemoryError
        self._state = _core.ffi.gc(state, _core.lib.nrt_encoder_close)

    def control(self) -> bytes:
        """The coded control table."""
        room = 24 * self._count + 64
        out = _core.ffi.new("uint8_t[]", room)
        return _taken(out, _core.lib.nrt_encoder_control(self._state, out, room))

    def anew(self, taught: tuple[int, int]) -> None:
        """Profile 3: the next group begins with a fresh model, taught the old bytes from the first offset up to the second."""
        _core.lib.nrt_encoder_anew(self._state, *taught)

    def unit(self) -> None:
        """A profile 2 that goes on: the next group begins with a fresh model, and nothing was made before it."""
        _core.lib.nrt_encoder_unit(self._state)

    def group(self, start: int, end: int, gone: bytearray | None = None) -> bytes:
        """The frame of new bytes [start, end); `gone` has a byte for every GRAIN old bytes, 0 where they can be read."""
        room = 4 * (end - start) + 64
        out = _core.ffi.new("uint8_t[]", room)
        marks = _core.ffi.NULL if gone is None else _core.ffi.from_buffer(gone)
        used = _core.lib.nrt_encoder_group(self._state, start, end, _core.ffi.cast("uint8_t *", marks), out, room, self._spent)
        return _taken(out, used)

    @property
    def spent(self) -> Spent:
        """The account of all groups so far."""
        s = self._spent
        flags, misses, literals, copies = (v / 8 / 256 for v in (s.flags, s.misses, s.literals, s.copies))
        return Spent(flags, misses, literals, copies, s.missed, s.literal, s.noise)


class Whole:
    """A full image in profile 2 whose model goes on: its copies are chosen when it is made, its frames come in image order."""

    def __init__(self, image: bytes, group: int, window: int) -> None:
        self._image, self._group = _core.ffi.from_buffer(image), group
        state = _core.lib.nrt_whole_open(_core.ffi.cast("uint8_t *", self._image), len(image), group, window)
        if state == _core.ffi.NULL:
            raise MemoryError
        self._state = _core.ffi.gc(state, _core.lib.nrt_whole_close)

    def frame(self) -> bytes:
        """That of the next group."""
        room = 4 * self._group + 64
        out = _core.ffi.new("uint8_t[]", room)
        return _taken(out, _core.lib.nrt_whole_group(self._state, out, room))


def _taken(buffer: object, used: int) -> bytes:
    if used < 0:
        raise AssertionError("the encoder's room is a bound, not a guess")
    return bytes(_core.ffi.buffer(buffer, used))
