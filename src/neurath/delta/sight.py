"""What the decoder's own prediction makes of two images before anything is coded (core/ports/sight.c): the images to be
compared again, the bytes an instruction set would miss, functions and calls. It must never predict by itself."""

from __future__ import annotations

from collections.abc import Sequence

import neurath.flash._core as _core
from neurath.delta.encoder import Hints, Task
from neurath.delta.match import Segment

#: Segments of the map at most, for its indices are 16 bits: the longest ones.
MAP = 32768
#: Functions looked for.
STARTS = 1 << 18


class Sight:
    """Both images and the map of these segments, seen by these hints."""

    def __init__(self, old: bytes, new: bytes, segments: Sequence[Segment], hints: Hints) -> None:
        if len(segments) > MAP:
            longest = sorted(segments, key=lambda s: s.length, reverse=True)[:MAP]
            segments = sorted(longest, key=lambda s: s.at)
        self._sizes = (len(old), len(new))
        self._task = Task(old, new, segments, hints)
        state = _core.lib.nrt_sight_open(self._task.raw)
        if state == _core.ffi.NULL:
            raise MemoryError
        self._state = _core.ffi.gc(state, _core.lib.nrt_sight_close)

    def normal(self, *, is_old: bool) -> bytes:
        """One of the images with what names a place rewritten so that equal code looks equal wherever it stands."""
        size = self._sizes[0] if is_old else self._sizes[1]
        out = bytearray(size)
        _core.lib.nrt_sight_normal(self._state, is_old, _core.ffi.from_buffer("uint8_t[]", out, require_writable=True))
        return bytes(out)

    def missed(self) -> int:
        """Bytes of all segments that are not what is predicted."""
        return int(_core.lib.nrt_sight_missed(self._state))


def starts(isa: int, image: bytes) -> list[int]:
    """Offsets where functions of this instruction set seem to begin, ascending."""
    out = _core.ffi.new("uint32_t[]", min(STARTS, len(image) + 1))
    held = _core.ffi.from_buffer("uint8_t[]", image)
    return list(out[0 : _core.lib.nrt_sight_starts(isa, held, len(image), out, len(out))])


def calls(isa: int, image: bytes, places: Sequence[int]) -> int:
    """How many calls lead to one of these ascending offsets."""
    held = _core.ffi.from_buffer("uint8_t[]", image)
    known = _core.ffi.new("uint32_t[]", list(places) or [0])
    return int(_core.lib.nrt_sight_calls(isa, held, len(image), known, len(places)))
