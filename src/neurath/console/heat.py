"""Which sectors of its bank a terminal's last rewrite changed, and how much of each. No report says so: it is worked out from
the image that lay there, the one that was to come, and the rule that a sector which does not change is not touched. It must
never call a rewrite done that no digest of a bank bears out, nor guess at one that was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from operator import eq

from sqlalchemy import Connection, select

from neurath.errors import NeurathError
from neurath.flash.geometry import Layout
from neurath.ids import FIRMWARE
from neurath.server.fleet import progress
from neurath.server.fleet.progress import Entry, Event
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.server.store.tables import action as actions
from neurath.wire.report import Phase

REWRITING = frozenset({Phase.UPDATING.value, Phase.JUDGING.value})
#: What a station notes on a timeline begins so where it wrote.
_WROTE = "restored"


class Stand(Enum):
    """How the last rewrite stands."""

    NONE = "none"  # no rewrite was seen, or what lay in the bank before is not known
    UNDER_WAY = "under way"
    DONE = "done"  # by the digest that the terminal read from its bank
    TORN = "torn"
    WIRE = "wire"  # a station wrote it, over whatever lay there


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The last rewrite: digests of the images before and after it."""

    stand: Stand = Stand.NONE
    base: str = ""
    goal: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """How the last rewrite stands, and what it changes: address of each sector -> share of its bytes; None: not known."""

    stand: Stand = Stand.NONE
    changed: dict[int, float] | None = None


def last(db: Connection, terminal: int, events: Sequence[Event]) -> Rewrite:
    """The newest rewrite that was begun, from the ledger and the terminal's timeline."""
    found = progress.entries(db, progress.Wanted(terminal=terminal))
    begun = {one.action: one for one in found if one.action and one.component == FIRMWARE and _began(one)}
    row = db.execute(select(actions).where(actions.c.id == max(begun))).one_or_none() if begun else None
    wires = [one.at for one in events if one.kind == "wire" and one.text.startswith(_WROTE)]
    if wires and (row is None or wires[-1] >= row.created):
        return Rewrite(Stand.WIRE)
    if row is None or row.kind == "package" or not row.base:
        return Rewrite()
    return Rewrite(_stand(begun[row.id]), str(row.base), catalog.find_release(db, str(row.release)).image)


def _began(one: Entry) -> bool:
    return one.verdict in ("confirmed", "restoration") or one.phase in REWRITING


def _stand(one: Entry) -> Stand:
    return {"confirmed": Stand.DONE, "restoration": Stand.TORN}.get(one.verdict, Stand.UNDER_WAY)


def heat(store: Store, layout: Layout, rewrite: Rewrite) -> Heat:
    """What of each bank sector a rewrite changes; not known where an image is not there any more."""
    if not rewrite.base:
        return Heat(rewrite.stand)
    try:
        old, new = (store.files.read(name) for name in (rewrite.base, rewrite.goal))
    except NeurathError:
        return Heat(rewrite.stand)
    return Heat(rewrite.stand, differing(layout, old, new))


def differing(layout: Layout, old: bytes, new: bytes) -> dict[int, float]:
    """Address of each bank sector that the new image changes -> the share of its bytes that differ: none beyond its end is
    touched."""
    found, offset = {}, 0
    for span in layout.bank:
        for region in layout.regions:
            for address in range(max(region.base, span.base), min(region.end, span.end), region.size):
                at = offset + address - span.base
                before, after = old[at : at + region.size], new[at : at + region.size]
                if after and before != after:
                    same = sum(map(eq, before, after))
                    found[address] = 1.0 - same / len(after)
        offset += span.length
    return found
