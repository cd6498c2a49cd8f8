"""A file system of its own that can really be full: a tmpfs, mounted by the test and taken away by it. It needs root; it must
never touch a file outside the folder it was given."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts import need

#: tmpfs gives room page by page.
PAGE = os.sysconf("SC_PAGE_SIZE")
BALLAST = "ballast"


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system."""

    folder: Path

    @property
    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, left: int = 0) -> None:
        """Takes all room but `left` bytes, in whole pages."""
        with (self.folder / BALLAST).open("ab", buffering=0) as ballast:
            while self.free > left:
                try:
                    ballast.write(bytes(min(self.free - left, 1 << 20)))
                except OSError as fault:
                    if fault.errno != errno.ENOSPC:
                        raise
                    return

    def clear(self) -> None:
        """Gives back what fill() took."""
        (self.folder / BALLAST).unlink()


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Disk]:
    """A file system of `size` bytes at `folder`, which is made."""
    need("root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
