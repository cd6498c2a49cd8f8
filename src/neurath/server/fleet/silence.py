"""Who is silent: a terminal in service that was heard once, and not for so long; the one rule for screens, figures and
alerts. It knows the moment a terminal was last heard; it must never call one silent that was not heard yet, nor one whose
trouble is known already: who is in restoration wants a station, and is told as that."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, literal_column, select, union

from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import terminal as terminals
from neurath.units import Seconds

#: Where the server says nothing else (`neurath serve --silence`).
AFTER = Seconds(86400.0)


def unheard_since(before: float) -> ColumnElement[bool]:
    """Whether a terminal was heard once, and not since; of those whose state says nothing louder."""
    return terminals.c.heard < before  # NULL, never heard, is neither


def silent(now: float, after: float) -> ColumnElement[bool]:
    """Whether a terminal is silent, as a condition on its row."""
    shows = select(component.c.terminal).where(component.c.state == literal_column("'restoring'"))
    torn = union(shows, select(ledger.c.terminal).where(ledger.c.verdict == literal_column("'restoration'")))
    return and_(unheard_since(now - after), terminals.c.decommissioned.is_(None), terminals.c.n.not_in(torn))


def span(seconds: float) -> str:
    """So long, in the largest unit that is whole."""
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"
