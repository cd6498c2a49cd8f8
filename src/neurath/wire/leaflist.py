"""The leaf list: 16-byte truncated SHA-256 of each leaf of an image, in order. It knows how an image is cut; it must never
know sectors. Spec: docs/spec/leaflist.md."""

from __future__ import annotations

import hashlib

from neurath.errors import DataError

LEAF = 4096
SHORT = 16


def leaf_list(image: bytes, leaf: int = LEAF) -> bytes:
    """16 bytes for each leaf of `leaf` bytes; the last leaf is padded with 0xFF."""
    if leaf <= 0 or leaf & (leaf - 1):
        raise DataError(f"a leaf of {leaf} bytes is not possible", "a leaf is a power of two", "use 4096", id="NRT-215")
    pieces = (image[at : at + leaf].ljust(leaf, b"\xff") for at in range(0, len(image), leaf))
    return b"".join(hashlib.sha256(piece).digest()[:SHORT] for piece in pieces)


def leaf_digest(listed: bytes) -> bytes:
    """SHA-256 of a leaf list, 32 bytes: what an envelope signs."""
    return hashlib.sha256(listed).digest()


def leaf_count(image_size: int, leaf: int = LEAF) -> int:
    """Number of leaves of an image."""
    return -(-image_size // leaf)
