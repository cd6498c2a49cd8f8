"""The restoration package: one file that a station and a stock SMP tool send over the wire, and that the terminal checks
group by group. It knows the bytes and that its leaf list fits its image; it must never judge a signature (wire.manifest
does). Spec: docs/spec/restoration.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from neurath.errors import DataError
from neurath.wire.cbor import malformed
from neurath.wire.leaflist import LEAF, SHORT, leaf_count, leaf_list
from neurath.wire.manifest import MAX_ENVELOPE

MAGIC = b"NRP\x01"
SUFFIX = ".nrp"
_HEAD = struct.Struct(">4sHHII")
#: No bank of a supported terminal is larger (32-bit flash addresses, two banks never fit).
MAX_IMAGE = 1 << 30


@dataclass(frozen=True, slots=True)
class Package:
    """An envelope, the leaf list it signs and the image, whole.

    `leaf` is the leaf size in bytes; `leaves` holds 16 bytes a leaf (truncated SHA-256, the last leaf padded with 0xFF).
    """

    envelope: bytes
    leaf: int
    leaves: bytes
    image: bytes

    @property
    def header(self) -> int:
        """Bytes before the first image byte."""
        return _HEAD.size + len(self.envelope) + len(self.leaves)


def build(envelope: bytes, image: bytes, leaf: int = LEAF) -> bytes:
    """The package of an image and its signed envelope; DataError where either has an impossible size."""
    if not 0 < len(envelope) <= MAX_ENVELOPE:
        raise DataError(
            f"an envelope of {len(envelope)} bytes",
            f"1 to {MAX_ENVELOPE} bytes are possible",
            "sign the image again with `neurath sign`",
            id="NRT-294",
        )
    if not 0 < len(image) <= MAX_IMAGE or leaf <= 0:
        raise DataError(
            f"an image of {len(image)} bytes", "it is empty or larger than any bank", "name another file", id="NRT-261"
        )
    return _HEAD.pack(MAGIC, len(envelope), 0, leaf, len(image)) + envelope + leaf_list(image, leaf) + image


def _is_leaf(leaf: int) -> bool:
    return 0 < leaf <= MAX_IMAGE and not leaf & (leaf - 1)


def read(data: bytes) -> Package:
    """The package in the bytes, or DataError. Strict: exact length, zero reserved bytes, a leaf list that fits the image."""
    if len(data) < _HEAD.size:
        raise malformed("restoration package", f"{len(data)} bytes; the shortest header has {_HEAD.size}")
    magic, envelope, zero, leaf, size = _HEAD.unpack_from(data)
    if magic != MAGIC or zero != 0:
        raise malformed("restoration package", "it does not begin with NRP, version 1")
    if not 0 < envelope <= MAX_ENVELOPE or not 0 < size <= MAX_IMAGE or not _is_leaf(leaf):
        raise malformed("restoration package", "envelope, leaf or image size is out of bounds")
    count = leaf_count(size, leaf)
    start = _HEAD.size + envelope
    body = start + count * SHORT
    if len(data) != body + size:
        raise malformed("restoration package", f"{len(data)} bytes; its header announces {body + size}")
    found = Package(data[_HEAD.size : start], leaf, data[start:body], data[body:])
    if leaf_list(found.image, leaf) != found.leaves:
        raise malformed("restoration package", "an image leaf differs from the leaf list")
    return found
