"""Reads one small file out of a squashfs image, as far as the manifest of a RAUC bundle needs it: the root directory, gzip or
xz. It knows the format; it must never trust a length or an offset, nor unpack more than a manifest can be. Source: kernel
documentation, filesystems/squashfs, and the format as mksquashfs 4.5 writes it."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from neurath.errors import DataError

#: A block of the tables is no longer when unpacked; a manifest is no longer than MOST.
_BLOCK = 8192
MOST = 1 << 16
_BITS = 1 << 24  # in the size of a data block: it is not compressed
_GZIP, _XZ = 1, 4
_DIRECTORIES, _FILES = (1, 8), (2, 9)


def read(image: bytes | memoryview, name: str) -> bytes | None:
    """A file of the root directory; None where it has none of that name, or is compressed in a way not known here. DataError
    for anything that is not wholly what it claims to be."""
    try:
        found = _Image(image)
        return None if found.unpack is None else found.read(name.encode())
    except (struct.error, IndexError, ValueError, zlib.error, lzma.LZMAError, OverflowError):
        raise DataError("this is no squashfs that can be read", "its tables are damaged or cut short", id="NRT-619") from None


def _gunzip(data: bytes, most: int) -> bytes:
    return zlib.decompressobj().decompress(data, most)


def _unxz(data: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=64 << 20).decompress(data, most)


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {_GZIP: _gunzip, _XZ: _unxz}


@dataclass(frozen=True, slots=True)
class _File:
    """Where a file's bytes are: blocks from `start`, and its end in a fragment (-1: none) at `offset`."""

    start: int
    fragment: int
    offset: int
    size: int
    blocks: tuple[int, ...]


class _Image:
    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        fields = struct.unpack_from("<5I6H8Q", data)
        self.block = fields[3]
        self.unpack = _UNPACK.get(fields[5])
        self.root = fields[11]
        self.inodes, self.directories, self.fragments = fields[15], fields[16], fields[17]

    def read(self, name: bytes) -> bytes | None:
        reference = self._find(name)
        if reference is None:
            return None
        file = self._file(reference)
        content = bytearray()
        place = file.start
        for size in file.blocks:
            length = size & (_BITS - 1)
            content += self._data(place, size) if length else bytes(min(self.block, file.size - len(content)))
            place += length
        if file.fragment >= 0:
            content += self._fragment(file.fragment)[file.offset : file.offset + file.size - len(content)]
        if len(content) < file.size:
            raise ValueError("cut short")
        return bytes(content[: file.size])

    # ---- tables ------------------------------------------------------------------------------------------------------

    def _metadata(self, start: int, offset: int, count: int) -> bytes:
        """Bytes of a table of small blocks, from `offset` in the block at `start`."""
        found = bytearray()
        while len(found) < offset + count:
            head = int(struct.unpack_from("<H", self.data, start)[0])
            length = head & 0x7FFF
            block = bytes(self.data[start + 2 : start + 2 + length])
            if len(block) != length or not length or len(found) > 4 * MOST:
                raise ValueError("cut short")
            found += block if head & 0x8000 else self._unpacked(block, _BLOCK)
            start += 2 + length
        return bytes(found[offset : offset + count])

    def _unpacked(self, block: bytes, most: int) -> bytes:
        assert self.unpack is not None
        return self.unpack(block, most)

    def _inode(self, reference: int, count: int) -> bytes:
        return self._metadata(self.inodes + (reference >> 16), reference & 0xFFFF, count)

    def _find(self, name: bytes) -> int | None:
        """The reference of the inode with this name in the root directory."""
        kind = struct.unpack("<H", self._inode(self.root, 2))[0]
        if kind not in _DIRECTORIES:
            raise ValueError("no directory")
        if kind == _DIRECTORIES[0]:
            block, _, size, offset, _ = struct.unpack("<IIHHI", self._inode(self.root, 32)[16:])
        else:
            _, size, block, _, _, offset, _ = struct.unpack("<IIIIHHI", self._inode(self.root, 40)[16:])
        if not 3 <= size <= 4 * MOST:
            raise ValueError("no directory of a bundle")
        listing = self._metadata(self.directories + block, offset, size - 3)
        return _entry(listing, name)

    def _file(self, reference: int) -> _File:
        kind = struct.unpack("<H", self._inode(reference, 2))[0]
        if kind == _FILES[0]:
            length = 32
            start, fragment, offset, size = struct.unpack("<IIII", self._inode(reference, length)[16:])
        elif kind == _FILES[1]:
            length = 56
            start, size, _, _, fragment, offset, _ = struct.unpack("<QQQIIII", self._inode(reference, length)[16:])
        else:
            raise ValueError("no file")
        if size > MOST or not 4096 <= self.block <= 1 << 20:
            raise ValueError("no manifest is that long")
        whole = fragment == 0xFFFF_FFFF
        count = -(-size // self.block) if whole else size // self.block
        sizes = struct.unpack(f"<{count}I", self._inode(reference, length + 4 * count)[length:])
        return _File(start, -1 if whole else fragment, offset, size, sizes)

    def _fragment(self, index: int) -> bytes:
        pointer = struct.unpack_from("<Q", self.data, self.fragments + 8 * (index // 512))[0]
        start, size, _ = struct.unpack("<QII", self._metadata(pointer, 16 * (index % 512), 16))
        return self._data(start, size)

    def _data(self, start: int, size: int) -> bytes:
        length = size & (_BITS - 1)
        block = bytes(self.data[start : start + length])
        if len(block) != length:
            raise ValueError("cut short")
        return block if size & _BITS else self._unpacked(block, self.block)


def _entry(listing: bytes, name: bytes) -> int | None:
    place = 0
    while place < len(listing):
        count, start, _ = struct.unpack_from("<III", listing, place)
        place += 12
        for _ in range(count + 1):
            offset, _, _, length = struct.unpack_from("<HhHH", listing, place)
            if listing[place + 8 : place + 9 + length] == name:
                return int(start << 16 | offset)
            place += 9 + length
    return None
