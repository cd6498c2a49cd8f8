"""What is known of one component that is a file: the last confirmed release, the one on its way, counters. It knows a small
file that is replaced whole; it never says what IS installed, for that is read from the bytes. Spec: docs/spec/installed.md."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass, field
from pathlib import Path

from neurath.errors import DataError
from neurath.flash.bank import ImageRecord
from neurath.terminal.software.fs import Fs
from neurath.wire import cbor

MAGIC = b"NRI1"
_HEAD = struct.Struct("<4sI")


@dataclass(frozen=True, slots=True)
class Installed:
    """`confirmed` is the floor; `target` is what was about to be put in place when this was written (size 0: nothing).
    `installs` grows with each installation that was begun, `serial` is the highest of any ticket that was taken. `failed` is
    the envelope (16 bytes) that came to nothing `failures` times."""

    confirmed: ImageRecord = field(default_factory=ImageRecord)
    target: ImageRecord = field(default_factory=ImageRecord)
    installs: int = 0
    serial: int = 0
    failed: bytes = bytes(16)
    failures: int = 0


def encode(record: Installed) -> bytes:
    body = cbor.pack(
        {
            1: _image(record.confirmed),
            2: _image(record.target),
            3: record.installs or None,
            4: record.serial or None,
            5: record.failed if record.failures else None,
            6: record.failures or None,
        }
    )
    return _HEAD.pack(MAGIC, binascii.crc32(body)) + body


def _image(image: ImageRecord) -> list[object] | None:
    return [image.image, image.size, image.envelope, image.sequence, image.epoch] if image.size else None


def decode(data: bytes) -> Installed:
    """The record in the bytes, or DataError."""
    body = data[_HEAD.size :]
    if len(data) < _HEAD.size or _HEAD.unpack(data[: _HEAD.size]) != (MAGIC, binascii.crc32(body)):
        raise DataError("the record of what is installed is damaged", "its checksum differs", "see docs/spec/installed.md")
    f = cbor.unpack(body, "installed")
    f.only(frozenset(range(1, 7)))
    return Installed(
        confirmed=_read(f, 1),
        target=_read(f, 2),
        installs=f.uint(3, default=0),
        serial=f.uint(4, default=0),
        failed=f.octets(5, 16, bytes(16)),
        failures=f.uint(6, default=0),
    )


def _read(f: cbor.Fields, key: int) -> ImageRecord:
    found = f.get(key, list, [])
    if not found:
        return ImageRecord()
    kinds = [bytes, int, bytes, int, int]
    if [type(one) for one in found] != kinds or len(found[0]) != 32 or len(found[2]) != 16 or found[1] <= 0:
        raise cbor.malformed("installed", f"key {key} is [image, size, envelope, sequence, epoch]")
    cbor.demand_numbers("installed", found[1], found[3], found[4])
    return ImageRecord(*found)


class Book:
    """The record of one component on its medium."""

    def __init__(self, path: Path, fs: Fs) -> None:
        self._path = path
        self._fs = fs

    def read(self) -> Installed:
        """What is written there; nothing known where there is no file; DataError where it is damaged."""
        try:
            return decode(self._path.read_bytes())
        except FileNotFoundError:
            return Installed()

    def write(self, record: Installed) -> None:
        self._fs.mkdir(self._path.parent, 0o700)
        self._fs.put(self._path, encode(record))
