"""Update files that ride on heartbeats: for a terminal's download state the answer with the next pieces of the stream that
has precedence. It knows what is under way, how much the line takes and what each terminal confirmed; it must never answer
above a terminal's own sync point, nor begin a file for which no durable room was reported. Spec: docs/spec/trickle.md."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from neurath.errors import DataError, NeurathError
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.course import Candidate, Course, Courses, Stream
from neurath.server.fleet import pieces, progress
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action
from neurath.server.store.marks import NOBODY
from neurath.wire import rateless, trickle
from neurath.wire.trickle import Ask, Reply, State

log = logging.getLogger(__name__)

#: The piece size where nothing else is said.
PIECE = pieces.USUAL
#: Bytes a second of the slowest line that is served: what a terminal that cannot measure is taken to have.
SLOWEST = 1200.0
#: A terminal that is called and does not come is called again at every so many heartbeats.
AGAIN = 16


@dataclass(slots=True)
class Word:
    """What is not written down yet about one action: bytes confirmed, bytes sent."""

    action: Action
    held: int
    sent: int
    at: float


@dataclass(slots=True)
class Beat:
    """When a terminal with something under way was last heard, and its period in seconds, 0 not known yet."""

    at: float
    period: float = 0.0

    def again(self, now: float) -> None:
        passed = max(0.0, now - self.at)
        self.period = passed if self.period == 0 else self.period + (passed - self.period) / 4
        self.at = now


@dataclass(slots=True)
class Trickle:
    """The answers of one server's deliveries to heartbeats of any carrier. Safe to call from any thread."""

    delivery: Delivery
    piece: int = PIECE
    _courses: Courses = field(init=False)
    _words: dict[int, Word] = field(default_factory=dict)
    _beats: dict[int, Beat] = field(default_factory=dict)
    _calls: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._courses = Courses(self.delivery, self.piece)

    def at_once(self, terminal: Terminal, state: State, room: int, now: float) -> bytes | None:
        """The same answer where it needs no look into the store; else None."""
        course = self._courses.at_once(terminal, now)
        if course is None:
            return None
        try:
            return trickle.encode_reply(self._reply(terminal, state, min(room, state.room), course, now))
        except FileNotFoundError:
            return None  # it went this moment: it is built again

    def answer(self, terminal: Terminal, state: State | None, room: int, now: float) -> bytes:
        """The answer to a heartbeat that carried `state` (None: its carrier's requests do not vary), at most `room` bytes.
        Where the store cannot be used the heartbeat is answered all the same, without pieces."""
        try:
            course = self._courses.of(terminal, now)
            if state is None:
                reply = self._coded(terminal, room, course, now)
            else:
                reply = self._reply(terminal, state, min(room, state.room), course, now)
        except DataError:
            raise
        except NeurathError as fault:
            log.warning("heartbeat of %s answered without pieces: %s (%s)", terminal.id, fault.what, fault.why)
            reply = Reply() if state is None else Reply(state.program)
        return trickle.encode_reply(reply)

    def flush(self) -> None:
        """Writes what terminals confirmed into the ledger, many at a time. What cannot be written is kept."""
        with self._lock:
            batch, self._words = self._words, {}
        if not batch:
            return
        try:
            with self.delivery.store.write(NOBODY) as db:
                for word in batch.values():
                    progress.trickled(db, word.action, word.held, word.sent, word.at)
        except Exception:
            with self._lock:
                for number, word in batch.items():
                    newer = self._words.setdefault(number, word)
                    if newer is not word:
                        newer.sent += word.sent
            raise

    def ahead(self, terminal: Terminal, state: State | None, sent: int, now: float) -> Candidate | None:
        """What has precedence for this terminal, for one that answers in the server's place (a gateway): it was heard with
        `state` (None: its requests do not vary) and was sent so many bytes of pieces. None: there is nothing."""
        found = self._courses.of(terminal, now).candidates
        for candidate in found.values():
            self._recall(candidate)
        asked = None if state is None else found.get(state.program)
        if asked is not None and state is not None:
            asked.held = asked.stream.plan.held(state.sync)
            self._note(asked, sent, now)
        ahead = min(found.values(), key=lambda c: (not c.remaining, c.turn), default=None)
        if state is None and ahead is not None and sent:
            ahead.sent += sent
            self._note(ahead, sent, now)
        return ahead

    def stream_of(self, action: int) -> Stream:
        """The stream of an action's file."""
        return self._courses.stream_of(action)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _reply(self, terminal: Terminal, state: State, room: int, course: Course, now: float) -> Reply:
        found = course.candidates
        if not course.calls:
            self._calls.pop(terminal.n, None)
        for candidate in found.values():
            self._recall(candidate)
        asked = found.get(state.program)
        if asked is not None:
            # The terminal's own word about what it has, also where it is less than what was known.
            asked.held = asked.stream.plan.held(state.sync)
            self._note(asked, 0, now)
        if course.calls and self._due(terminal):
            return Reply(trickle.NOTHING if asked is None else asked.program, call=True)
        waiting = [c for c in found.values() if c.remaining or state.ask is Ask.NEWS]
        if not waiting:
            self._beats.pop(terminal.n, None)
            return Reply(state.program if asked is not None else trickle.NOTHING)
        # One file at a time. A terminal without one may have lost what was complete: it is asked about that first.
        head = min(waiting, key=lambda c: (c.remaining > 0, c.turn))
        if state.ask is Ask.PIECES and head is not asked:
            return Reply(head.program)
        first = state.sync if asked is not None else 0
        size = head.stream.plan.piece
        rate, period = trickle.rate_of(state.link), self._period(terminal, now)
        count = trickle.ride(rate * period, room - trickle.REPLY_HEADER, size)
        cut = head.stream.cut(first, count) if count else ()
        if not cut:
            return Reply(head.program)
        self._note(head, sum(map(len, cut)), now)
        return Reply(head.program, first, size, cut, first + len(cut) == head.stream.plan.count)

    def _due(self, terminal: Terminal) -> bool:
        """Whether this heartbeat calls: not each of them, for a terminal that does not heed it is to get on all the same."""
        with self._lock:
            said = self._calls.get(terminal.n, 0)
            self._calls[terminal.n] = said + 1
        return said % AGAIN == 0

    def _coded(self, terminal: Terminal, room: int, course: Course, now: float) -> Reply:
        """For a terminal that cannot say what it lacks: the symbols after those that it was sent, until it checks in."""
        found = course.candidates.values()
        for candidate in found:
            self._recall(candidate)
        head = min((c for c in found if c.remaining), key=lambda c: c.turn, default=None)
        if head is None:
            self._beats.pop(terminal.n, None)
            return Reply()
        plan = head.stream.plan
        spare = SLOWEST * self._period(terminal, now)
        size = plan.piece + trickle.NAME
        count = trickle.ride(spare, room - trickle.REPLY_HEADER, size)
        if not count or plan.count > rateless.MOST:
            return Reply(head.program)
        symbols = head.stream.symbols(head.sent // plan.piece, count)
        head.sent += count * plan.piece
        self._note(head, count * plan.piece, now)
        return Reply(head.program, plan.count, plan.piece, symbols, coded=True)

    def _recall(self, candidate: Candidate) -> None:
        """What was confirmed and sent, and is not in the ledger yet."""
        word = self._words.get(candidate.action.id)
        if word is not None:
            candidate.held = word.held
            candidate.sent += word.sent if candidate.fresh else 0
        candidate.fresh = False

    def _note(self, candidate: Candidate, sent: int, now: float) -> None:
        with self._lock:
            word = self._words.setdefault(candidate.action.id, Word(candidate.action, candidate.held, 0, now))
            word.held, word.at = candidate.held, now
            word.sent += sent

    def _period(self, terminal: Terminal, now: float) -> float:
        with self._lock:
            beat = self._beats.get(terminal.n)
            if beat is None:
                beat = self._beats[terminal.n] = Beat(now)
            else:
                beat.again(now)
            return beat.period
