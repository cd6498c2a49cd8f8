"""The download state that rides on a heartbeat, 12 bytes, and what rides on its answer: 8 bytes and consecutive pieces of one
fixed size, cut from one stream for each update file. It knows bits, bounds and where the file begins in its stream; it must
never know a carrier, nor carry anything that depends on the terminal. Spec: docs/spec/trickle.md."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum

from neurath.flash.trust import MAX_ENVELOPE
from neurath.ids import FIRMWARE, ComponentName, Version, checked_name
from neurath.wire import cbor
from neurath.wire.cbor import malformed
from neurath.wire.offer import Kind

_STATE = struct.Struct(">BB4s3sHB")
_REPLY = struct.Struct(">B4s3s")
_START = struct.Struct(">HIH")
STATE_SIZE = _STATE.size
REPLY_HEADER = _REPLY.size
#: Piece sizes in bytes, by the three bits that name them. 200 fits every carrier there is.
SIZES = (64, 128, 200, 256, 512, 1024, 2048, 4096)
#: No program: nothing is wanted, or there is nothing.
NOTHING = bytes(4)
#: Sync points count pieces and have 24 bits.
MAX_SYNC = 0xFF_FFFF
#: A block hash is the first 16 bytes of SHA-256 over so many bytes of the file.
BLOCK = 4096
MAX_ROOM = 0xFFFF
#: The share of a link's spare rate that pieces on heartbeats may take.
SHARE = 0.05
_VERSION = 0x40
_VERSION_MASK = 0xC0
_CODED, _LAST, _DATA, _SIZE = 0x20, 0x10, 0x08, 0x07
_CALL = 0x01
#: Bytes before a coded symbol that name it: its segment, and its number there.
NAME = 4
_ABOUT = frozenset(range(1, 6))


class Ask(Enum):
    """What a request wants."""

    NEWS = 0  # is there anything new?
    PIECES = 1  # the pieces of this program from the sync point on


@dataclass(frozen=True, slots=True)
class State:
    """A terminal's download state. `program` is the first 4 bytes of the update file's SHA-256; `sync` the index of the next
    piece it lacks in the program's stream (all of them there: their count); `room` the bytes an answer may have; `link` the
    class of the link's spare rate, 0 unknown."""

    ask: Ask = Ask.NEWS
    program: bytes = NOTHING
    sync: int = 0
    room: int = MAX_ROOM
    link: int = 0

    def __post_init__(self) -> None:
        known = len(self.program) == 4 and (self.program != NOTHING) is (self.ask is Ask.PIECES)
        if not known or (self.ask is Ask.NEWS and self.sync):
            raise malformed("download state", "a program of 4 bytes and its sync point, or neither")
        if not (0 <= self.sync <= MAX_SYNC and 0 <= self.room <= MAX_ROOM and 0 <= self.link <= 0xFF):
            raise malformed("download state", "sync has 24 bits, room 16, link 8")


def encode_state(state: State) -> bytes:
    sync = state.sync.to_bytes(3, "big")
    return _STATE.pack(_VERSION, state.ask.value, state.program, sync, state.room, state.link)


def decode_state(data: bytes) -> State:
    """The state in the bytes, or DataError."""
    if len(data) != _STATE.size:
        raise malformed("download state", f"{len(data)} bytes; it has {_STATE.size}")
    flags, ask, program, sync, room, link = _STATE.unpack(data)
    if flags != _VERSION or ask > Ask.PIECES.value:
        raise malformed("download state", "another version, or a kind that is not known")
    return State(Ask(ask), program, int.from_bytes(sync, "big"), room, link)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer carries. Without a program: nothing for this terminal. With one and without pieces: it is there, ask for
    it. `first` is the index of the first of `pieces`, all `size` bytes long; the stream's last one may be shorter and `last`
    says that it is here. `coded`: the pieces are symbols (wire/rateless), each after its name, and `first` is the number of
    pieces that the stream has. `call`, without pieces only: somebody wants this terminal to check in now."""

    program: bytes = NOTHING
    first: int = 0
    size: int = SIZES[0]
    pieces: tuple[bytes, ...] = ()
    last: bool = False
    coded: bool = False
    call: bool = False

    def __post_init__(self) -> None:
        if len(self.program) != 4 or self.size not in SIZES:
            raise malformed("trickle answer", "program has 4 bytes; the piece size is one of eight")
        if not self.pieces and (self.first or self.last or self.coded or self.size != SIZES[0]):
            raise malformed("trickle answer", "attributes of pieces, and no piece")
        if self.pieces and (self.program == NOTHING or self.call):
            raise malformed("trickle answer", "pieces of no program, or with a call")
        if self.coded:
            self._check_coded()
            return
        if not 0 <= self.first <= MAX_SYNC + 1 - len(self.pieces):
            raise malformed("trickle answer", "a sync point beyond 24 bits")
        whole = self.pieces[:-1] if self.last else self.pieces
        if any(len(piece) != self.size for piece in whole) or not all(0 < len(p) <= self.size for p in self.pieces):
            raise malformed("trickle answer", "a piece is not of the size")

    def _check_coded(self) -> None:
        if not 0 < self.first <= MAX_SYNC or self.last or any(len(one) != NAME + self.size for one in self.pieces):
            raise malformed("trickle answer", "symbols of no stream, or one is not of the size")


def encode_reply(reply: Reply) -> bytes:
    flags = _VERSION | (_CALL if reply.call else 0)
    if reply.pieces:
        flags |= _DATA | (_LAST if reply.last else 0) | (_CODED if reply.coded else 0) | SIZES.index(reply.size)
    return _REPLY.pack(flags, reply.program, reply.first.to_bytes(3, "big")) + b"".join(reply.pieces)


def decode_reply(data: bytes) -> Reply:
    """The reply in the bytes, or DataError."""
    if not _REPLY.size <= len(data) <= MAX_ROOM:
        raise malformed("trickle answer", f"{len(data)} bytes; it has {_REPLY.size} to {MAX_ROOM}")
    flags, program, first = _REPLY.unpack_from(data)
    if flags & ~(_CODED | _LAST | _DATA | _SIZE) != _VERSION:
        raise malformed("trickle answer", "another version, or a flag that is not known")
    body = data[_REPLY.size :]
    if bool(flags & _DATA) is not bool(body) or (not body and flags not in (_VERSION, _VERSION | _CALL)):
        raise malformed("trickle answer", "flags and length contradict each other")
    if not body:
        return Reply(program, int.from_bytes(first, "big"), call=flags != _VERSION)
    size, coded = SIZES[flags & _SIZE], bool(flags & _CODED)
    step = size + NAME if coded else size
    pieces = tuple(body[at : at + step] for at in range(0, len(body), step))
    return Reply(program, int.from_bytes(first, "big"), size, pieces, bool(flags & _LAST), coded)


def link_class(rate: float) -> int:
    """The class of a spare rate in bytes a second: 8 classes for each doubling; 0: unknown."""
    return 0 if rate <= 0 else max(1, min(255, round(8 * math.log2(max(rate, 1.0)))))


def rate_of(link: int) -> float:
    """Bytes a second of a class; 0: unknown."""
    return 0.0 if link == 0 else 2.0 ** (link / 8)


def ride(spare: float, room: int, piece: int) -> int:
    """How many pieces of `piece` bytes an answer to a heartbeat carries (B9): a small share of the `spare` bytes that the
    link could carry until the next one, at least one piece, and what `room` takes; 0 where it takes none."""
    return min(max(1, int(SHARE * spare / piece)), max(0, room) // piece)


# ---- the stream ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class About:
    """What stands before the file in its stream, the same for every terminal that wants this file: digest and size of the
    update file, the envelope of the full image, version and component, and the block hashes. No ticket: that is for one
    terminal, and comes in one check-in when the file is complete."""

    kind: Kind
    file: bytes
    size: int
    envelope: bytes
    blocks: bytes
    version: Version
    component: ComponentName = FIRMWARE

    def __post_init__(self) -> None:
        checked_name(self.component, "component")
        if len(self.file) != 32 or not 0 < self.size <= cbor.MAX_NUMBER or len(self.blocks) != hashes(self.size):
            raise malformed("stream header", "a digest of 32 bytes, a size, 16 bytes of hash for each 4 KiB")
        if len(self.envelope) > MAX_ENVELOPE:
            raise malformed("stream header", "the envelope is too long")
        cbor.demand_texts("stream header", 64, self.version)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things lie in a stream of pieces of `piece` bytes: `length` bytes of header, padded to whole pieces, then `size`
    bytes of file."""

    piece: int
    length: int
    size: int

    def __post_init__(self) -> None:
        if self.piece not in SIZES or not (self.length >= _START.size and self.size > 0 and self.count <= MAX_SYNC):
            raise malformed("stream", "an unknown piece size, or more pieces than 24 bits count")

    @property
    def begin(self) -> int:
        """Index of the first piece of the file: how many the header has."""
        return -(-self.length // self.piece)

    @property
    def count(self) -> int:
        """Pieces of the whole stream: the sync point of a terminal that has all of them."""
        return self.begin + -(-self.size // self.piece)

    def length_of(self, index: int) -> int:
        """Bytes of a piece of the stream: all of them have the size, but the last."""
        return self.piece if index < self.count - 1 else self.size - (self.count - 1 - self.begin) * self.piece

    def held(self, sync: int) -> int:
        """Bytes of the file before a sync point."""
        return min(max(0, sync - self.begin) * self.piece, self.size)

    def sync(self, held: int) -> int:
        """The sync point of a terminal that has the header and so many bytes of the file."""
        return self.count if held >= self.size else self.begin + held // self.piece


def hashes(size: int) -> int:
    """Bytes of the block hashes of a file."""
    return 16 * -(-size // BLOCK)


def header(about: About) -> bytes:
    """What stands before the file, without padding."""
    told = cbor.pack(
        {
            1: about.kind.value,
            2: about.file,
            3: about.envelope,
            4: about.version or None,
            5: None if about.component == FIRMWARE else about.component,
        }
    )
    return _START.pack(len(told), about.size, 0) + told + about.blocks


def plan(start: bytes, piece: int) -> Plan:
    """Where things lie, from the first 8 bytes of a stream; or DataError."""
    if len(start) < _START.size:
        raise malformed("stream header", "shorter than its start")
    told, size, zero = _START.unpack_from(start)
    if zero:
        raise malformed("stream header", "reserved bits are set")
    return Plan(piece, _START.size + told + hashes(size), size)


def about(data: bytes) -> About:
    """What a header (padding allowed) says, or DataError."""
    where = plan(data, SIZES[0])
    told = struct.unpack_from(">H", data)[0]
    end = _START.size + told
    if len(data) < where.length or any(data[where.length :]):
        raise malformed("stream header", "bytes are missing, or the padding is not zero")
    f = cbor.unpack(data[_START.size : end], "stream header")
    f.only(_ABOUT)
    found = About(
        kind=_kind(f.uint(1)),
        file=f.octets(2, 32),
        size=where.size,
        envelope=f.octets(3),
        blocks=data[end : where.length],
        version=Version(f.text(4, 64, "")),
        component=ComponentName(f.text(5, 64, str(FIRMWARE))),
    )
    if header(found) != data[: where.length]:
        raise malformed("stream header", "a default value is spelled out")
    return found


def _kind(value: int) -> Kind:
    try:
        return Kind(value)
    except ValueError:
        raise malformed("stream header", f"kind {value} is not known") from None
