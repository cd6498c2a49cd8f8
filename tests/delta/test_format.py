"""The container as bytes: what is written is read, everything else is refused."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta.format import MAX_JOINT, MAX_SEGMENTS, Head, Reader, Save, numbers, pack, parse, segments, varint
from neurath.delta.match import Segment
from neurath.errors import DataError

UINT32 = st.integers(0, 2**32 - 1)


@st.composite
def heads(draw: st.DrawFn) -> Head:
    order = tuple(draw(st.permutations(range(draw(st.integers(0, 12))))))
    count = draw(st.integers(0, MAX_SEGMENTS))
    old_size = draw(st.integers(1, 2**32 - 1)) if count else draw(UINT32)
    steps = sorted(draw(st.lists(st.integers(0, len(order) - 1), max_size=4))) if order else []
    apart = draw(st.booleans())
    return Head(
        profile=draw(st.sampled_from((0, 1))),
        old_size=old_size,
        new_size=draw(st.integers(1, 2**32 - 1)),
        base=draw(st.integers(0, 0xFFFF)) if old_size else 0,
        crc=draw(UINT32),
        group=1 << draw(st.integers(6, 24)),
        unit_shift=draw(st.integers(0, 7)),
        order=order,
        segments=count,
        control=draw(st.binary(max_size=40)) if count else b"",
        saves=tuple(Save(step, draw(UINT32)) for step in steps),
        address=draw(UINT32),
        apart=apart,
        joint=1 if apart or steps else draw(st.integers(1, MAX_JOINT)),
    )


@given(heads(), st.lists(st.binary(max_size=20), max_size=5))
def test_a_packed_file_parses_back(head: Head, frames: list[bytes]) -> None:
    assert parse(pack(head, frames)) == (head, frames)


@given(st.binary(max_size=200), st.booleans())
def test_no_byte_string_crashes_parse(data: bytes, begins_well: bool) -> None:
    with contextlib.suppress(DataError):
        parse(b"NRU\x01" * begins_well + data)


@given(heads(), st.data())
@settings(max_examples=50)
def test_a_truncated_header_is_refused(head: Head, data: st.DataObject) -> None:
    whole = pack(head, [])
    with pytest.raises(DataError):
        parse(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(UINT32)
def test_a_varint_reads_back_and_is_as_short_as_possible(value: int) -> None:
    coded = varint(value)
    assert Reader(coded).varint() == value
    assert len(coded) == max(1, -(-value.bit_length() // 7))
    with pytest.raises(DataError):
        Reader(coded[:-1] + bytes((coded[-1] | 0x80, 0))).varint()


def test_a_number_over_32_bits_is_refused() -> None:
    with pytest.raises(DataError):
        Reader(b"\xff\xff\xff\xff\x10").varint()


def test_unknown_flags_profiles_and_isas_are_refused() -> None:
    whole = bytearray(pack(Head(1, 100, 100, 0, 0, 2048, 0, (0,)), [b""]))
    for at, value in (
        (4, 0x06),
        (4, 0x11),
        (4, 0x62),
        (4, 0x73),
        (4, 0x82),
        (4, 0x84),
        (5, 0x10),
        (5, 0x84),
        (5, 0x88),
        (5, 0xA0),
        (3, 0x02),
    ):
        broken = bytearray(whole)
        broken[at] = value
        with pytest.raises(DataError):
            parse(bytes(broken))


def test_units_are_joined_two_to_six_at_a_time_and_never_with_saves_or_apart() -> None:
    head = Head(1, 100, 100, 0, 0, 2048, 0, (0,), joint=2)
    assert parse(pack(head, [b""]))[0].joint == 2
    wrong = (replace(head, joint=7), replace(head, apart=True), replace(head, saves=(Save(0, 0),)))
    one = pack(head, [b""]).replace(b"\0\0\2\0\0", b"\0\0\1\0\0")
    assert one != pack(head, [b""])
    for data in (one, *(pack(bad, [b""]) for bad in wrong)):
        with pytest.raises(DataError):
            parse(data)


def test_a_unit_named_twice_is_refused() -> None:
    with pytest.raises(DataError):
        parse(pack(Head(1, 100, 100, 0, 0, 2048, 0, (3, 5, 3)), []))


def test_the_order_of_neighbours_takes_two_bytes() -> None:
    up = pack(Head(1, 100, 100, 0, 0, 2048, 0, tuple(range(40))), [])
    down = pack(Head(1, 100, 100, 0, 0, 2048, 0, tuple(reversed(range(40)))), [])
    one = pack(Head(1, 100, 100, 0, 0, 2048, 0, (7,)), [])
    assert len(up) == len(down) == len(one)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500), st.integers(0, 9000)), max_size=20))
def test_the_control_table_reads_back(rows: list[tuple[int, int, int]]) -> None:
    table, at = [], 0
    for gap, length, source in rows:
        table.append(Segment(at + gap, source, length))
        at += gap + length
    head = Head(1, 10000, max(at, 1), 0, 0, 2048, 0, ())
    assert segments(numbers(table), head) == table


def test_a_copy_that_leaves_the_old_image_is_refused() -> None:
    head = Head(1, 100, 200, 0, 0, 2048, 0, ())
    for source, length in ((51, 50), (-1, 50), (0, 0)):
        with pytest.raises(DataError):
            segments(numbers([Segment(0, source, length)]), head)
