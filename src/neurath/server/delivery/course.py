"""What one terminal has under way on its heartbeats, read once and kept while nothing is written that can change it: a
heartbeat that changes nothing asks no database. It knows streams, and when a reading is out of date; the truth stays in the
store, and it must never answer for longer than that stands."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection

from neurath.ids import Version
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery, Offered, stands
from neurath.server.fleet import actions, pieces, progress, remind, rollout, standing
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog
from neurath.server.store.marks import NOBODY, Mark
from neurath.wire import trickle
from neurath.wire.offer import Kind
from neurath.wire.rateless import SEGMENT, Segments, Source
from neurath.wire.trickle import About, Plan

#: Courses kept; of more, the one that was read first is read again.
MOST = 100_000


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
        wanted = (count - len(head)) * size
        handle = os.open(self.path, os.O_RDONLY)
        try:
            data = os.pread(handle, wanted, (max(first, begin) - begin) * size) if wanted else b""
        finally:
            os.close(handle)
        return (*head, *(data[start : start + size] for start in range(0, len(data), size)))

    def symbols(self, first: int, count: int) -> tuple[bytes, ...]:
        """`count` coded symbols in the order of sending, each after its name."""
        source = _source(self)
        return tuple(source.symbol(order) for order in range(first, first + count))

    def segment(self, index: int) -> bytes:
        """The bytes of a segment, padded to whole pieces."""
        pieces = self.cut(index * SEGMENT, min(SEGMENT, self.plan.count - index * SEGMENT))
        return b"".join(piece.ljust(self.plan.piece, b"\0") for piece in pieces)


@dataclass(slots=True)
class Candidate:
    """A file that may ride to this terminal; `held` bytes of it are confirmed, `sent` bytes of pieces and symbols left for it.
    `priority` is its release's.
    `fresh`: read this moment, what is not in the ledger yet not added."""

    action: Action
    stream: Stream
    held: int
    sent: int = 0
    priority: int = 0
    fresh: bool = True
    program: bytes = b""

    def __post_init__(self) -> None:
        self.program = bytes.fromhex(self.action.file)[:4]

    @property
    def remaining(self) -> int:
        return self.action.size - self.held

    @property
    def turn(self) -> tuple[int, int, int]:
        """The least goes first: the highest priority; then what is nearest to its end, it makes room for the others."""
        return -self.priority, self.remaining, self.action.id


@dataclass(frozen=True, slots=True)
class Course:
    """What may ride to one terminal, by program; true while its mark stands and until then. `calls`: somebody wants it to
    check in now."""

    mark: Mark
    until: float
    candidates: dict[bytes, Candidate]
    calls: bool = False


@dataclass(slots=True)
class Courses:
    """The courses of one server's terminals. `piece`: the size of pieces where nobody says another, and there is room."""

    delivery: Delivery
    piece: int
    _kept: dict[int, Course] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at_once(self, terminal: Terminal, now: float) -> Course | None:
        """The course of a terminal if it stands without a look into the store."""
        kept = self._kept.get(terminal.n)
        if kept is None or now >= kept.until or kept.mark != self.delivery.store.marks.of(terminal.n):
            return None
        sound = self.delivery.store.files.sound
        return kept if all(sound(c.action.file) for c in kept.candidates.values()) else None

    def of(self, terminal: Terminal, now: float) -> Course:
        """The course of a terminal. Reading it opens and withdraws actions, as a check-in's answer does."""
        kept = self.at_once(terminal, now)
        if kept is not None:
            return kept
        made = self._read(terminal, now)
        with self._lock:
            while len(self._kept) >= MOST:
                self._kept.pop(next(iter(self._kept)))
            self._kept[terminal.n] = made
        return made

    def stream_of(self, action: int) -> Stream:
        """The stream of an action's file."""
        with self.delivery.store.read() as db:
            found = actions.by_id(db, action)
        size = self._size(found)
        with self.delivery.store.read() as db:
            return self._candidate(db, found, size).stream

    def _read(self, terminal: Terminal, now: float) -> Course:
        store = self.delivery.store
        mark = store.marks.of(terminal.n)  # before the reading: what is written meanwhile makes it old
        decisions = self.delivery.decide_all(terminal, now).values()
        until = min((stands(decision) for decision in decisions), default=math.inf)
        offered = [d.action for d in decisions if isinstance(d, Offered)]
        with store.read() as db:
            riding = [action for action in offered if _stages(db, terminal, action)]
        sizes = {action.id: self._size(action) for action in riding}
        with store.read() as db:
            found = [self._candidate(db, action, sizes[action.id]) for action in riding]
            calls = bool(offered) and remind.waits(db, terminal)
        return Course(mark, until, {c.program: c for c in found if c.program != trickle.NOTHING}, calls)

    def _size(self, action: Action) -> int:
        """The size of the pieces of an action's file: written down before the first of them leaves, and never changed."""
        store = self.delivery.store
        with store.read() as db:
            found = pieces.of(db, action.file)
        if found is not None:
            return found
        self.delivery.flush()  # what rooms were seen
        with store.write(NOBODY) as db:
            release = catalog.find_release(db, str(action.release))
            said = "" if action.rollout is None else rollout.find(db, action.rollout).pieces
            return pieces.begin(db, action.file, pieces.choose(db, release.model, said, self.piece), action.created)

    def _candidate(self, db: Connection, action: Action, size: int) -> Candidate:
        entry = progress.entry(db, Key.of(action))
        held = entry.sync if entry is not None and entry.action == action.id else 0
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
        return Candidate(action, stream(about, path, size), held, 0 if entry is None else entry.bytes, release.priority)


def _stages(db: Connection, terminal: Terminal, action: Action) -> bool:
    """A6 for a file that trickles: room for all of it was reported, durable or in RAM that no tenant wants; nobody
    is asked for memory before the end."""
    said = standing.last_said(db, terminal, action.component)
    return action.kind != "package" and said is not None and max(said.stage, said.spare) >= action.size


@lru_cache(maxsize=8)
def _source(one: Stream) -> Source:
    """The symbols of a stream that were made are kept: its terminals are sent the same ones."""
    return Source(Segments(one.plan.count, one.plan.piece), one.segment)


@lru_cache(maxsize=1024)
def stream(about: About, path: Path, piece: int) -> Stream:
    """The stream of an immutable file."""
    head = trickle.header(about)
    plan = trickle.plan(head, piece)
    return Stream(plan, head.ljust(plan.begin * piece, b"\0"), path)
