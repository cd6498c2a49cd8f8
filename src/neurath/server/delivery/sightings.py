"""Who was heard, by which carrier and from where: kept in memory and written many at a time, because it is said at every
packet. It knows terminals by number; it must never lose a sighting that could not be written."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, case, update

from neurath.server.store import Store
from neurath.server.store.marks import NOBODY
from neurath.server.store.tables import terminal as terminals


@dataclass(frozen=True, slots=True)
class Sighting:
    """`room` is what an answer was seen to have for pieces, bytes; 0: nothing was seen of it."""

    carrier: str
    address: str
    at: float
    room: int = 0


class Sightings:
    """One store's sightings. Safe to call from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[int, Sighting] = {}
        self._lock = threading.Lock()

    def note(self, number: int, sighting: Sighting) -> None:
        """The terminal of this number was heard; the latest word about it stands."""
        with self._lock:
            before = self._seen.get(number)
            self._seen[number] = sighting if sighting.room or before is None else replace(sighting, room=before.room)

    def last(self, number: int) -> float | None:
        """When a terminal was heard of which that is not written yet; None: what is written is all."""
        with self._lock:
            seen = self._seen.get(number)
        return None if seen is None else seen.at

    def flush(self) -> None:
        """Writes what was noted. What cannot be written is noted again, unless the terminal was heard since."""
        with self._lock:
            batch, self._seen = self._seen, {}
        if not batch:
            return
        query = update(terminals).where(terminals.c.n == bindparam("number"))
        # In order: two servers that write the same terminals never wait for each other.
        seen = sorted(batch.items())
        rows = [{"number": n, "at": s.at, "how": s.carrier, "where": s.address, "has": s.room} for n, s in seen]
        try:
            with self._store.write(NOBODY, alone=False) as db:
                has = case((bindparam("has") > 0, bindparam("has")), else_=terminals.c.room)
                changed = query.values(heard=bindparam("at"), carrier=bindparam("how"), address=bindparam("where"), room=has)
                db.execute(changed, rows)
        except Exception:
            with self._lock:
                self._seen = batch | self._seen
            raise
