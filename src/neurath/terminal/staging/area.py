"""Where an update file gathers, piece by piece, before anything is written: by file digest, with a bitmap of pieces, fed alike
by Range responses and by pieces that trickle in. It knows what has arrived and what would survive a power cut; it must never
report a sync point above that, nor take a piece of another file. Spec: docs/spec/staging.md."""

from __future__ import annotations

import hashlib
from typing import Protocol

from neurath.errors import DataError, RefusedError
from neurath.flash import parity
from neurath.wire.piece import Piece

#: Pieces between two syncs of a durable back end: what a power cut may cost.
SYNC_EVERY = 16
PIECE = 1024
#: Bytes hashed at a time.
_LOOK = 1 << 20


class Backend(Protocol):
    """Where the bytes lie. `durable` says whether what was synced survives a power cut."""

    durable: bool

    def begin(self) -> bytes:
        """Opens the place; the bitmap kept there, or b"" when it holds nothing of this file."""
        ...

    def write(self, offset: int, data: bytes) -> None: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def sync(self, bitmap: bytes) -> None:
        """Afterwards everything written so far, and this bitmap, survive what the back end survives."""
        ...

    def view(self, size: int) -> memoryview:
        """The first `size` bytes without a copy of them, where that can be."""
        ...

    def drop(self) -> None:
        """Forgets the file."""
        ...


class Volatile:
    """Staging in RAM that was secured for it: gone with the power."""

    durable = False

    def __init__(self, area: memoryview, size: int) -> None:
        if len(area) < size:
            raise RefusedError(
                "the secured memory is smaller than the file", f"{len(area)} bytes for {size}", "secure more memory"
            )
        self._area = area[:size]

    def begin(self) -> bytes:
        return b""

    def write(self, offset: int, data: bytes) -> None:
        self._area[offset : offset + len(data)] = data

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._area[offset : offset + length])

    def view(self, size: int) -> memoryview:
        return self._area[:size]

    def sync(self, bitmap: bytes) -> None:
        """Nothing survives; there is nothing to do."""

    def drop(self) -> None:
        self._area[:] = bytes(len(self._area))


class Staging:
    """One file on its way. `file` is its SHA-256, whole or the first 16 bytes; `piece` is fixed for the file.

    `held` counts bytes from the start without a gap that are here; `sync_point` those that a power cut would leave. Without
    `keep_parity` the file is not mended: one that is replaced whole is simply fetched again.
    """

    def __init__(self, file: bytes, size: int, backend: Backend, *, piece: int = PIECE, sync_every: int = SYNC_EVERY) -> None:
        if size <= 0 or piece <= 0 or len(file) not in (16, 32):
            raise DataError("this file cannot be staged", f"{size} bytes in pieces of {piece}", id="NRT-271")
        self.file = file
        self.size = size
        self.piece = piece
        self.count = -(-size // piece)
        self._backend = backend
        self._every = sync_every
        self.keep_parity = True
        self._sealed = False
        kept = backend.begin()
        self._map = bytearray(kept if len(kept) == -(-self.count // 8) else bytes(-(-self.count // 8)))
        self._front = 0
        self._advance()
        self._synced = self._front if backend.durable else 0
        self._unsynced = 0
        self._tail = bytearray()  # bytes of a piece that has not ended yet
        self._parity = bytearray()

    @property
    def held(self) -> int:
        return min(self._front * self.piece, self.size)

    @property
    def sync_point(self) -> int:
        return min(self._synced * self.piece, self.size)

    @property
    def complete(self) -> bool:
        return self._front == self.count

    def has(self, index: int) -> bool:
        """Whether piece `index` is here."""
        return bool(self._map[index >> 3] >> (index & 7) & 1)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes as they lie there, proven by nothing."""
        return self._backend.read(offset, length)

    def forget(self, first: int, end: int) -> None:
        """Pieces `first` up to `end` were not what they should be: they are lacking again."""
        for index in range(first, end):
            self._map[index >> 3] &= ~(1 << (index & 7))
        self._front = min(self._front, first)
        self._synced = min(self._synced, self._front)
        self._unsynced += 1
        self.sync()

    def gap(self) -> tuple[int, int]:
        """(offset, length) of the first bytes that are missing; (size, 0) when none are."""
        later = int.from_bytes(self._map, "little") >> self._front
        end = self._front + (later & -later).bit_length() - 1 if later else self.count
        return self.held, min(end * self.piece, self.size) - self.held

    def take(self, offset: int, data: bytes) -> None:
        """Bytes of a Range response, of any length, which begin where the last ones ended. Only whole pieces count."""
        start, missing = self.gap()
        expected = start + len(self._tail)
        if offset != expected or offset + len(data) > start + missing:
            raise DataError("bytes at the wrong place", f"offset {offset}, wanted {expected}", "ask again", id="NRT-273")
        self._tail += data
        end = start + missing
        while self._tail:
            length = min(self.piece, end - self.held)
            if len(self._tail) < length:
                break
            chunk = bytes(self._tail[:length])
            del self._tail[:length]
            self._store(self._front, chunk)

    def feed(self, piece: Piece) -> bool:
        """A piece from any carrier, in any order, as often as it comes; whether it was new. DataError for a piece of
        another file, of another length, or off its place."""
        if piece.file != self.file[:4]:
            raise DataError("a piece of another file", piece.file.hex(), "it is dropped", id="NRT-274")
        index, off = divmod(piece.offset, self.piece)
        if off or index >= self.count or len(piece.data) != min(self.piece, self.size - piece.offset):
            raise DataError("a piece off its place", f"offset {piece.offset}, {len(piece.data)} bytes", id="NRT-273")
        return self._store(index, piece.data)

    def link_lost(self) -> None:
        """Forgets the piece that has not ended; everything whole stays."""
        self._tail.clear()

    def _store(self, index: int, data: bytes) -> bool:
        if self.has(index):
            return False
        self._backend.write(index * self.piece, data)
        self._map[index >> 3] |= 1 << (index & 7)
        self._advance()
        self._unsynced += 1
        if self._unsynced >= self._every or self.complete:
            self.sync()
        return True

    def _advance(self) -> None:
        while self._front < self.count and self.has(self._front):
            self._front += 1

    def sync(self) -> None:
        """Makes what is here durable, where the back end can; only then the sync point moves."""
        if not self._unsynced:
            return
        self._backend.sync(bytes(self._map))
        self._unsynced = 0
        if self._backend.durable:
            self._synced = self._front

    def seal(self) -> None:
        """G4: the digest of the whole file, then its block parity; DataError when it is another file."""
        found = self._hash()[: len(self.file)]
        if not self.complete or found != self.file:
            raise DataError(
                "the file is not the one that was offered",
                f"digest {found.hex()[:16]}, {self.held} of {self.size} bytes",
                "it is fetched anew",
                id="NRT-275",
            )
        self._sealed = True
        if self.keep_parity:
            self._parity = bytearray(parity.size(self.size))
            parity.make(self._backend.read(0, self.size), self._parity)

    def _hash(self) -> bytes:
        found = hashlib.sha256()
        for at in range(0, self.size, _LOOK):
            found.update(self._backend.read(at, min(_LOOK, self.size - at)))
        return found.digest()

    def contents(self) -> bytes | memoryview:
        """The sealed file, mended where one block was damaged since; DataError when more is."""
        if not self._sealed:
            raise RefusedError("the file is not sealed", "its digest was not checked", "seal it first")
        if not self.keep_parity:
            return self._backend.view(self.size)
        data = bytearray(self._backend.read(0, self.size))
        if parity.mend(data, self._parity):
            self._backend.write(0, bytes(data))
        return bytes(data)

    def drop(self) -> None:
        """Forgets the file and begins anew."""
        self._backend.drop()
        self._map = bytearray(len(self._map))
        self._front = self._synced = self._unsynced = 0
        self._tail.clear()
        self._parity = bytearray()
        self._sealed = False
