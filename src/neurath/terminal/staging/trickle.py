"""A terminal's end of trickle delivery: what its next heartbeat asks for, and what becomes of the pieces in the answer. It
knows programs under way, their headers and block hashes, and what a power cut would leave; it must never open a link, ask a
tenant to leave, nor call a file proven. Spec: docs/spec/trickle.md."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from neurath.errors import DataError, RefusedError
from neurath.terminal.staging.area import Backend, Staging, Volatile
from neurath.wire import trickle
from neurath.wire.piece import Piece
from neurath.wire.trickle import BLOCK, REPLY_HEADER, About, Ask, Plan, Reply, State

#: Programs kept at a time; of more, the one that was begun first is forgotten.
MOST = 4
#: The header of a program's stream is staged under the program's name and these bytes.
HEADER = bytes(12)
#: The session says when to sync: after each answer.
_NEVER = 1 << 30


@dataclass(frozen=True, slots=True)
class Known:
    """Something that a place holds, in part or wholly: its name (16 bytes), size in bytes, and piece size."""

    name: bytes
    size: int
    piece: int


class Place(Protocol):
    """Where programs gather, several at a time."""

    durable: bool

    def open(self, about: Known) -> Backend:
        """A back end for this; RefusedError where there is no room for it."""
        ...

    def known(self) -> list[Known]:
        """What was left here."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer came to: pieces that were new, pieces dropped, and the program that is complete, if one is."""

    program: bytes = trickle.NOTHING
    new: int = 0
    dropped: int = 0
    complete: About | None = None


class Ram:
    """A place in memory that no tenant wants: `room` bytes, gone with the power."""

    durable = False

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken: dict[bytes, int] = {}

    def open(self, about: Known) -> Backend:
        self._taken.pop(about.name, None)
        if sum(self._taken.values()) + about.size > self._room:
            raise RefusedError("there is no room to stage this", f"{about.size} of {self._room} bytes", "make room")
        self._taken[about.name] = about.size
        return Volatile(memoryview(bytearray(about.size)), about.size)

    def known(self) -> list[Known]:
        return []


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
        return self.finish()

    def drop(self) -> None:
        if self.about is not None and self.file is None:
            self.open_file()
        if self.file is not None:
            self.file.drop()
        self.head.drop()
        self.file = self.about = None
        self.done = False


class Session:
    """What one terminal asks for and takes, heartbeat by heartbeat."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: dict[bytes, Gathering] = {}
        self._active = trickle.NOTHING
        for left in place.known():
            if left.name[4:] == HEADER:
                self._take_up(left)

    @property
    def active(self) -> Gathering | None:
        """The program that the next heartbeat asks for, if some of it is here."""
        return self._known.get(self._active)

    def state(self, room: int, link: int = 0) -> State:
        """The download state of the next heartbeat, whose answer may have `room` bytes."""
        if self._active == trickle.NOTHING:
            return State(room=room, link=link)
        active = self.active
        if active is None:
            return State(Ask.PIECES, self._active, 0, room, link)
        if active.gap and not active.done:
            room = min(room, REPLY_HEADER + active.gap * active.plan.piece)
        return State(Ask.PIECES, self._active, active.sync, room, link)

    def accept(self, data: bytes) -> Heard:
        """Takes an answer, whatever it is and whenever it comes. What does not fit is dropped."""
        try:
            reply = trickle.decode_reply(data)
        except DataError:
            return Heard(dropped=1)
        if not reply.pieces:
            return self._named(reply.program)
        gathering = self._gathering(reply)
        if gathering is None or gathering.done:
            return Heard(reply.program, dropped=len(reply.pieces))
        self._active = reply.program
        try:
            return self._take(gathering, reply)
        except OSError:
            # The disk is full, say: the sync point stays where it is, and the next heartbeats ask again.
            return Heard(reply.program, dropped=len(reply.pieces))

    def _take(self, gathering: Gathering, reply: Reply) -> Heard:
        new = 0
        for index, piece in enumerate(reply.pieces, reply.first):
            try:
                had = gathering.about is not None
                new += gathering.take(index, piece)
                if not had and gathering.about is not None:
                    self._graft(gathering)
            except (DataError, RefusedError):
                continue
        gathering.settle()
        return Heard(reply.program, new, len(reply.pieces) - new, gathering.finish())

    def _named(self, program: bytes) -> Heard:
        self._active = program
        known = self._known.get(program)
        if known is None or not known.done:
            return Heard(program)
        return Heard(program, complete=known.again())

    def _gathering(self, reply: Reply) -> Gathering | None:
        known = self._known.get(reply.program)
        if known is not None and known.plan.piece == reply.size:
            return known
        if reply.first:
            return None
        try:
            made = Gathering(reply.program, trickle.plan(reply.pieces[0], reply.size), self._place)
        except (DataError, RefusedError, OSError):
            return None
        self._known.pop(reply.program, None)
        while len(self._known) >= MOST:
            oldest = next(iter(self._known))
            self._known.pop(oldest).drop()
        self._known[reply.program] = made
        return made

    def _take_up(self, left: Known) -> None:
        """A program that an earlier life began."""
        try:
            backend = self._place.open(left)
            start = Staging(left.name, left.size, backend, piece=left.piece)
            if not start.has(0):
                return
            made = Gathering(left.name[:4], trickle.plan(start.read(0, left.piece), left.piece), self._place)
            if made.head.complete:
                made.read_header()
        except (DataError, RefusedError):
            return
        made.settle()
        self._known[made.program] = made
        if made.finish() is None or self._active == trickle.NOTHING:
            self._active = made.program

    def _graft(self, made: Gathering) -> None:
        for other in self._known.values():
            if other is not made:
                made.graft(other)


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
