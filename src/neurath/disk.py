"""Files that are there whole or not at all. It knows how bytes reach the medium and not only its cache; it must never leave a
half-written file under the name that was asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from neurath.ids import Contents

_BLOCK = 1 << 20


def write_whole(path: Path, data: Contents) -> None:
    """Puts the bytes under this name, replacing what was there; after a crash or on a full disk (OSError) the old file is
    as it was."""
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with draft.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def copy_whole(source: Path, target: Path, name: str) -> str:
    """Copies a file a block at a time under another name, if its SHA-256 (hexadecimal) is `name`; gives what it is."""
    draft = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        found = hashlib.sha256()
        with source.open("rb") as given, draft.open("xb") as out:
            while block := given.read(_BLOCK):
                found.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if found.hexdigest() == name:
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(target.parent)
    return found.hexdigest()


def _sync_directory(path: Path) -> None:
    """A new name is on the medium only when its directory is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
