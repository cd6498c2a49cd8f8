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
from neurath.server.fleet.figures import SILENT_AFTER, State
from neurath.server.software.catalog import Release, list_releases
from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime

#: What was written may carry a moment this much older than the write, seconds: batches, other processes' clocks.
MARGIN = 10.0
#: More changes than this are counted anew; and everything is, so often, seconds.
MOST, ANEW = 5000, 300.0
#: States that silence does not hide.
_LOUD = frozenset({State.RESTORATION, State.UNHEARD})


@dataclass(slots=True)
class _One:
    tenant: str
    id: str
    state: State
    heard: float | None

    def now(self, silent_before: float) -> State:
        quiet = self.heard is not None and self.heard < silent_before and self.state not in _LOUD
        return State.SILENT if quiet else self.state


@dataclass(slots=True)
class Census:
    """One store's terminals. Safe in threads."""

    _known: dict[int, _One] = field(default_factory=dict)
    _order: list[tuple[str, str, int]] = field(default_factory=list)
    _best: tuple[object, ...] = ()
    _at: float = 0.0
    _whole: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, db: Connection, now: UnixTime) -> Counted:
        """How many terminals are in each state now, and which."""
        with self._lock:
            self._refresh(db, now)
            buckets: dict[State, list[int]] = {state: [] for state in State}
            before = now - SILENT_AFTER
            for _, _, n in self._order:
                buckets[self._known[n].now(before)].append(n)
        return Counted({state: found for state, found in buckets.items() if found})

    def _refresh(self, db: Connection, now: float) -> None:
        releases = list_releases(db)
        best = tuple((one.id, one.revoked, bool(one.envelope)) for one in releases)
        changed = None
        if best == self._best and now - self._whole < ANEW and self._known:
            changed = _changed(db, self._at - MARGIN, max(self._known)) + self._heard(db, self._at - MARGIN)
        if changed is None or len(changed) > MOST:
            self._known, self._order = {}, []
            self._take(db, releases, None)
            self._whole = now
        else:
            for first in range(0, len(changed), 500):
                self._take(db, releases, changed[first : first + 500])
        self._best, self._at = best, now

    def _heard(self, db: Connection, since: float) -> list[int]:
        """Notes who was heard since; gives those of whom nothing was known before."""
        fresh = []
        for n, heard in db.execute(select(terminals.c.n, terminals.c.heard).where(terminals.c.heard >= since)):
            one = self._known.get(n)
            if one is None or one.heard is None:
                fresh.append(int(n))
            else:
                one.heard = heard
        return fresh

    def _take(self, db: Connection, releases: Sequence[Release], numbers: Sequence[int] | None) -> None:
        fresh = []
        for n, tenant, name, heard, state in figures.loud_states(db, releases, numbers):
            if n not in self._known:
                fresh.append((tenant, name, n))
            self._known[n] = _One(tenant, name, state, heard)
        if numbers is None:
            self._order = sorted(fresh)
        else:
            for one in fresh:
                insort(self._order, one)


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
