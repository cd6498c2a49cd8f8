"""Failed sign-ins cost time: who guesses waits, longer each time. It counts names and addresses, for all workers alike; it
must never let guesses from elsewhere lock somebody out for good."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, insert, select, update

from neurath.errors import RefusedError
from neurath.server.store.tables import failure as failures

#: Failures that are free: of one name from one address, of one address, of one name from everywhere.
FREE = {"pair": 4, "from": 20, "name": 100}
#: The wait doubles from a second to this, seconds; after so long without a failure all is forgotten.
LONGEST, FORGOTTEN = 900.0, 3600.0
#: Of one hour so many are all written into the audit log.
TOLD = 100


class TooMany(RefusedError):  # noqa: N818 (what there was of it)
    """Too many failures; the API answers 429 with the seconds in `wait`."""

    default_id = "NRT-362"

    def __init__(self, wait: float) -> None:
        super().__init__("too many failed sign-ins", f"the next one in {wait:.0f} s", "an admin can set a new password")
        self.wait = wait


def begin(db: Connection, name: str, address: str, now: float) -> None:
    """One try more, counted before it is looked at, or many at once would all be free; TooMany where somebody has to wait
    before he may try again. What is old goes."""
    db.execute(delete(failures).where(failures.c.last < now - FORGOTTEN))
    keys, wait = _keys(name, address), 0.0
    for key, free in keys.items():
        row = db.execute(select(failures.c.count, failures.c.last).where(failures.c.key == key)).one_or_none()
        count, last = (0, 0.0) if row is None else tuple(row)
        if count > free:
            wait = max(wait, last + min(LONGEST, 2.0 ** min(count - free - 1, 10)) - now)
    if wait > 0:
        raise TooMany(max(1.0, wait))
    for key in keys:
        if not db.execute(update(failures).where(failures.c.key == key).values(count=failures.c.count + 1, last=now)).rowcount:
            db.execute(insert(failures).values(key=key, count=1, last=now))


def is_told(db: Connection, now: float) -> bool:
    """Whether this failure goes into the audit log: the first of an hour do, then the 128th, the 256th, ... so that whoever
    guesses cannot fill it."""
    key = f"told:{int(now // FORGOTTEN)}"
    if not db.execute(update(failures).where(failures.c.key == key).values(count=failures.c.count + 1, last=now)).rowcount:
        db.execute(insert(failures).values(key=key, count=1, last=now))
    count = int(db.scalar(select(failures.c.count).where(failures.c.key == key)) or 0)
    return count <= TOLD or count & (count - 1) == 0


def passed(db: Connection, name: str, address: str) -> None:
    """Signed in: his own failures count no more. Those of the address and the name stay less this one, or a guesser would sign
    in between guesses."""
    pair, *others = _keys(name, address)
    db.execute(delete(failures).where(failures.c.key == pair))
    for key in others:
        db.execute(update(failures).where(failures.c.key == key, failures.c.count > 0).values(count=failures.c.count - 1))


def _keys(name: str, address: str) -> dict[str, int]:
    given = {"pair": f"{name}\0{address}", "from": address, "name": name}
    return {f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:32]}": FREE[kind] for kind, text in given.items()}
