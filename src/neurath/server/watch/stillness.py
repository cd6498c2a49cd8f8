"""Whether a file still changes under our eyes. It knows stamps (inode, size, times) and since when each was seen; it must
never open a file: what is inside is judged by digest, later."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

#: A file whose stamp was the same for so long is read, seconds. A copy that stalls for longer is caught by its digest.
SETTLE = 0.2
#: ... and so long where no signed digest tells half a file from a whole one.
SETTLE_UNSIGNED = 3.0
_VERSION = re.compile(r"[-_]v?(\d[A-Za-z0-9.]*(?:-[A-Za-z0-9.]+)*)$")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file does; the change time also where a copier sets the modification time back."""

    inode: int
    size: int
    modified: int
    changed: int


def stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None where there is no regular file."""
    try:
        found = path.stat()
    except OSError:
        return None
    regular = (found.st_mode & 0o170000) == 0o100000
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) if regular else None


def names(directory: Path, beside: str) -> list[str]:
    """The files in a directory that somebody may have meant: no hidden ones, no copier's leftovers, none that ends in
    `beside`, none whose name is no text. OSError where it cannot be read."""
    with os.scandir(directory) as found:
        plain = [one.name for one in found if one.name.isprintable() and one.is_file()]
    skipped = (beside, ".part", ".tmp", ".partial", ".crdownload", "~", ".swp")
    return sorted(name for name in plain if not name.startswith(".") and not name.endswith(skipped))


def version_in(name: str) -> str:
    """The version in a file name (`app-1.4.0.swu`, `app_v2.bin`); "" where there is none."""
    match = _VERSION.search(Path(name).stem)
    return match.group(1)[:32] if match else ""


class Stillness:
    """For how long each thing has looked the same."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def age(self, thing: Hashable, look: Hashable) -> float:
        """Seconds since the thing first looked like this; 0 at the first look."""
        now = self._clock()
        before = self._seen.get(thing)
        if before is None or before[0] != look:
            self._seen[thing] = look, now
            return 0.0
        return now - before[1]
