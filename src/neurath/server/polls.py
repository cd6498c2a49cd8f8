"""Base polls that need no look into the store: an answer is kept while nothing was written that can change it. It stands
before the application's routes, reads the few headers that matter, and must never answer whom the store would not."""

from __future__ import annotations

import re
import secrets
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from starlette.types import ASGIApp, Receive, Scope, Send

from neurath.clock import agreed
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.sightings import Sighting
from neurath.server.proxy import certificate
from neurath.server.store.marks import Mark

#: Answers kept, of 0.13 KB each where there is nothing to do.
MOST = 1_000_000
#: Of those that find no room one in so many is let in, in place of the oldest. Terminals poll in turn: were each let in, each
#: would be gone before it is asked for again.
LET_IN = 16
#: An answer stands no longer than this, seconds, however still it is; ends are so far apart, for many to have the same.
LONGEST, APART = 3600.0, 60.0
#: A terminal's number and the place of its answer are kept in one whole number, the place in so many bits of it.
_PLACE = 24
_PATH = re.compile(rb"/[^/]+/controller/v1/[^/]+")
#: What an answer depends on beside terminal and store: who asks, under which name, in which form, with which program.
_MATTERS = (b"host", b"authorization", b"accept", b"user-agent")
#: A request that has one of these is answered for itself.
_OWN = (b"if-none-match", b"transfer-encoding", b"signature-input")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the same for many terminals where there is nothing to do."""

    head: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that stands as long as `mark` is the store's for its terminal, and until then."""

    mark: Mark
    until: float
    answer: Answer


@lru_cache(maxsize=256)
def alike(head: tuple[tuple[bytes, bytes], ...], body: bytes) -> Answer:
    """One object for those that are alike."""
    return Answer(head, body)


def latest(now: float) -> float:
    """Until when an answer stands that nothing ends."""
    return now // APART * APART + LONGEST


@dataclass(slots=True)
class Shelf:
    """Answers that many terminals have in common, each in one place for as long as somebody has it."""

    _there: list[Kept | None] = field(default_factory=list)
    _holders: array[int] = field(default_factory=lambda: array("q"))
    _places: dict[Kept, int] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)

    def at(self, place: int) -> Kept:
        found = self._there[place]
        assert found is not None
        return found

    def take(self, one: Kept) -> int:
        """The place of this answer, for one more."""
        place = self._places.get(one)
        if place is None:
            if not self._free:
                self._free.append(len(self._there))
                self._there.append(None)
                self._holders.append(0)
            place = self._places[one] = self._free.pop()
            self._there[place] = one
        self._holders[place] += 1
        return place

    def leave(self, place: int) -> None:
        """One less has what is here."""
        self._holders[place] -= 1
        if not self._holders[place]:
            del self._places[self.at(place)]
            self._there[place] = None
            self._free.append(place)


class Polls:
    """The answers of one plane. `app` is what everything else goes to. An answer is found by a keyed hash of everything it
    depends on, the Authorization among it: whoever does not show the same finds nothing. Used in its event loop only."""

    def __init__(self, app: ASGIApp, delivery: Delivery, most: int = MOST) -> None:
        self.app = app
        self._delivery = delivery
        self._marks = delivery.store.marks
        self._most = most
        self._key = secrets.token_bytes(32)
        # Whole numbers on both sides: a million objects would be twice as large.
        self._kept: dict[int, int] = {}
        self._shelf = Shelf()
        self._left_out = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            asked = self._asked(scope)
            entry = None if asked is None else self._kept.get(asked)
            if entry is not None:
                terminal, found = entry >> _PLACE, self._shelf.at(_place(entry))
                now = agreed()
                if now < found.until and found.mark == self._marks.of(terminal):
                    client = scope["client"]
                    self._delivery.sightings.note(terminal, Sighting("http", client[0] if client else "", now))
                    await send({"type": "http.response.start", "status": 200, "headers": found.answer.head})
                    await send({"type": "http.response.body", "body": found.answer.body, "more_body": False})
                    return
        await self.app(scope, receive, send)

    def keep(self, scope: Scope, terminal: int, found: Kept) -> None:
        """Keeps an answer to this request of a terminal (its number), if it is one that can be kept."""
        asked = self._asked(scope)
        if asked is None:
            return
        if asked not in self._kept and len(self._kept) >= self._most:
            self._left_out += 1
            if self._left_out % LET_IN:
                return
            self._shelf.leave(_place(self._kept.pop(next(iter(self._kept)))))
        before = self._kept.get(asked)
        self._kept[asked] = terminal << _PLACE | self._shelf.take(found)
        if before is not None:
            self._shelf.leave(_place(before))

    def _asked(self, scope: Scope) -> int | None:
        """What a base poll is known by; None for any other request, and for one whose answer is its own."""
        path = scope["raw_path"]
        if _PATH.fullmatch(path) is None or scope["query_string"] or certificate(scope) is not None:
            return None
        words = _words(scope["headers"])
        if words is None:
            return None
        # None of them can hold the end of a line.
        text = b"\n".join((path, scope["scheme"].encode(), *words))
        return int.from_bytes(blake2b(text, digest_size=15, key=self._key).digest())


def _place(entry: int) -> int:
    return entry & ((1 << _PLACE) - 1)


def _words(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes] | None:
    words = [b"", b"", b"", b""]
    for name, value in headers:
        if name in _MATTERS:
            words[_MATTERS.index(name)] = value
        elif name in _OWN or (name == b"content-length" and value != b"0"):
            return None
    return words
