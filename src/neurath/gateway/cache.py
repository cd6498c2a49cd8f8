"""What a gateway answers from: which program rides to each of its terminals, and the pieces of those programs that are here.
It knows courses, pieces and who was heard; it must never wait, ask a server, nor answer above a terminal's own sync point.
Spec: docs/spec/gateway.md."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from neurath.carriers.base import Seen
from neurath.errors import DataError
from neurath.gateway.shelf import CHUNK, Drawer, Name, Shelf
from neurath.wire import rateless, trickle
from neurath.wire.gateway import MOST, OLDEST, Course, Word
from neurath.wire.rateless import SEGMENT, Segments, Source
from neurath.wire.trickle import NOTHING, REPLY_HEADER, Ask, Reply, State

log = logging.getLogger(__name__)

#: Terminals of which something may wait to be told to the server; of more, the one that was heard first is forgotten.
WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Want:
    """Pieces of a program that are to be fetched: `count` from `first` on; `last`: the stream's last, which may be shorter,
    is among them."""

    program: bytes
    size: int
    first: int
    count: int
    last: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A terminal as it was last heard: its word, when, and the seconds between two of its packets (0 not known yet). `need`
    is the piece it lacks next."""

    word: Word
    at: float
    period: float = 0.0
    need: int = 0

    def again(self, word: Word, at: float, need: int) -> Heard:
        passed = max(0.0, at - self.at)
        period = passed if self.period == 0 else self.period + (passed - self.period) / 4
        return Heard(replace(word, sent=self.word.sent), at, period, need)

    def sent(self, count: int) -> Heard:
        """So many bytes of pieces were sent that the server was not told of."""
        return replace(self, word=replace(self.word, sent=self.word.sent + count))

    def told(self) -> Heard:
        return replace(self, word=replace(self.word, sent=0))


@dataclass(slots=True)
class Cache:
    """Answers of one gateway; implements carriers.base.Riding. Safe to call from any thread."""

    room: int = 64 << 20
    folder: Path | None = None
    _courses: dict[str, Course] = field(default_factory=dict)
    _heard: dict[str, Heard] = field(default_factory=dict)
    _untold: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _turns: dict[str, int] = field(default_factory=dict)
    _sources: dict[Name, Source] = field(default_factory=dict)
    _shelf: Shelf = field(init=False)
    _drawer: Drawer = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._shelf, self._drawer = Shelf(self.room), Drawer(self.folder)
        for name, chunk, data in self._drawer.chunks():
            self._shelf.put(name, chunk, data)
        self._courses = {course.terminal: course for course in self._drawer.courses()}

    # ---- for carriers --------------------------------------------------------------------------------------------------

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        """What rides on the answer to this terminal's packet, from what is here; b"" where nothing is."""
        try:
            asked = None if state is None else trickle.decode_state(state)
            with self._lock:
                return self._answer(seen, asked, room, now)
        except DataError as fault:
            log.warning("%s of %s is passed unchanged: %s (%s)", seen.carrier, seen.terminal, fault.what, fault.why)
        except Exception:
            log.exception("a packet of %s is passed unchanged", seen.terminal)
        return b""

    # ---- for the session with the server ---------------------------------------------------------------------------------

    def words(self, now: float, most: int = MOST) -> tuple[Word, ...]:
        """The next batch of what the server was not told yet, the longest waiting first. It is taken out: give_back() what
        did not arrive."""
        found = []
        with self._lock:
            for _ in range(min(most, len(self._untold))):
                name, _ = self._untold.popitem(last=False)
                heard = self._heard[name]
                found.append((heard.at, heard.word))
                self._heard[name] = heard.told()
        return tuple(replace(word, age=min(OLDEST, max(0, int((now - at) * 1000)))) for at, word in found)

    def give_back(self, words: tuple[Word, ...]) -> None:
        with self._lock:
            for word in reversed(words):
                if word.terminal in self._heard:
                    self._heard[word.terminal] = self._heard[word.terminal].sent(word.sent)
                    self._untold.setdefault(word.terminal)
                    self._untold.move_to_end(word.terminal, last=False)

    def learn(self, courses: tuple[Course, ...]) -> None:
        """What the server said about these terminals."""
        with self._lock:
            fresh = {c.terminal: c for c in courses if self._courses.get(c.terminal) != c}
            for terminal, course in fresh.items():
                before = self._courses.get(terminal)
                same = before is not None and before.program == course.program
                self._turns[terminal] = max(self._turns.get(terminal, 0) if same else 0, course.sent // course.size)
            self._courses |= fresh
            every = list(self._courses.values())
        if fresh:
            self._drawer.keep_courses(every)

    def forget_others(self, names: set[str]) -> None:
        """Answers only for these from now on: a round of the server's courses named them all."""
        with self._lock:
            gone = set(self._courses) - names
            for name in gone:
                del self._courses[name]
            every = list(self._courses.values())
        if gone:
            self._drawer.keep_courses(every)

    def silence(self) -> None:
        """The server knows this gateway no longer: it answers for nobody, and keeps nothing."""
        self.forget_others(set())
        self.wanted()

    def wanted(self) -> Want | None:
        """The pieces to fetch next: first what some terminal lacks next, then what follows; None: all that fits is here."""
        with self._lock:
            alive = {Name(c.program, c.size): c for c in self._courses.values() if c.program != NOTHING}
            gone = self._shelf.drop_others(set(alive))
            self._sources = {name: source for name, source in self._sources.items() if name in alive}
            want = self._urgent(alive)
            if want is None and not self._shelf.full:
                missing = ((c, n) for name, c in alive.items() for n in _chunks(c) if not self._shelf.has(name, n))
                want = next((_want(course, chunk) for course, chunk in missing), None)
        self._drawer.drop(gone)
        return want

    def put(self, want: Want, data: bytes) -> None:
        """Pieces that came; DataError where they are not what was wanted."""
        whole = want.count * want.size
        if not whole - (want.size - 1 if want.last else 0) <= len(data) <= whole:
            raise DataError("the server sent other pieces", f"{len(data)} bytes for {want.count}", "tried again", id="NRT-279")
        name, chunk = Name(want.program, want.size), want.first // CHUNK
        with self._lock:
            self._shelf.put(name, chunk, data)
        self._drawer.put(name, chunk, data)

    def standing(self) -> dict[str, int]:
        """Figures for people: terminals it answers for, those heard, bytes of pieces here, words that wait."""
        with self._lock:
            return {
                "terminals": len(self._courses),
                "heard": len(self._heard),
                "bytes": self._shelf.taken,
                "waiting": len(self._untold),
            }

    # ---- inside ----------------------------------------------------------------------------------------------------------

    def _answer(self, seen: Seen, asked: State | None, room: int, now: float) -> bytes:
        course = self._courses.get(seen.terminal)
        first = 0 if asked is None or course is None or asked.program != course.program else asked.sync
        heard = self._hear(seen, asked, now, first)
        if course is None:
            return b""  # not one of its own, as far as it knows
        reply, sent = self._reply(course, asked, heard, room)
        if sent:
            self._heard[seen.terminal] = heard.sent(sent)
        return b"" if reply is None else trickle.encode_reply(reply)

    def _reply(self, course: Course, asked: State | None, heard: Heard, room: int) -> tuple[Reply | None, int]:
        """None: nothing rides."""
        if asked is not None and asked.ask is Ask.PIECES and asked.program != course.program:
            return Reply(course.program), 0
        if course.program == NOTHING or (asked is not None and asked.sync >= course.count):
            return (None if course.program == NOTHING else Reply(course.program)), 0
        if asked is None:
            return self._coded(course, room)
        spare, room = trickle.rate_of(asked.link) * heard.period, min(room, asked.room)
        count = min(trickle.ride(spare, room - REPLY_HEADER, course.size), course.count - asked.sync)
        pieces = self._shelf.cut(Name(course.program, course.size), asked.sync, count)
        if not pieces:
            return None, 0
        last = asked.sync + len(pieces) == course.count
        return Reply(course.program, asked.sync, course.size, pieces, last), sum(map(len, pieces))

    def _coded(self, course: Course, room: int) -> tuple[Reply | None, int]:
        """For a terminal that cannot say what it lacks: the symbols after those that it was sent. As many as the room takes:
        the room is a person's word there, on a network that he knows."""
        count = max(0, room - REPLY_HEADER) // (course.size + trickle.NAME)
        if not count or course.count > rateless.MOST:
            return None, 0
        name = Name(course.program, course.size)
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(Segments(course.count, course.size), partial(self._segment, course))
        turn = self._turns.get(course.terminal, 0)
        try:
            symbols = tuple(source.symbol(order) for order in range(turn, turn + count))
        except LookupError:
            return None, 0  # not all of its pieces are here yet
        self._turns[course.terminal] = turn + count
        return Reply(course.program, course.count, course.size, symbols, coded=True), count * course.size

    def _segment(self, course: Course, index: int) -> bytes:
        """The bytes of a segment, padded to whole pieces; LookupError while some are lacking."""
        length = Segments(course.count, course.size).length(index)
        pieces = self._shelf.cut(Name(course.program, course.size), index * SEGMENT, length)
        if len(pieces) < length:
            raise LookupError(index)
        return b"".join(piece.ljust(course.size, b"\0") for piece in pieces)

    def _hear(self, seen: Seen, asked: State | None, now: float, need: int) -> Heard:
        state = b"" if asked is None else trickle.encode_state(asked)
        word = Word(seen.terminal, seen.carrier, seen.address, state=state)
        before = self._heard.get(seen.terminal)
        heard = Heard(word, now, need=need) if before is None else before.again(word, now, need)
        self._heard[seen.terminal] = heard
        self._untold.setdefault(seen.terminal)
        while len(self._heard) > WAITING:
            oldest = next(iter(self._heard))
            del self._heard[oldest]
            self._untold.pop(oldest, None)
        return heard

    def _urgent(self, alive: dict[Name, Course]) -> Want | None:
        """The chunk that some terminal is in, else the one after it."""
        starts: dict[Name, set[int]] = {name: {0} for name in alive}
        for terminal, heard in self._heard.items():
            course = self._courses.get(terminal)
            if course is not None and heard.need < course.count:
                starts[Name(course.program, course.size)].add(heard.need // CHUNK)
        for ahead in range(2):
            for name, found in starts.items():
                for chunk in sorted(found):
                    if chunk + ahead in _chunks(alive[name]) and not self._shelf.has(name, chunk + ahead):
                        return _want(alive[name], chunk + ahead)
        return None


def _chunks(course: Course) -> range:
    return range(-(-course.count // CHUNK))


def _want(course: Course, chunk: int) -> Want:
    first = chunk * CHUNK
    end = min(first + CHUNK, course.count)
    return Want(course.program, course.size, first, end - first, end == course.count)
