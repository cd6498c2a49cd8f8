"""Where programs gather, several at a time: what a place is asked, and the one in memory. It knows names, sizes and room; it
must never know what a program is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neurath.errors import RefusedError
from neurath.terminal.staging.area import Backend, Volatile

#: The header of a program's stream is staged under the program's name and these bytes.
HEADER = bytes(12)
#: The byte behind it that says: these are coded symbols of it.
CODED = 1


@dataclass(frozen=True, slots=True)
class Known:
    """Something that a place holds, in part or wholly: its name (16 bytes), size in bytes, and piece size."""

    name: bytes
    size: int
    piece: int


def coded(name: bytes) -> bool:
    """Whether something of this name could be coded symbols; `symbols.marked` knows."""
    return len(name) == 16 and name[4] == CODED and name[10:] == bytes(6)


class Place(Protocol):
    """Where programs gather, several at a time."""

    durable: bool

    def open(self, about: Known) -> Backend:
        """A back end for this; RefusedError where there is no room for it."""
        ...

    def known(self) -> list[Known]:
        """What was left here."""
        ...


class _Part(Volatile):
    """A part of such a place; it is free again once it is dropped, and taken anew by the next byte."""

    def __init__(self, place: Ram, about: Known) -> None:
        self._place, self._about = place, about
        super().__init__(memoryview(place.take(about)), about.size)

    def write(self, offset: int, data: bytes) -> None:
        if not len(self._area):
            self._area = memoryview(self._place.take(self._about))
        super().write(offset, data)

    def drop(self) -> None:
        self._area = memoryview(b"")
        self._place.free(self._about.name)


class Ram:
    """A place in memory that no tenant wants: `room` bytes, gone with the power."""

    durable = False

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken: dict[bytes, int] = {}

    @property
    def room(self) -> int:
        return self._room

    def open(self, about: Known) -> Backend:
        self.free(about.name)
        return _Part(self, about)

    def take(self, about: Known) -> bytearray:
        if sum(self._taken.values()) + about.size > self._room:
            raise RefusedError("there is no room to stage this", f"{about.size} of {self._room} bytes", "make room")
        self._taken[about.name] = about.size
        return bytearray(about.size)

    def free(self, name: bytes) -> None:
        self._taken.pop(name, None)

    def known(self) -> list[Known]:
        return []
