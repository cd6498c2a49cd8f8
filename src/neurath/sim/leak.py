"""Whether a private key lies anywhere in a folder, in any of the forms a key is written in. It knows what to look for; it must
never say so of a folder that it could not read whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from neurath.wire.keys import SigningKey

_BLOCK = 1 << 20


def forms(key: SigningKey) -> set[bytes]:
    """The secret number itself, as bytes and in digits, and the lines of its PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = key.private
    if isinstance(private, Ed25519PrivateKey):
        secret = private.private_bytes_raw()
    else:
        secret = private.private_numbers().private_value.to_bytes(32, "big")
    lines = [line for line in key.pem().splitlines() if b"-----" not in line]
    packed = base64.b64encode(secret).rstrip(b"=")
    return {secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(), packed[:-1], max(lines, key=len)}


def found(folder: Path, key: SigningKey) -> tuple[int, list[Path]]:
    """(files looked at, those that hold the key). OSError where one cannot be read; one that goes meanwhile is gone."""
    wanted = forms(key)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return len(files), [path for path in files if _holds(path, wanted)]


def _holds(path: Path, wanted: set[bytes]) -> bool:
    try:
        return any(form in part for part in _parts(path) for form in wanted)
    except FileNotFoundError:
        return False  # a server at work puts drafts down and away


def _parts(path: Path) -> Iterator[bytes]:
    """The file in blocks that overlap by more than any form is long."""
    with path.open("rb") as source:
        tail = b""
        while block := source.read(_BLOCK):
            yield tail + block
            tail = (tail + block)[-256:]
