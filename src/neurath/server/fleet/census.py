"""Every terminal's state, kept in memory and brought up to date by looking at those of which something was written since: how
a screen counts 100,000 terminals in a moment. It knows figures' own rule for a state and applies no other; it must never
count what is not in the store, and can be thrown away at any time."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, union

from neurath.server.fleet import figures
from neurath.server.fleet.figures import SILENT_AFTER, Holds, State
from neurath.server.software.catalog import list_releases
from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime

#: What was written may carry a moment this much older than the write, seconds: batches, other processes' clocks.
MARGIN = 10.0
#: Everybody is looked at anew so often, seconds, whatever was written: in so many parts, where screens are watched.
ANEW, PARTS = 300.0, 16
#: More changes than this part of all terminals, and all are read: that is quicker by then.
MOST = 0.3
#: States that silence does not hide.
_LOUD = frozenset({State.RESTORATION, State.UNHEARD})


#: When it was heard, its state where that depends on no release, and what else decides it.
_One = tuple[float | None, State | None, Holds]


@dataclass(slots=True)
class Census:
    """One store's terminals. Safe in threads."""

    _known: dict[int, _One] = field(default_factory=dict)
    _order: list[tuple[str, str, int]] = field(default_factory=list)
    _holds: dict[Holds, Holds] = field(default_factory=dict)
    _at: float = 0.0
    _walked: float = 0.0  # up to which moment the walk through all of them has come
    _next: int = 0  # and to which terminal number
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, db: Connection, now: UnixTime) -> Counted:
        """How many terminals are in each state now, and which."""
        with self._lock:
            self._refresh(db, now)
            settled = figures.settled(list_releases(db))
            buckets: dict[State, list[int]] = {state: [] for state in State}
            before = now - SILENT_AFTER
            known = self._known
            for _, _, n in self._order:
                heard, state, holds = known[n]
                if heard is not None and heard < before and state not in _LOUD:
                    state = State.SILENT
                buckets[state or settled(holds)].append(n)
        return Counted({state: found for state, found in buckets.items() if found})

    def _refresh(self, db: Connection, now: float) -> None:
        changed = None
        if self._known:
            changed = _changed(db, self._at - MARGIN, max(self._known)) + self._heard(db, self._at - MARGIN)
        if changed is None or len(changed) > max(500, MOST * len(self._known)):
            self._all(db, now)
        else:
            for first in range(0, len(changed), 500):
                self._take(db, changed[first : first + 500])
            self._walk(db, now)
        self._at = now

    def _all(self, db: Connection, now: float) -> None:
        self._known, self._order, self._walked, self._next = {}, [], now, 0
        self._take(db, None)

    def _walk(self, db: Connection, now: float) -> None:
        """Looks at the next parts of everybody, for what was changed without a moment: a terminal that is gone, say."""
        parts = int((now - self._walked) * PARTS / ANEW)
        if parts < 1:
            return
        if parts >= PARTS:
            self._all(db, now)
            return
        last = max(self._known)
        first = self._next if self._next < last else 0
        within = range(first + 1, min(first + parts * -(-last // PARTS), last) + 1)
        self._take(db, within)
        self._next, self._walked = within.stop - 1, now

    def _heard(self, db: Connection, since: float) -> list[int]:
        """Notes who was heard since; gives those of whom nothing was known before."""
        fresh = []
        for n, heard in db.execute(select(terminals.c.n, terminals.c.heard).where(terminals.c.heard >= since)):
            one = self._known.get(n)
            if one is None or one[0] is None:
                fresh.append(int(n))
            else:
                self._known[n] = (heard, *one[1:])
        return fresh

    def _take(self, db: Connection, numbers: Sequence[int] | None) -> None:
        """Reads these (None: all); those of them that are not there any more are forgotten."""
        fresh, there = [], set()
        for n, tenant, name, heard, loud, bank, confirmed in figures.standings(db, numbers):
            # Few banks are held by many: one value each, in memory and for `settled`.
            holds = self._holds.setdefault(key := (bank, confirmed), key)
            there.add(n)
            if n not in self._known:
                fresh.append((tenant, name, n))
            self._known[n] = heard, loud, holds
        if numbers is None:
            self._order = sorted(fresh)
            return
        for one in fresh:
            insort(self._order, one)
        gone = {n for n in numbers if n not in there and self._known.pop(n, None) is not None}
        if gone:
            self._order = [one for one in self._order if one[2] not in gone]


@dataclass(frozen=True, slots=True)
class Counted:
    """The terminals of each state, by number, in order of their names; states of nobody are left out."""

    terminals: dict[State, list[int]]

    @property
    def counts(self) -> dict[State, int]:
        return {state: len(found) for state, found in self.terminals.items()}

    def page(self, state: State | None, first: int, size: int) -> list[int]:
        """One page of those in a state (None: all of them), in the order in which people want to see them."""
        lists = list(self.terminals.values()) if state is None else [self.terminals.get(state, [])]
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
