"""One piece of an update file on its way, bulk or trickled: where it starts, and its bytes. It knows fixed piece sizes and
bounds; it must never know a carrier. Spec: docs/spec/piece.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from neurath.wire.cbor import malformed

_HEADER = struct.Struct(">4sIH")
#: The longest piece any carrier takes.
MAX_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the update file whose digest begins with `file` (4 bytes), from byte `offset` on."""

    file: bytes
    offset: int
    data: bytes

    def __post_init__(self) -> None:
        if len(self.file) != 4 or not 0 < len(self.data) <= MAX_PIECE or not 0 <= self.offset <= 0xFFFF_FFFF:
            raise malformed("piece", "file tag is 4 bytes, data 1 to 4096, offset 32 bits")


def encode(piece: Piece) -> bytes:
    return _HEADER.pack(piece.file, piece.offset, len(piece.data)) + piece.data


def decode(data: bytes) -> Piece:
    """The piece in the bytes, or DataError."""
    if len(data) < _HEADER.size:
        raise malformed("piece", "shorter than its header")
    tag, offset, length = _HEADER.unpack_from(data)
    if len(data) != _HEADER.size + length:
        raise malformed("piece", "length does not match")
    return Piece(tag, offset, data[_HEADER.size :])
