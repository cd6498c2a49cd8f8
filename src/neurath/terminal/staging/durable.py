"""Durable staging in a directory: one file for the bytes, one for the bitmap, in an order that a power cut cannot turn into a
lie. It knows files and fsync; it must never set a bit whose bytes are not on the medium. Spec: docs/spec/staging.md 3."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Protocol

from neurath.errors import RefusedError
from neurath.terminal.staging import symbols
from neurath.terminal.staging.place import HEADER, Known, coded

_HEAD = struct.Struct(">4sII16s")
_MAGIC = b"NRM1"


class Disk(Protocol):
    """The few file operations needed; a test puts a disk with power cuts here."""

    def write(self, path: Path, offset: int, data: bytes) -> None: ...

    def read(self, path: Path, offset: int, length: int) -> bytes: ...

    def sync(self, path: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def listing(self, folder: Path) -> list[Path]: ...


class RealDisk:
    """The file system."""

    def write(self, path: Path, offset: int, data: bytes) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(handle, data[done:], offset + done)
        finally:
            os.close(handle)

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """The bytes there are, fewer where the file ends; none when there is no file."""
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def sync(self, path: Path) -> None:
        """The file and its name are on the medium."""
        for place, flags in ((path, os.O_RDWR), (path.parent, os.O_RDONLY)):
            handle = os.open(place, flags)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def listing(self, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        return sorted(folder.iterdir())


class Durable:
    """Staging that survives a power cut: `<digest>.nru` holds the bytes, `<digest>.map` the bitmap (32 hex digits each).

    Other files of ours in the directory are removed when this one begins: a terminal stages one file at a time.
    """

    durable = True
    alone = True

    def __init__(self, folder: Path, file: bytes, size: int, piece: int, disk: Disk | None = None) -> None:
        self._disk = disk or RealDisk()
        self._piece = piece
        self._folder = folder
        self._head = _HEAD.pack(_MAGIC, piece, size, file[:16])
        self._length = _map_length(size, piece)
        self._size = size
        self._data = folder / f"{file[:16].hex()}.nru"
        self._map = folder / f"{file[:16].hex()}.map"

    def begin(self) -> bytes:
        for path in self._disk.listing(self._folder):
            if self.alone and path.suffix in (".nru", ".map") and path not in (self._data, self._map):
                self._disk.remove(path)
        head = self._disk.read(self._map, 0, _HEAD.size)
        piece = int.from_bytes(head[4:8], "big")
        kept = b""
        if head[:4] + head[8:] == self._head[:4] + self._head[8:] and piece:
            length = _map_length(self._size, piece)
            kept = self._disk.read(self._map, _HEAD.size, length)
            kept = kept if len(kept) == length else b""
        if kept and piece == self._piece:
            return kept
        # Bits of another piece size would lie about this one: the map goes before any byte is written.
        self._disk.remove(self._map)
        if kept:
            kept = recut(kept, (piece, self._piece), self._size)
            self._disk.write(self._map, 0, self._head + kept)
            self._disk.sync(self._map)
        return kept

    def write(self, offset: int, data: bytes) -> None:
        self._disk.write(self._data, offset, data)

    def read(self, offset: int, length: int) -> bytes:
        return self._disk.read(self._data, offset, length)

    def view(self, size: int) -> memoryview:
        if not isinstance(self._disk, RealDisk):
            return memoryview(self.read(0, size))
        with self._data.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))

    def sync(self, bitmap: bytes) -> None:
        """Bytes first, then the bits that vouch for them."""
        self._disk.sync(self._data)
        self._disk.write(self._map, 0, self._head + bitmap)
        self._disk.sync(self._map)

    def drop(self) -> None:
        """Bits first, then the bytes they vouched for."""
        self._disk.remove(self._map)
        self._disk.remove(self._data)


class Beside(Durable):
    """The same, one of several in its directory: files that trickle, and those that a bulk transfer takes over from them."""

    alone = False


def recut(bitmap: bytes, pieces: tuple[int, int], size: int) -> bytes:
    """The bitmap for another piece size, (old, new): a piece is here where all of its bytes are."""
    old, new = pieces
    bits = int.from_bytes(bitmap, "little")
    found = bytearray(_map_length(size, new))
    for index in range(-(-size // new)):
        first, end = index * new // old, -(-min((index + 1) * new, size) // old)
        mask = (1 << (end - first)) - 1
        if bits >> first & mask == mask:
            found[index >> 3] |= 1 << (index & 7)
    return bytes(found)


def _map_length(size: int, piece: int) -> int:
    """Bytes of bitmap: one bit a piece."""
    pieces = -(-size // piece)
    return -(-pieces // 8)


class Folder:
    """A directory in which several programs gather; `room` bytes may be staged there in all."""

    durable = True

    def __init__(self, folder: Path, room: int, disk: Disk | None = None) -> None:
        self._folder = folder
        self._room = room
        self._disk = disk or RealDisk()

    def open(self, about: Known) -> Beside:
        if about.size > self._room:
            raise RefusedError("there is no room to stage this", f"{about.size} of {self._room} bytes", "make room")
        return Beside(self._folder, about.name, about.size, about.piece, self._disk)

    def known(self) -> list[Known]:
        found = []
        for path in sorted(self._disk.listing(self._folder), key=_begun):
            head = self._disk.read(path, 0, _HEAD.size)
            if path.suffix == ".map" and len(head) == _HEAD.size and head[:4] == _MAGIC:
                _, piece, size, name = _HEAD.unpack(head)
                found += [Known(name, size, piece)] if piece and size else []
        return found


def _begun(path: Path) -> tuple[float, str]:
    """Older ones first, as far as the medium says."""
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name


def heads(folder: Path) -> list[tuple[bytes, int, int, int]]:
    """(name, size, piece, pieces that are here) of everything in a directory that has a bitmap; looks and changes nothing."""
    found = []
    for path in sorted(folder.glob("*.map")):
        kept = RealDisk().read(path, 0, _HEAD.size + _map_length(0xFFFF_FFFF, 64))
        if len(kept) >= _HEAD.size and kept[:4] == _MAGIC:
            _, piece, size, name = _HEAD.unpack_from(kept)
            found += [(name, size, piece, int.from_bytes(kept[_HEAD.size :], "little").bit_count())] if piece and size else []
    return found


def complete(folder: Path, file: bytes, size: int) -> bool:
    """Whether the whole file is here, in pieces of whatever size; looks and changes nothing."""
    kept = RealDisk().read(folder / f"{file[:16].hex()}.map", 0, _HEAD.size + _map_length(size, 1))
    if len(kept) < _HEAD.size:
        return False
    magic, piece, there, name = _HEAD.unpack_from(kept)
    if (magic, there, name) != (_MAGIC, size, file[:16]) or not piece:
        return False
    whole: int = (1 << -(-size // piece)) - 1
    return int.from_bytes(kept[_HEAD.size :], "little") == whole


def anything(folder: Path) -> tuple[bytes, int]:
    """(digest, sync point in bytes) of the file that is staged in part; (b"", 0) when none is."""
    disk = RealDisk()
    if not folder.is_dir():
        return b"", 0
    for path in disk.listing(folder):
        head = disk.read(path, 0, _HEAD.size)
        if path.suffix != ".map" or len(head) < _HEAD.size or head[:4] != _MAGIC:
            continue
        _, piece, size, file = _HEAD.unpack(head)
        if file[4:] == HEADER or (coded(file) and symbols.marked(file)) or not piece or not size:
            continue
        bits = int.from_bytes(disk.read(path, _HEAD.size, _map_length(size, piece)), "little")
        front = (~bits & (bits + 1)).bit_length() - 1  # the first bit that is not set
        return bytes(file[:16]), min(front * piece, size)
    return b"", 0
