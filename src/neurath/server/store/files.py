"""Files by digest: `files/ab/abcdef...`. It knows how bytes reach the disk whole or not at all, and that what is read is
what was written; it must never overwrite a sound file, and never delete."""

from __future__ import annotations

import hashlib
from pathlib import Path

from neurath.disk import write_whole
from neurath.errors import NeurathError, NotFound
from neurath.ids import Digest, digest


class Files:
    """A directory of immutable files named by their SHA-256."""

    def __init__(self, root: Path) -> None:
        self.root = root
        #: (size, time of change) of files that were read whole and found sound.
        self._sound: dict[str, tuple[int, int]] = {}

    def path(self, name: str) -> Path:
        """Where the file with this digest (64 hex digits) lies or would lie."""
        return self.root / name[:2] / name

    def put(self, data: bytes) -> Digest:
        """Keeps the bytes; afterwards they are on the disk, not only in its cache. Putting them again mends a rotten
        copy and leaves a sound one alone."""
        found = digest(data)
        name = found.hex()
        target = self.path(name)
        if self._is_sound(name):
            return found
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)
        self._sound.pop(name, None)
        return found

    def read(self, name: str) -> bytes:
        """The whole file, checked; NotFound or NeurathError."""
        return self.verified(name).read_bytes()

    def verified(self, name: str) -> Path:
        """The path of a file whose content was compared with its name since it last changed; NeurathError when it rotted."""
        target = self.path(name)
        if not target.is_file():
            raise NotFound(f"no file {name[:16]}…", "the store does not hold it", "add the image again", id="NRT-131")
        if not self._is_sound(name):
            # Nobody who asks is at fault: this is our disk.
            raise NeurathError(
                f"file {name[:16]}… is damaged", f"{target} differs from its digest", "add the same image again", id="NRT-260"
            )
        return target

    def sound(self, name: str) -> bool:
        """Whether the store holds this file, whole."""
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
