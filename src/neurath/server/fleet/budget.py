"""How many bytes a terminal may be sent in a month: counted as they leave, withheld before an offer is made, free again at the
month's turn (UTC). It knows counts; it must never cut short what was offered, nor keep a torn terminal from its file."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import Connection, Text, bindparam, select, update

from neurath.errors import UsageError
from neurath.server.fleet import tenants
from neurath.server.fleet.access import Terminal
from neurath.server.store.sql import upsert
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import terminal as terminals
from neurath.server.store.tables import traffic

#: No budget is larger: a petabyte.
MOST = 10**15


@dataclass(frozen=True, slots=True)
class Account:
    """What one terminal was sent this month, and may be: `budget` 0: as much as there is; `own`: it is the terminal's own and
    not its tenant's."""

    month: str
    used: int
    budget: int
    own: bool

    @property
    def left(self) -> int | None:
        """None: no limit."""
        return max(0, self.budget - self.used) if self.budget else None


def month_of(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m")


def turn(now: float) -> float:
    """When the next month begins."""
    first = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + datetime.timedelta(days=32)).replace(day=1).timestamp()


def sent(db: Connection, terminal: int, count: int, now: float) -> None:
    """So many bytes of software left for it."""
    row = {"terminal": terminal, "month": month_of(now)}
    query = upsert(traffic).values(**row, bytes=count)
    db.execute(query.on_conflict_do_update(index_elements=["terminal", "month"], set_={"bytes": traffic.c.bytes + count}))


_USED = select(traffic.c.bytes).where(traffic.c.terminal == bindparam("n"), traffic.c.month == bindparam("month"))
#: Made once: to put it together takes longer than to ask it.
_ACCOUNT = select(
    terminals.c.budget,
    _USED.scalar_subquery().label("used"),
    tenants.said(bindparam("whose", type_=Text)).label("tenant"),
).where(terminals.c.n == bindparam("n"))


def account(db: Connection, terminal: Terminal, now: float) -> Account:
    month = month_of(now)
    row = db.execute(_ACCOUNT, {"n": terminal.n, "month": month, "whose": terminal.tenant}).one()
    usual = tenants.read(row.tenant).budget if row.budget is None else int(row.budget)
    return Account(month, int(row.used or 0), usual, row.budget is not None)


def obstacle(found: Account, size: int, now: float) -> str:
    """Why a file of so many bytes is not offered this month; "" when it may be."""
    if found.left is None or size <= found.left:
        return ""
    until = datetime.datetime.fromtimestamp(turn(now), datetime.UTC).strftime("%Y-%m-%d")
    return f"its budget of {found.budget:,} bytes a month has {found.left:,} left, and this takes {size:,}: until {until}"


def give(db: Connection, terminal: Terminal, budget: int | None) -> None:
    """A budget of its own; 0: no limit; None: its tenant's again. It is told, if something waited for that."""
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(budget=checked(budget)))
    db.execute(notices.insert().values(terminal=terminal.n))


def checked(budget: int | None) -> int | None:
    if budget is not None and not 0 <= budget <= MOST:
        raise UsageError("this is no budget", f"0 to {MOST:,} bytes a month", "0 is no limit")
    return budget
