"""Every terminal's state, kept in memory and brought up to date by looking at those of which something was written since: how
a screen counts 100,000 terminals in a moment. It knows figures' own rule for a state and applies no other; it must never
count what is not in the store, and can be thrown away at any time."""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from sqlalchemy import Connection, func, select, union

from neurath.server.fleet import figures, silence
from neurath.server.fleet.figures import Holds, Standing, State
from neurath.server.software.catalog import list_releases
from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import terminal as terminals
from neurath.units import Seconds, UnixTime

#: What was written may carry a moment this much older than the write, seconds: batches, other processes' clocks.
MARGIN = 10.0
#: Everybody is looked at anew so often, seconds, whatever was written: in so many parts, where screens are watched.
ANEW, PARTS = 300.0, 16
#: More changes than this part of all terminals, and all are read: that is quicker by then.
MOST = 0.3
#: So many are read at once: what a database gives for all of them would be larger than what is kept.
SLICE = 4000
#: Names in one block.
BLOCK = 256

_STATES = tuple(State)
_SILENT = _STATES.index(State.SILENT)
#: States that silence does not hide.
_LOUD = frozenset(_STATES.index(one) for one in (State.RESTORATION, State.UNHEARD))
#: In place of a state: what the terminal holds decides; there is no terminal of this number.
_BY_HOLDS, _NOBODY = -1, -2
_NEVER = math.nan
_CODES: dict[State | None, int] = {None: _BY_HOLDS} | {state: code for code, state in enumerate(_STATES)}


@dataclass(slots=True)
class Known:
    """What decides each terminal's state, in columns by terminal number: 13 bytes each, where objects take 400."""

    state: array[int] = field(default_factory=lambda: array("b"))
    heard: array[float] = field(default_factory=lambda: array("d"))
    holds: array[int] = field(default_factory=lambda: array("i"))  # by its place in `kinds`
    kinds: list[Holds] = field(default_factory=list)  # few banks are held by many
    _places: dict[Holds, int] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The highest number there is room for."""
        return len(self.state) - 1

    def has(self, n: int) -> bool:
        return n < len(self.state) and self.state[n] != _NOBODY

    def forget(self, n: int) -> None:
        self.state[n] = _NOBODY

    def put(self, n: int, heard: float | None, state: State | None, holds: Holds) -> None:
        if n > self.last:
            self.make_room(n)
        if holds not in self._places:
            self._places[holds] = len(self.kinds)
            self.kinds.append(holds)
        self.state[n] = _BY_HOLDS if state is None else _STATES.index(state)
        self.heard[n] = _NEVER if heard is None else heard
        self.holds[n] = self._places[holds]

    def fill(self, rows: Iterable[Standing], fresh: list[bytes]) -> None:
        """Many that are not known yet, of numbers there is room for; their entries of names go to `fresh`. As put() would,
        in half the time: a server that has just begun has them all to count."""
        states, heards, kinds, places = self.state, self.heard, self.holds, self._places
        for n, tenant, name, heard, state, bank, confirmed in rows:
            holds = (bank, confirmed)
            place = places.get(holds)
            if place is None:
                place = places[holds] = len(self.kinds)
                self.kinds.append(holds)
            states[n], kinds[n] = _CODES[state], place
            if heard is not None:
                heards[n] = heard
            fresh.append(f"{tenant}\0{name}\1{n}".encode())

    def make_room(self, last: int) -> None:
        """For numbers up to this one."""
        more = last - self.last
        if more > 0:
            self.state.extend([_NOBODY] * more)
            self.heard.extend([_NEVER] * more)
            self.holds.extend([0] * more)


_Block = tuple[bytes, "array[int]"]


@dataclass(slots=True)
class Names:
    """Terminal numbers in the order of their tenants and names: in blocks, each with its names as one text, a line each, which
    takes 20 bytes a name where objects take 80."""

    _blocks: list[_Block] = field(default_factory=list)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(numbers for _, numbers in self._blocks)

    def __len__(self) -> int:
        return sum(len(numbers) for _, numbers in self._blocks)

    def add(self, fresh: Sequence[bytes]) -> None:
        """These entries, which are new; many of them at once take less than one after the other."""
        if len(fresh) > len(self) // BLOCK:
            every = [one for block in self._blocks for one in _entries(block)]
            every += fresh
            every.sort()
            self._blocks = [_block(every[first : first + BLOCK]) for first in range(0, len(every), BLOCK)]
            return
        for one in fresh:
            at = max(0, bisect_right(self._blocks, one, key=_first) - 1)
            known = _entries(self._blocks[at])
            insort(known, one)
            halves = (known,) if len(known) <= 2 * BLOCK else (known[:BLOCK], known[BLOCK:])
            self._blocks[at : at + 1] = [_block(half) for half in halves]

    def remove(self, gone: set[int]) -> None:
        kept = []
        for block in self._blocks:
            known = [one for one in _entries(block) if _number(one) not in gone]
            kept += [_block(known)] if known else []
        self._blocks = kept


def entry(key: bytes, n: int) -> bytes:
    """A name and its number in one: half the memory while a million are put in order."""
    return b"%b\1%d" % (key, n)


def _number(one: bytes) -> int:
    return int(one.rpartition(b"\1")[2])


def _block(entries: Sequence[bytes]) -> _Block:
    parts = [one.rpartition(b"\1") for one in entries]
    return b"\n".join([key for key, _, _ in parts]), array("q", [int(n) for _, _, n in parts])


def _entries(block: _Block) -> list[bytes]:
    return [entry(key, n) for key, n in zip(block[0].split(b"\n"), block[1], strict=True)]


def _first(block: _Block) -> bytes:
    return entry(block[0].partition(b"\n")[0], block[1][0])


@dataclass(slots=True)
class Census:
    """One store's terminals, silent after so many seconds without a word. Safe in threads."""

    silent: Seconds = silence.AFTER
    _known: Known = field(default_factory=Known)
    _names: Names = field(default_factory=Names)
    _at: float = 0.0
    _walked: float = 0.0  # up to which moment the walk through all of them has come
    _next: int = 0  # and to which terminal number
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, db: Connection, now: UnixTime) -> Counted:
        """How many terminals are in each state now, and which."""
        with self._lock:
            self._refresh(db, now)
            settled = figures.settled(list_releases(db))
            by_holds = [_STATES.index(settled(one)) for one in self._known.kinds]
            buckets = [array("q") for _ in _STATES]
            before = now - self.silent
            states, heard, holds = self._known.state, self._known.heard, self._known.holds
            for n in self._names:
                state = states[n]
                if heard[n] < before and state not in _LOUD:
                    state = _SILENT
                elif state == _BY_HOLDS:
                    state = by_holds[holds[n]]
                buckets[state].append(n)
        return Counted({state: found for state, found in zip(_STATES, buckets, strict=True) if found}, self.silent)

    def _refresh(self, db: Connection, now: float) -> None:
        changed = None
        if len(self._names):
            changed = _changed(db, self._at - MARGIN, self._known.last) + self._heard(db, self._at - MARGIN)
        if changed is None or len(changed) > max(500, MOST * len(self._names)):
            self._all(db, now)
        else:
            for first in range(0, len(changed), 500):
                self._take(db, changed[first : first + 500])
            self._walk(db, now)
        self._at = now

    def _all(self, db: Connection, now: float) -> None:
        self._known, self._names, self._walked, self._next = Known(), Names(), now, 0
        last = int(db.scalar(select(func.max(terminals.c.n))) or 0)
        self._known.make_room(last)
        fresh: list[bytes] = []
        for first in range(1, last + 1, SLICE):
            self._known.fill(figures.standings(db, range(first, min(first + SLICE, last + 1))), fresh)
        self._names.add(fresh)

    def _walk(self, db: Connection, now: float) -> None:
        """Looks at the next parts of everybody, for what was changed without a moment: a terminal that is gone, say."""
        parts = int((now - self._walked) * PARTS / ANEW)
        if parts < 1:
            return
        if parts >= PARTS:
            self._all(db, now)
            return
        last = self._known.last
        first = self._next if self._next < last else 0
        within = range(first + 1, min(first + parts * -(-last // PARTS), last) + 1)
        self._span(db, within)
        self._next, self._walked = within.stop - 1, now

    def _span(self, db: Connection, numbers: range) -> None:
        """Reads those of these numbers, a slice at a time."""
        fresh: list[bytes] = []
        for first in range(numbers.start, numbers.stop, SLICE):
            fresh += self._read(db, range(first, min(first + SLICE, numbers.stop)))
        self._names.add(fresh)

    def _take(self, db: Connection, numbers: Sequence[int]) -> None:
        self._names.add(self._read(db, numbers))

    def _heard(self, db: Connection, since: float) -> list[int]:
        """Notes who was heard since; gives those of whom nothing was known before."""
        fresh = []
        known = self._known
        for n, heard in db.execute(select(terminals.c.n, terminals.c.heard).where(terminals.c.heard >= since)):
            if known.has(n) and not math.isnan(known.heard[n]):
                known.heard[n] = heard
            else:
                fresh.append(int(n))
        return fresh

    def _read(self, db: Connection, numbers: Sequence[int]) -> list[bytes]:
        """Reads these; gives the names of those that were not known. Those that are not there any more are forgotten."""
        fresh, there, known = [], set(), self._known
        for n, tenant, name, heard, state, bank, confirmed in figures.standings(db, numbers):
            there.add(n)
            if not known.has(n):
                fresh.append(entry(f"{tenant}\0{name}".encode(), n))
            known.put(n, heard, state, (bank, confirmed))
        gone = {n for n in numbers if n not in there and known.has(n)}
        for n in gone:
            known.forget(n)
        if gone:
            self._names.remove(gone)
        return fresh


@dataclass(frozen=True, slots=True)
class Counted:
    """The terminals of each state, by number, in order of their names; states of nobody are left out. `silent`: after how long
    without a word one is that."""

    terminals: dict[State, array[int]]
    silent: Seconds = silence.AFTER

    @property
    def counts(self) -> dict[State, int]:
        return {state: len(found) for state, found in self.terminals.items()}

    def page(self, state: State | None, first: int, size: int) -> list[int]:
        """One page of those in a state (None: all of them), in the order in which people want to see them."""
        lists = list(self.terminals.values()) if state is None else [self.terminals.get(state, array("q"))]
        found: list[int] = []
        for one in lists:
            if first < len(one) and len(found) < size:
                found += one[first : first + size - len(found)]
            first = max(0, first - len(one))
        return found


def _changed(db: Connection, since: float, last: int) -> list[int]:
    """Those of which something was written since, and those that were registered after terminal number `last`."""
    query = union(
        select(ledger.c.terminal).where(ledger.c.updated >= since),
        select(component.c.terminal).where(component.c.checked >= since),
        select(terminals.c.n).where(terminals.c.n > last),
        select(terminals.c.n).where(terminals.c.configured >= since),
    )
    return [int(n) for n in db.scalars(query)]
