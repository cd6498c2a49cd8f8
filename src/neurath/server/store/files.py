"""Files by digest: `files/ab/abcdef...`, and behind them an object store where there is one: then the directory is its
cache. It knows how bytes reach the disk whole or not at all, and that what is read is what was written; it must never
overwrite a sound file, nor decide which one goes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Protocol

from neurath.disk import copy_whole, write_whole
from neurath.errors import NeurathError, NotFound, RefusedError
from neurath.ids import Contents, Digest, digest

#: Held by whoever needs that no file goes, and by whoever takes files away.
CLAIM = "files stay"
#: What uploads and update files leave free, for the records of terminals: bytes, and this share of a small disk.
RESERVE, RESERVED_SHARE = 64 << 20, 50


class Behind(Protocol):
    """Where files lie that all servers share. Raises NeurathError where it cannot be reached."""

    def put(self, name: str, file: Path) -> None:
        """Keeps a copy of the file under this name."""

    def get(self, name: str, into: Path) -> bool:
        """Writes the object into the file, which is not there yet; False where there is no such object."""

    def remove(self, name: str) -> None:
        """Takes the object away, where there is one."""

    def link(self, name: str, called: str, seconds: int) -> str:
        """An address at which anybody may fetch it for so long."""


class Files:
    """A directory of immutable files named by their SHA-256, and what lies `behind` it."""

    def __init__(self, root: Path, behind: Behind | None = None) -> None:
        self.root = root
        self.behind = behind
        #: (size, time of change) of files that were read whole and found sound.
        self._sound: dict[str, tuple[int, int]] = {}

    def path(self, name: str) -> Path:
        """Where the file with this digest (64 hex digits) lies or would lie."""
        return self.root / name[:2] / name

    def put(self, data: Contents) -> Digest:
        """Keeps the bytes; afterwards they are on the disk, not only in its cache. Putting them again mends a rotten
        copy and leaves a sound one alone."""
        found = digest(data)
        name = found.hex()
        target = self.path(name)
        if not self._is_sound(name):
            self._demand(len(data))
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)
            self._sound.pop(name, None)
        if self.behind is not None:
            self.behind.put(name, target)  # before anything names it
        return found

    def take(self, source: Path, name: str) -> bool:
        """Keeps a copy of a file that is to have this digest, a block at a time; False, and nothing is kept, where it has
        another. What is there whole already stays."""
        target = self.path(name)
        if not self._is_sound(name):
            self._demand(source.stat().st_size)
            target.parent.mkdir(parents=True, exist_ok=True)
            if copy_whole(source, target, name) != name:
                return False
            self._sound.pop(name, None)
        if self.behind is not None:
            self.behind.put(name, target)
        return True

    def remove(self, name: str) -> None:
        """Takes a file away, here and behind."""
        self.path(name).unlink(missing_ok=True)
        self._sound.pop(name, None)
        if self.behind is not None:
            self.behind.remove(name)

    @property
    def reserve(self) -> int:
        """Bytes of the disk that no file of ours takes."""
        return min(RESERVE, shutil.disk_usage(self.root).total // RESERVED_SHARE)

    def _demand(self, count: int) -> None:
        """RefusedError where a file of this size would fill the disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        if count > free - self.reserve:
            raise RefusedError(
                "the disk is too full for this file",
                f"{count:,} bytes; {free:,} are free, of which {self.reserve:,} are kept for terminals' records",
                "neurath store show; neurath store prune",
                id="NRT-369",
            )

    def read(self, name: str) -> bytes:
        """The whole file, checked; NotFound or NeurathError."""
        return self.verified(name).read_bytes()

    def verified(self, name: str) -> Path:
        """The path of a file whose content was compared with its name since it last changed; NeurathError when it rotted."""
        target = self.path(name)
        if not target.is_file() and not self._fetched(name):
            raise NotFound(f"no file {name[:16]}…", "the store does not hold it", "add the image again", id="NRT-131")
        if not self._is_sound(name) and not self._fetched(name):
            # Nobody who asks is at fault: this is our disk.
            raise NeurathError(
                f"file {name[:16]}… is damaged", f"{target} differs from its digest", "add the same image again", id="NRT-260"
            )
        return target

    def sound(self, name: str) -> bool:
        """Whether the store holds this file, whole."""
        return self._is_sound(name) or self._fetched(name)

    def _fetched(self, name: str) -> bool:
        """Brings it from behind, in place of what is here; False where it is not there, or not what its name says."""
        if self.behind is None:
            return False
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{name}.{os.urandom(4).hex()}")
        try:
            if not self.behind.get(name, draft):
                return False
            with draft.open("rb") as source:
                if hashlib.file_digest(source, "sha256").hexdigest() != name:
                    return False
                os.fsync(source.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        self._sound.pop(name, None)
        return self._is_sound(name)

    def _is_sound(self, name: str) -> bool:
        target = self.path(name)
        try:
            stat = target.stat()
            stamp = (stat.st_size, stat.st_mtime_ns)
            if self._sound.get(name) == stamp:
                return True
            with target.open("rb") as source:
                if hashlib.file_digest(source, "sha256").hexdigest() != name:
                    return False
        except FileNotFoundError:
            return False
        self._sound[name] = stamp
        return True
