"""From segments to frames: the control table and the groups, coded by the profile's own encoder. Profile 1 runs the core's
model in C (core/ports/encode.c); it must never contain a second one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import neurath.flash._core as _core
from neurath.delta.encoder import GRAIN, MAPPED, Encoder, Hints, Whole
from neurath.delta.format import numbers, varint
from neurath.delta.match import Segment
from neurath.flash.profiles import LARGE, RAW


def groups(units: Sequence[tuple[int, int]], order: Sequence[int], new_size: int, group: int) -> list[tuple[int, int]]:
    """Image ranges of all groups, in the order of their frames."""
    out = []
    for unit in order:
        start, end = units[unit][0], min(units[unit][1], new_size)
        out += [(at, min(at + group, end)) for at in range(start, end, group)]
    return out


def control(profile: int, segments: Sequence[Segment]) -> bytes:
    """The coded control table, empty for none."""
    values = numbers(segments)
    if profile in MAPPED and segments:
        return Encoder(b"", b"", segments, Hints(), MAPPED[profile]).control()
    if profile == RAW:
        return b"".join(varint(v) for v in values)
    if not values:
        return b""
    room = 16 * len(values) + 16
    out = _core.ffi.new("uint8_t[]", room)
    used = _core.lib.nrt_encode_control(_core.ffi.new("uint32_t[]", values), len(segments), out, room)
    return _taken(out, used)


def frames(
    profile: int, old: bytes, new: bytes, segments: Sequence[Segment], ranges: Iterable[tuple[int, int]]
) -> list[bytes]:
    """One frame for each range of the new image; in profile 3 each is a commit unit of one group, in place."""
    if profile == RAW:
        return [_literals(new, segments, start, end) for start, end in ranges]
    if profile in MAPPED:
        encoder, made = Encoder(old, new, segments, Hints(), MAPPED[profile]), []
        for start, end in ranges:
            if profile == LARGE:
                encoder.anew((min(start, len(old)), min(end, len(old))))
            made.append(encoder.group(start, end))
        return made
    flat = _core.ffi.new("uint32_t[]", [v for s in segments for v in (s.at, s.source, s.length)] or [0])
    before, after = _core.ffi.from_buffer(old), _core.ffi.from_buffer(new)
    out = []
    for start, end in ranges:
        room = 2 * (end - start) + 64
        frame = _core.ffi.new("uint8_t[]", room)
        used = _core.lib.nrt_encode_group(before, after, flat, len(segments), start, end, frame, room)
        out.append(_taken(frame, used))
    return out


def _taken(buffer: object, used: int) -> bytes:
    if used < 0:
        raise AssertionError("the encoder's room is a bound, not a guess")
    return bytes(_core.ffi.buffer(buffer, used))


def _literals(new: bytes, segments: Sequence[Segment], start: int, end: int) -> bytes:
    out, at = [], start
    for s in segments:
        if s.end > start and s.at < end:
            out.append(new[at : max(at, s.at)])
            at = min(s.end, end)
    return b"".join([*out, new[at:end]])


def whole_frames(new: bytes, group: int, window: int) -> list[bytes]:
    """A full image in profile 2 whose model goes on, in image order."""
    whole = Whole(new, group, window)
    return [whole.frame() for _ in range(0, len(new), group)]


#: Old bytes that teach profile 3 at most, where the old image stays (core/src/large.h); in place those of the unit do.
TAUGHT = 1 << 19


def small_frames(
    encoder: Encoder, units: Sequence[tuple[int, int]], order: Sequence[int], sizes: tuple[int, int, int], joint: int | None
) -> list[bytes]:
    """The frames of profiles 2 to 4; `sizes` are those of old image, new image and group. In place, nothing is read that was
    committed by then, `joint` units at once, or sliding (0); None: not in place, nothing goes. The model of profile 3 goes on
    through the file, in place through a unit."""
    old_size, new_size, group = sizes
    gone = bytearray(old_size // GRAIN + 1)
    out = []
    if encoder.large and joint is None:
        encoder.anew((0, min(old_size, TAUGHT)))
    step = len(order) if joint is None else joint or 1
    for k in range(0, len(order), step or 1):
        together = order[k : k + step]
        for unit in together:
            if encoder.flows and joint is not None:
                encoder.unit()
            if encoder.large and joint is not None:
                encoder.anew((min(units[unit][0], old_size), min(units[unit][1], old_size)))
            spans = groups(units, [unit], new_size, group)
            out += [encoder.group(*span, None if joint is None else gone) for span in spans]
        for unit in order[max(0, k - 1) : k] if joint == 0 else together:
            first, last = units[unit][0] // GRAIN, min(units[unit][1], old_size) // GRAIN + 1
            gone[first:last] = b"\1" * (last - first)
    return out
