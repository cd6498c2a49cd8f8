"""Update files that ride on heartbeats: for a terminal's download state the answer with the next pieces of the stream that
has precedence. It knows what is under way, how much the line takes and what each terminal confirmed; it must never answer
above a terminal's own sync point, nor begin a file for which no durable room was reported. Spec: docs/spec/trickle.md."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection

from neurath.errors import DataError, NeurathError
from neurath.ids import Version
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery, Offered, components_for
from neurath.server.fleet import actions, progress, standing
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog
from neurath.wire import trickle
from neurath.wire.offer import Kind
from neurath.wire.trickle import About, Ask, Plan, Reply, State

log = logging.getLogger(__name__)

#: The piece size that fits the smallest carrier.
PIECE = 200


@dataclass(frozen=True, slots=True)
class Stream:
    """One update file as a stream of pieces: `head` is the header with its padding."""

    plan: Plan
    head: bytes
    path: Path

    def cut(self, first: int, count: int) -> tuple[bytes, ...]:
        """`count` consecutive pieces, fewer at the end."""
        size, begin = self.plan.piece, self.plan.begin
        head = [self.head[at * size : (at + 1) * size] for at in range(first, min(first + count, begin))]
        at = max(first, begin) - begin
        with self.path.open("rb") as source:
            source.seek(at * size)
            data = source.read((count - len(head)) * size)
        return (*head, *(data[start : start + size] for start in range(0, len(data), size)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may ride to this terminal; `held` bytes of it are confirmed."""

    action: Action
    stream: Stream
    held: int

    @property
    def program(self) -> bytes:
        return bytes.fromhex(self.action.file)[:4]

    @property
    def remaining(self) -> int:
        return self.action.size - self.held


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
    _words: dict[int, Word] = field(default_factory=dict)
    _beats: dict[int, Beat] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, terminal: Terminal, state: State, room: int, now: float) -> bytes:
        """The answer to a heartbeat that carried `state`, at most `room` bytes. Where the store cannot be used the heartbeat
        is answered all the same, without pieces."""
        try:
            reply = self._reply(terminal, state, min(room, state.room), now)
        except DataError:
            raise
        except NeurathError as fault:
            log.warning("heartbeat of %s answered without pieces: %s (%s)", terminal.id, fault.what, fault.why)
            reply = Reply(state.program)
        return trickle.encode_reply(reply)

    def flush(self) -> None:
        """Writes what terminals confirmed into the ledger, many at a time. What cannot be written is kept."""
        with self._lock:
            batch, self._words = self._words, {}
        if not batch:
            return
        try:
            with self.delivery.store.write() as db:
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
        found = self._candidates(terminal, now)
        asked = None if state is None else found.get(state.program)
        if asked is not None and state is not None:
            held = asked.stream.plan.held(state.sync)
            found[state.program] = asked = Candidate(asked.action, asked.stream, held)
            self._note(asked, sent, now)
        ahead = min(found.values(), key=lambda c: (not c.remaining, c.remaining, c.action.id), default=None)
        if state is None and ahead is not None and sent:
            self._note(ahead, sent, now)
        return ahead

    def stream_of(self, action: int) -> Stream:
        """The stream of an action's file."""
        with self.delivery.store.read() as db:
            return self._candidate(db, actions.by_id(db, action)).stream

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _reply(self, terminal: Terminal, state: State, room: int, now: float) -> Reply:
        found = self._candidates(terminal, now)
        asked = found.get(state.program)
        if asked is not None:
            found[state.program] = asked = self._confirmed(asked, state.sync, now)
        waiting = [c for c in found.values() if c.remaining or state.ask is Ask.NEWS]
        if not waiting:
            self._beats.pop(terminal.n, None)
            return Reply(state.program if asked is not None else trickle.NOTHING)
        # One file at a time, the one that is nearest to its end: it makes room for the others.
        head = min(waiting, key=lambda c: (c.remaining, c.action.id))
        if state.ask is Ask.PIECES and head is not asked:
            return Reply(head.program)
        first = state.sync if asked is not None else 0
        size = head.stream.plan.piece
        rate, period = trickle.rate_of(state.link), self._period(terminal, now)
        count = trickle.ride(rate * period, room - trickle.REPLY_HEADER, size)
        pieces = head.stream.cut(first, count) if count else ()
        if not pieces:
            return Reply(head.program)
        self._note(head, sum(map(len, pieces)), now)
        return Reply(head.program, first, size, pieces, first + len(pieces) == head.stream.plan.count)

    def _candidates(self, terminal: Terminal, now: float) -> dict[bytes, Candidate]:
        """What this terminal is to have and can stage durably, by program."""
        with self.delivery.store.read() as db:
            names = components_for(db, terminal)
        decisions = [self.delivery.decide(terminal, name, now) for name in names]
        offered = [d.action for d in decisions if isinstance(d, Offered)]
        if not offered:
            return {}
        with self.delivery.store.read() as db:
            found = [self._candidate(db, action) for action in offered if self._stages(db, terminal, action)]
        return {c.program: c for c in found if c.program != trickle.NOTHING}

    def _stages(self, db: Connection, terminal: Terminal, action: Action) -> bool:
        """A6 for a file that trickles: durable room for all of it was reported, and no RAM is asked for before the end."""
        said = standing.last_said(db, terminal, action.component)
        return action.kind != "package" and said is not None and said.stage >= action.size

    def _candidate(self, db: Connection, action: Action) -> Candidate:
        with self._lock:
            word = self._words.get(action.id)
        entry = progress.entry(db, Key.of(action)) if word is None else None
        held = word.held if word is not None else entry.sync if entry is not None and entry.action == action.id else 0
        release = catalog.find_release(db, str(action.release))
        path = self.delivery.store.files.verified(action.file)
        about = About(
            kind=Kind.DELTA if action.kind == "delta" else Kind.FULL,
            file=bytes.fromhex(action.file),
            size=action.size,
            envelope=release.envelope,
            blocks=tickets.block_hashes(path),
            version=Version(release.version),
            component=action.component,
        )
        return Candidate(action, stream(about, path, self.piece), held)

    def _confirmed(self, asked: Candidate, sync: int, now: float) -> Candidate:
        """The terminal's own word about what it has, also where it is less than what was known."""
        held = asked.stream.plan.held(sync)
        made = Candidate(asked.action, asked.stream, held)
        self._note(made, 0, now)
        return made

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


@lru_cache(maxsize=64)
def stream(about: About, path: Path, piece: int) -> Stream:
    """The stream of an immutable file."""
    head = trickle.header(about)
    plan = trickle.plan(head, piece)
    return Stream(plan, head.ljust(plan.begin * piece, b"\0"), path)
