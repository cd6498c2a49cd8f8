"""A piece is where it starts and its bytes, and its length is said once and checked."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import piece
from neurath.wire.piece import MAX_PIECE, Piece
from tests.wire.vectors import cases, refused

PIECES = st.builds(
    Piece, st.binary(min_size=4, max_size=4), st.integers(0, 0xFFFF_FFFF), st.binary(min_size=1, max_size=MAX_PIECE)
)


@pytest.mark.parametrize("case", cases("piece"))
def test_the_vectors_of_the_piece_page_hold(case: dict[str, object]) -> None:
    fields: dict[str, object] = case["fields"]  # type: ignore[assignment]
    value = Piece(bytes.fromhex(str(fields["file"])), int(str(fields["offset"])), bytes.fromhex(str(fields["data"])))
    assert piece.encode(value).hex() == case["bytes"]
    assert piece.decode(piece.encode(value)) == value


@pytest.mark.parametrize("case", refused("piece"))
def test_what_the_piece_page_refuses_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        piece.decode(bytes.fromhex(case["bytes"]))


@given(PIECES)
def test_every_piece_survives(value: Piece) -> None:
    assert piece.decode(piece.encode(value)) == value


@given(PIECES, st.binary(min_size=1, max_size=5))
def test_a_piece_with_bytes_missing_or_added_is_refused(value: Piece, more: bytes) -> None:
    raw = piece.encode(value)
    for hurt in (raw + more, raw[: -len(more)]):
        with pytest.raises(DataError):
            piece.decode(hurt)


@given(st.binary(max_size=100))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert piece.encode(piece.decode(data)) == data


@pytest.mark.parametrize(("tag", "offset", "data"), [(b"abc", 0, b"x"), (b"abcd", -1, b"x"), (b"abcd", 1 << 32, b"x"),
                                                     (b"abcd", 0, b""), (b"abcd", 0, bytes(MAX_PIECE + 1))])  # fmt: skip
def test_a_piece_out_of_bounds_cannot_be_made(tag: bytes, offset: int, data: bytes) -> None:
    with pytest.raises(DataError):
        Piece(tag, offset, data)
