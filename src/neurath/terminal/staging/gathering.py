"""One program on its way: its header, its block hashes, its pieces in staging. It knows where each piece belongs and what a
wrong block costs; it must never call a file whole whose digest it has not seen. Spec: docs/spec/trickle.md 3 and 4."""

from __future__ import annotations

import hashlib

from neurath.errors import DataError
from neurath.terminal.staging.area import Staging
from neurath.terminal.staging.place import HEADER, Known, Place
from neurath.wire import trickle
from neurath.wire.piece import Piece
from neurath.wire.trickle import BLOCK, About, Plan

#: The session says when to sync: after each answer.
_NEVER = 1 << 30


class Gathering:
    """One program on its way. `about` is there when the header is whole; `file` is None before that, and again when the file
    was handed on complete (`done`)."""

    def __init__(self, program: bytes, plan: Plan, place: Place) -> None:
        self.program = program
        self.plan = plan
        self._place = place
        about = Known(program + HEADER, plan.begin * plan.piece, plan.piece)
        self.head = Staging(about.name, about.size, place.open(about), piece=plan.piece, sync_every=_NEVER)
        self.about: About | None = None
        self.file: Staging | None = None
        self.done = False

    @property
    def sync(self) -> int:
        """The next piece that is lacking; where the place is durable, never above what a power cut leaves."""
        if self.done:
            return self.plan.count
        staged = self.head if self.file is None else self.file
        held = staged.sync_point if self._place.durable else staged.held
        return held // self.plan.piece if self.file is None else self.plan.sync(held)

    @property
    def gap(self) -> int:
        """Pieces lacking in a row from there on; 0: as many as there are."""
        staged = self.head if self.file is None else self.file
        at, length = staged.gap()
        return -(-length // self.plan.piece) if at + length < staged.size else 0

    def has(self, index: int) -> bool:
        """Whether a piece of the stream is here."""
        if index < self.plan.begin:
            return self.head.has(index)
        return self.file is not None and self.file.has(index - self.plan.begin)

    def piece(self, index: int) -> bytes:
        """A piece of the stream that is here, padded to its size."""
        begin, size = self.plan.begin, self.plan.piece
        staged, index = (self.head, index) if index < begin else (self.file, index - begin)
        assert staged is not None
        return staged.read(index * size, min(size, staged.size - index * size)).ljust(size, b"\0")

    def place(self, index: int, data: bytes) -> bool:
        """A piece of the stream, padded to its size, if its turn has come; whether it was taken or here already."""
        if index >= self.plan.begin and self.file is None:
            return False
        self.take(index, data[: self.plan.length_of(index)])
        return self.has(index)

    def take(self, index: int, data: bytes) -> bool:
        """A piece of the stream; whether it was new. DataError where it does not fit or comes before its time."""
        at = index * self.plan.piece
        if index < self.plan.begin:
            new = self.head.feed(Piece(self.program, at, data))
            if self.about is None and self.head.complete:
                self.read_header()
            return new
        if self.file is None:
            raise DataError("a piece of a file whose header is not whole", str(index), "it is dropped", id="NRT-274")
        place = at - self.plan.begin * self.plan.piece
        new = self.file.feed(Piece(self.program, place, data))
        if new:
            self._check_blocks(place, place + len(data))
        return new

    def read_header(self) -> None:
        """Opens the file's staging when the header is whole; a header that makes no sense is forgotten."""
        try:
            about = trickle.about(self.head.read(0, self.head.size))
            if about.file[:4] != self.program or trickle.plan(trickle.header(about), self.plan.piece) != self.plan:
                raise DataError("a header of another program", about.file.hex()[:16], "it is fetched anew", id="NRT-274")
        except DataError:
            self.head.drop()
            raise
        self.about = about
        self.open_file()

    def open_file(self) -> None:
        """The file as it was left: what is there and not what its hash says is forgotten."""
        assert self.about is not None
        known = Known(self.about.file[:16], self.about.size, self.plan.piece)
        self.file = Staging(self.about.file, known.size, self._place.open(known), piece=known.piece, sync_every=_NEVER)
        self.done = False
        self._check_blocks(0, known.size)

    def whole(self, block: int) -> bytes | None:
        """The bytes of a block all of whose pieces are here."""
        assert self.file is not None
        first, last = self._span(block)
        if not all(self.file.has(index) for index in range(first, last)):
            return None
        return self.file.read(block * BLOCK, min(BLOCK, self.file.size - block * BLOCK))

    def _check_blocks(self, start: int, end: int) -> None:
        assert self.about is not None
        assert self.file is not None
        for block in range(start // BLOCK, -(-end // BLOCK)):
            data = self.whole(block)
            if data is not None and _hash(data) != self.about.blocks[16 * block : 16 * block + 16]:
                self.file.forget(*self._span(block))

    def _span(self, block: int) -> tuple[int, int]:
        """The pieces that touch a block: from, to."""
        assert self.file is not None
        end = min((block + 1) * BLOCK, self.file.size)
        return block * BLOCK // self.plan.piece, -(-end // self.plan.piece)

    def graft(self, other: Gathering) -> None:
        """Takes what another file has in common with this one, block by block."""
        assert self.about is not None
        if other.file is None or self.file is None:
            return
        there = [other.whole(block) for block in range(-(-other.file.size // BLOCK))]
        known = {_hash(data): data for data in there if data is not None}
        names = [self.about.blocks[at : at + 16] for at in range(0, len(self.about.blocks), 16)]
        found = {block: known[name] for block, name in enumerate(names) if name in known}
        for block in found:
            for index in range(*self._span(block)):
                data = _cut(found, index * self.plan.piece, min(self.plan.piece, self.file.size - index * self.plan.piece))
                if data:
                    self.file.feed(Piece(self.program, index * self.plan.piece, data))

    def settle(self) -> None:
        """Makes durable what can be."""
        self.head.sync()
        if self.file is not None:
            self.file.sync()

    def finish(self) -> About | None:
        """What the complete file is, and hands it on; None when it is not complete. A file whose blocks are right and whose
        digest is not had a forged header: all of it is forgotten."""
        if self.file is None or not self.file.complete or self.about is None:
            return None
        if hashlib.sha256(self.file.read(0, self.file.size)).digest() != self.about.file:
            self.drop()
            return None
        self.done = True
        if self._place.durable:
            self.file = None  # whoever installs it opens it anew
        return self.about

    def again(self) -> About | None:
        """The same, for one that was handed on: it may have been dropped since."""
        if self._place.durable:
            self.open_file()
        self.done = False
        return self.finish()

    def drop(self) -> None:
        if self.about is not None and self.file is None:
            self.open_file()
        if self.file is not None:
            self.file.drop()
        self.head.drop()
        self.file = self.about = None
        self.done = False


def _cut(blocks: dict[int, bytes], start: int, length: int) -> bytes:
    """Bytes out of blocks; b"" where one of them is missing."""
    got = b""
    while len(got) < length:
        block, off = divmod(start + len(got), BLOCK)
        more = blocks.get(block, b"")[off : off + length - len(got)]
        if not more:
            return b""
        got += more
    return got


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]
