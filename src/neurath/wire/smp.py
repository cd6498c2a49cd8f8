"""SMP over a serial console: frames as lines, and the answer to *identify*. It knows bytes and values; it must never open
a port or decide what is written. Spec: docs/spec/smp.md."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import cbor2

from neurath.errors import DataError
from neurath.ids import Floor, ModelName, TerminalId
from neurath.wire import cbor
from neurath.wire.cbor import Fields, malformed

#: Our group; SMP leaves 64 and above to the application.
GROUP = 64
IDENTIFY = 0
ENROL = 1
AID = 3
KEYS = 4
#: Longest line in bytes, start bytes and newline included.
LINE = 127
_START, _CONTINUE = b"\x06\x09", b"\x04\x14"
_HEAD = struct.Struct(">BBHHBB")
_KEYS = frozenset(range(1, 21))
_NO_ID, _NO_MODEL = TerminalId(""), ModelName("")
E = TypeVar("E", bound=Enum)


# ---- frames ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One SMP message: `op` 0 read, 1 its answer, 2 write, 3 its answer; `version` 0 is SMP v1, 1 is v2."""

    op: int
    group: int
    command: int
    body: bytes = b"\xa0"
    sequence: int = 0
    version: int = 1


def frame(message: Message) -> bytes:
    """The lines that carry a message."""
    head = _HEAD.pack(
        message.version << 3 | message.op, 0, len(message.body), message.group, message.sequence, message.command
    )
    content = head + message.body
    check = struct.pack(">H", binascii.crc_hqx(content, 0))
    text = base64.b64encode(struct.pack(">H", len(content) + 2) + content + check)
    room = (LINE - 3) // 4 * 4
    lines = (text[at : at + room] for at in range(0, len(text), room))
    return b"".join((_CONTINUE if i else _START) + line + b"\n" for i, line in enumerate(lines))


@dataclass(slots=True)
class Deframer:
    """Takes bytes as they come from the line and gives whole messages; a frame with a bad check is dropped."""

    line: bytes = b""
    text: bytes = b""
    dropped: int = field(default=0)

    def feed(self, data: bytes) -> list[Message]:
        found: list[Message] = []
        self.line += data
        while b"\n" in self.line:
            line, self.line = self.line.split(b"\n", 1)
            message = self._take(line)
            if message is not None:
                found.append(message)
        self.line = self.line[-4 * LINE :]
        return found

    def _take(self, line: bytes) -> Message | None:
        start = max(line.rfind(_START), line.rfind(_CONTINUE))
        if start < 0:
            return None
        opens = line[start : start + 2] == _START
        self.text = (b"" if opens else self.text) + line[start + 2 :].strip()
        try:
            raw = base64.b64decode(self.text, validate=True)
        except (ValueError, binascii.Error):
            self._drop()
            return None
        if len(raw) < 2 or len(raw) < 2 + int.from_bytes(raw[:2], "big"):
            return None
        try:
            return message_of(raw)
        except DataError:
            self.dropped += 1
            return None
        finally:
            self.text = b""

    def _drop(self) -> None:
        self.dropped += 1
        self.text = b""


def message_of(raw: bytes) -> Message:
    """The message in a decoded frame (length, header, body, check), or DataError."""
    if len(raw) < 2 + _HEAD.size + 2 or len(raw) != 2 + int.from_bytes(raw[:2], "big"):
        raise malformed("SMP frame", "its length is wrong")
    if binascii.crc_hqx(raw[2:], 0) != 0:
        raise malformed("SMP frame", "its check is wrong")
    first, _, length, group, sequence, command = _HEAD.unpack_from(raw, 2)
    body = raw[2 + _HEAD.size : -2]
    if length != len(body):
        raise malformed("SMP frame", "header and frame disagree on the length")
    return Message(first & 7, group, command, body, sequence, first >> 3 & 3)


# ---- identify ----------------------------------------------------------------------------------------------------------


class Fate(Enum):
    """What the terminal does with its bank; mirrors enum nrt_fate."""

    BOOT = 1
    FETCH = 2
    RESTORE = 3


class Why(Enum):
    """Why restoration is needed; mirrors enum nrt_why."""

    NONE = 0
    REWRITE = 1
    UNCONFIRMED = 2
    DIGEST = 3
    FLASH = 4
    BLANK = 5
    RESTORE = 6


class BirthState(Enum):
    """Whether the terminal knows who it is: blank may be enrolled, unreadable needs the maker's hands."""

    BLANK = 0
    WRITTEN = 1
    UNREADABLE = 2


@dataclass(frozen=True, slots=True)
class Held:
    """One image as the state log names it: `envelope` 16 bytes, `image` 32, `size` in bytes."""

    envelope: bytes
    image: bytes
    size: int
    sequence: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The target of the open plan or restoration: the image, and the file (or package) that brings it."""

    release: Held
    file: bytes
    file_size: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a terminal is and what its state log says, as read over the wire at any time.

    `bank` is the room for an image in bytes; `grains` are write unit, page, group and leaf in bytes; `progress` is
    (commit, done, units). `last` is why the terminal refused the last write, a negated nrt_result, 0 when it did not.
    """

    bank: int
    grains: tuple[int, int, int, int]
    fate: Fate
    why: Why
    birth: BirthState
    id: TerminalId = _NO_ID
    model: ModelName = _NO_MODEL
    klass: bytes = b""
    vendor: bytes = b""
    installed: Held | None = None
    candidate: bool = False
    confirmed: Held | None = None
    target: Wanted | None = None
    restoring: bool = False
    progress: tuple[int, int, int] = (0, 0, 0)
    nonce: bytes = b""
    installs: int = 0
    last: int = 0
    serial: int = 0

    @property
    def enrolled(self) -> bool:
        """The terminal has a readable birth record."""
        return self.birth is BirthState.WRITTEN

    @property
    def floor(self) -> Floor:
        """(epoch, sequence) of the last confirmed image."""
        return Floor(self.confirmed.epoch, self.confirmed.sequence) if self.confirmed else Floor(0, 0)

    @property
    def open(self) -> bool:
        """No image in the bank can be booted, or a plan is open: the wire may write."""
        return self.fate is not Fate.BOOT or self.restoring or self.target is not None


def encode(identity: Identity) -> bytes:
    """The map that the terminal sends; for tests and the vector, the terminal itself has it in C."""
    known = identity.enrolled
    return cbor.pack(
        {
            1: 1,
            2: identity.id if known else None,
            3: identity.model if known else None,
            4: identity.klass if known else None,
            5: identity.vendor if known else None,
            6: identity.bank,
            7: list(identity.grains),
            8: identity.fate.value,
            9: identity.why.value,
            10: _from_held(identity.installed),
            11: int(identity.candidate),
            12: _from_held(identity.confirmed),
            13: _from_wanted(identity.target),
            14: int(identity.restoring),
            15: list(identity.progress),
            16: identity.nonce if known else None,
            17: identity.installs,
            18: identity.last,
            19: identity.birth.value,
            20: identity.serial,
        }
    )


def decode(data: bytes) -> Identity:
    """The identity in the value of "r", or DataError."""
    f = cbor.unpack(data, "identity")
    f.only(_KEYS)
    if f.uint(1) != 1:
        raise malformed("identity", "its version is not 1")
    birth = _member(BirthState, f.uint(19))
    known = birth is BirthState.WRITTEN
    found = Identity(
        bank=f.uint(6),
        grains=_four(_numbers(f, 7, 4)),
        fate=_member(Fate, f.uint(8)),
        why=_member(Why, f.uint(9)),
        birth=birth,
        id=TerminalId(f.text(2, 64)) if known else _NO_ID,
        model=ModelName(f.text(3, 64)) if known else _NO_MODEL,
        klass=f.octets(4, 16) if known else b"",
        vendor=f.octets(5, 16) if known else b"",
        installed=_held(f, 10),
        candidate=bool(f.uint(11, 1)),
        confirmed=_held(f, 12),
        target=_wanted(f),
        restoring=bool(f.uint(14, 1)),
        progress=_three(_numbers(f, 15, 3)),
        nonce=f.octets(16, 8) if known else b"",
        installs=f.uint(17),
        last=f.uint(18),
        serial=f.uint(20),
    )
    if encode(found) != data:
        raise malformed("identity", "a field is there that this terminal cannot have")
    return found


def _member(kind: type[E], value: int) -> E:
    try:
        return kind(value)
    except ValueError:
        raise malformed("identity", f"{kind.__name__} {value} is not known") from None


def _numbers(f: Fields, key: int, count: int) -> list[int]:
    values = f.need(key, list)
    if len(values) != count or not all(type(v) is int and 0 <= v <= 0xFFFF_FFFF for v in values):
        raise malformed("identity", f"key {key} is {count} numbers")
    return values


def _three(values: list[int]) -> tuple[int, int, int]:
    return values[0], values[1], values[2]


def _four(values: list[int]) -> tuple[int, int, int, int]:
    return values[0], values[1], values[2], values[3]


def _held(f: Fields, key: int) -> Held | None:
    values = f.get(key, list, [])
    return _held_of(values) if values else None


def _held_of(values: list[object]) -> Held:
    match values:
        case [bytes(envelope), bytes(image), int(size), int(sequence), int(epoch)] if (
            len(envelope) == 16 and len(image) == 32 and all(0 <= v <= 0xFFFF_FFFF for v in (size, sequence, epoch))
        ):
            return Held(envelope, image, size, sequence, epoch)
    raise malformed("identity", "an image is [envelope, image, size, sequence, epoch]")


def _wanted(f: Fields) -> Wanted | None:
    values = f.get(13, list, [])
    match values:
        case []:
            return None
        case [*release, bytes(file), int(size)] if len(file) == 16 and 0 <= size <= 0xFFFF_FFFF:
            return Wanted(_held_of(release), file, size)
    raise malformed("identity", "a target is an image, a file digest and a file size")


def _from_held(held: Held | None) -> list[object] | None:
    return None if held is None else [held.envelope, held.image, held.size, held.sequence, held.epoch]


def _from_wanted(wanted: Wanted | None) -> list[object] | None:
    release = _from_held(wanted.release) if wanted else None
    return None if wanted is None or release is None else [*release, wanted.file, wanted.file_size]


def identity_of(response: bytes) -> Identity:
    """The identity in the body of an identify response ({"r": octets}), or DataError."""
    prefix = b"\xa1\x61r"
    try:
        value = cbor2.loads(response) if response.startswith(prefix) else None
    except Exception as fault:  # cbor2 raises many kinds on hostile bytes; all mean the same here
        raise malformed("identify response", type(fault).__name__) from None
    if not isinstance(value, dict) or not isinstance(value.get("r"), bytes):
        raise malformed("identify response", "it is not {'r': octets}")
    return decode(value["r"])
