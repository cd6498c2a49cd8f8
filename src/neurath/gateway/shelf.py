"""Where a gateway keeps pieces and courses: a shelf in memory, and a folder behind it so that the gateway goes on after its
own death with the server away. It knows chunks of streams; it must never hand out a chunk that is not whole, nor let a disk
keep an answer waiting (memory and disk are apart: the caller's lock covers the first only)."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurath.disk import write_whole
from neurath.errors import DataError
from neurath.wire.gateway import Course

#: Pieces that are fetched and kept together.
CHUNK = 256
_FOLDER = re.compile(r"([0-9a-f]{8})-(\d{1,4})")
_FILE = re.compile(r"\d{1,8}")
_COURSES = "courses.json"


@dataclass(frozen=True, slots=True)
class Name:
    """A program cut into pieces of this size."""

    program: bytes
    size: int

    def __str__(self) -> str:
        return f"{self.program.hex()}-{self.size}"


@dataclass(slots=True)
class Shelf:
    """At most `room` bytes of chunks; of more, the one that was used longest ago goes. One caller at a time."""

    room: int
    taken: int = 0
    _chunks: OrderedDict[tuple[Name, int], bytes] = field(default_factory=OrderedDict)

    @property
    def full(self) -> bool:
        return self.taken + CHUNK * 4096 > self.room

    def has(self, name: Name, chunk: int) -> bool:
        return (name, chunk) in self._chunks

    def put(self, name: Name, chunk: int, data: bytes) -> None:
        if not data or len(data) > self.room:
            return
        self.taken += len(data) - len(self._chunks.pop((name, chunk), b""))
        self._chunks[name, chunk] = data
        while self.taken > self.room:
            self.taken -= len(self._chunks.popitem(last=False)[1])

    def cut(self, name: Name, first: int, count: int) -> tuple[bytes, ...]:
        """Consecutive pieces from `first` on, as many as are here."""
        found: list[bytes] = []
        while len(found) < count:
            chunk, at = divmod(first + len(found), CHUNK)
            data = self._chunks.get((name, chunk))
            if data is None or at * name.size >= len(data):
                break
            self._chunks.move_to_end((name, chunk))
            end = min(at + count - len(found), CHUNK, -(-len(data) // name.size))
            found += [data[n * name.size : (n + 1) * name.size] for n in range(at, end)]
        return tuple(found)

    def drop_others(self, names: set[Name]) -> set[Name]:
        """Programs that ride to nobody any more go; gives those that went."""
        gone = {name for name, _ in self._chunks} - names
        for key in [key for key in self._chunks if key[0] in gone]:
            self.taken -= len(self._chunks.pop(key))
        return gone


@dataclass(frozen=True, slots=True)
class Drawer:
    """The folder behind a shelf; None keeps nothing. A disk that is full costs what it would have kept, no more."""

    folder: Path | None

    def chunks(self) -> Iterator[tuple[Name, int, bytes]]:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for place in sorted(self.folder.iterdir()):
            found = _FOLDER.fullmatch(place.name)
            for path in sorted(place.iterdir()) if found else ():
                if found and _FILE.fullmatch(path.name):
                    yield Name(bytes.fromhex(found[1]), int(found[2])), int(path.name), path.read_bytes()

    def put(self, name: Name, chunk: int, data: bytes) -> None:
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / str(name)).mkdir(exist_ok=True)
                write_whole(self.folder / str(name) / str(chunk), data)

    def drop(self, names: Iterable[Name]) -> None:
        if self.folder is not None:
            for name in names:
                shutil.rmtree(self.folder / str(name), ignore_errors=True)

    def courses(self) -> list[Course]:
        """What was kept; nothing where that cannot be read."""
        if self.folder is None:
            return []
        try:
            rows = json.loads((self.folder / _COURSES).read_text())
            return [Course(row[0], bytes.fromhex(row[1]), *row[2:]) for row in rows]
        except (OSError, ValueError, TypeError, LookupError, DataError):
            return []

    def keep_courses(self, courses: Iterable[Course]) -> None:
        if self.folder is not None:
            rows = [[c.terminal, c.program.hex(), c.size, c.count, c.sent] for c in courses]
            with contextlib.suppress(OSError):
                write_whole(self.folder / _COURSES, json.dumps(rows).encode())
