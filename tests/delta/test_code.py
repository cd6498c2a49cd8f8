"""The coders: what the encoder writes, the core and the slow oracle read, byte for byte."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import code, native
from neurath.delta.apply import apply
from neurath.delta.format import Head, pack
from neurath.delta.match import Exact, Segment, Suffix
from neurath.errors import DataError, NeurathError
from neurath.flash.profiles import RAW, SIMPLE, SMALL
from tests.delta.images import pair, small_layout

LAYOUT = small_layout(16384)
UNITS = native.units(LAYOUT)


def made(old: bytes, new: bytes, profile: int, table: list[Segment]) -> bytes:
    order = tuple(range(-(-len(new) // 2048)))
    head = Head(
        profile=profile,
        old_size=len(old),
        new_size=len(new),
        base=zlib.crc32(old) & 0xFFFF if old else 0,
        crc=zlib.crc32(new, zlib.crc32(old)),
        group=2048,
        unit_shift=0,
        order=order,
        segments=len(table),
        control=code.control(profile, table),
    )
    return pack(head, code.frames(profile, old, new, table, code.groups(UNITS, order, len(new), 2048)))


@pytest.mark.parametrize("profile", [RAW, SIMPLE, SMALL])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
def test_core_and_oracle_decode_what_was_encoded(profile: int, seed: int) -> None:
    old, new = pair(seed, 12)
    table = (Exact(Suffix()) if profile == RAW else Suffix()).match(old, new)[:512]
    data = made(old, new, profile, table)
    assert native.decode_apart(old, data, LAYOUT) == new
    assert apply(old, data, UNITS) == new


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_bytes_under_any_table_come_back(data: st.DataObject) -> None:
    old, new = data.draw(st.binary(min_size=1, max_size=600)), data.draw(st.binary(min_size=1, max_size=600))
    table, at = [], 0
    while at < len(new) and len(table) < 40 and data.draw(st.booleans()):
        at += data.draw(st.integers(0, 20))
        length = data.draw(st.integers(1, 60))
        source = data.draw(st.integers(0, len(old) - 1))
        if at + length > len(new) or source + length > len(old):
            break
        table.append(Segment(at, source, length))
        at += length
    assert native.decode_apart(old, made(old, new, SIMPLE, table), LAYOUT) == new


@pytest.mark.parametrize("new", [bytes(8192), b"\xff" * 8192, random.Random(1).randbytes(8192), b"\0\xff" * 4096])
def test_extreme_images_come_back_and_noise_hardly_grows(new: bytes) -> None:
    data = made(b"", new, SIMPLE, [])
    assert native.decode_apart(b"", data, LAYOUT) == new
    assert apply(b"", data, UNITS) == new
    assert len(data) < len(new) * 1.04 + 60


def test_the_core_refuses_what_the_oracle_refuses() -> None:
    """Flips and cuts: neither crashes, and where both decode, both decode the same."""
    old, new = pair(7, 8)
    data = made(old, new, SIMPLE, Suffix().match(old, new))
    dice = random.Random(2)
    for _ in range(40):
        broken = bytearray(data)
        broken[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        ours = _outcome(lambda broken=bytes(broken): native.decode_apart(old, broken, LAYOUT))
        theirs = _outcome(lambda broken=bytes(broken): apply(old, broken, UNITS))
        assert theirs in (ours, None)


def _outcome(call) -> bytes | None:  # type: ignore[no-untyped-def]
    try:
        return bytes(call())
    except NeurathError:
        return None


def test_a_frame_longer_than_what_it_says_is_refused() -> None:
    _old, new = pair(8, 6)
    for profile in (RAW, SIMPLE, SMALL):
        order = (0,)
        head = Head(profile, 0, 100, 0, 0, 2048, 0, order)
        frame = code.frames(profile, b"", new[:100], [], [(0, 100)])[0]
        assert native.decode_apart(b"", pack(head, [frame]), LAYOUT) == new[:100]
        with pytest.raises(DataError):
            native.decode_apart(b"", pack(head, [frame + b"\1" * 6]), LAYOUT)
        with pytest.raises(DataError):
            native.decode_apart(b"", pack(head, [frame[:-6]]), LAYOUT)
