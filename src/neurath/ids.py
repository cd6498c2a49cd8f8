"""Identities as types, and the digests that name content. A digest names bytes; an id names a thing. Nothing here does I/O."""

from __future__ import annotations

import hashlib
import mmap
import re
from dataclasses import dataclass
from typing import NewType

from neurath.errors import DataError

TerminalId = NewType("TerminalId", str)
ModelName = NewType("ModelName", str)
ComponentName = NewType("ComponentName", str)
Version = NewType("Version", str)
#: SHA-256, 32 bytes.
Digest = NewType("Digest", bytes)
#: The first 16 bytes of a SHA-256: what tickets, leaf lists and the state log carry.
ShortDigest = NewType("ShortDigest", bytes)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
#: The component a single-bank terminal has.
FIRMWARE = ComponentName("firmware")


#: Contents of a file: read, or mapped where it is long.
Contents = bytes | mmap.mmap


def digest(data: Contents) -> Digest:
    """SHA-256 of the bytes."""
    return Digest(hashlib.sha256(data).digest())


def short(full: Digest) -> ShortDigest:
    """The 16 bytes of a digest that narrow links carry."""
    return ShortDigest(full[:16])


def checked_name(text: str, what: str) -> str:
    """A terminal id, model or component name as it may appear in a path; DataError otherwise."""
    if not _NAME.fullmatch(text):
        raise DataError(
            f"{text[:80]!r} is not a {what}",
            "1 to 64 letters, digits, dot, underscore, colon or hyphen, beginning with a letter or a digit",
            f"choose another {what}",
            id="NRT-201",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class Floor:
    """(epoch, sequence) of the last confirmed image: nothing below it is installed. Source: docs/spec/envelope.md."""

    epoch: int
    sequence: int
