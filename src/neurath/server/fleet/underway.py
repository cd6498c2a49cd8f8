"""What is on its way to terminals, program by program: pieces had of total, by which carrier, from where, when it will be
there, and whether it moves. It reads; it must never guess: what cannot be told is None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurath.server.fleet import pieces
from neurath.server.store.tables import action as actions
from neurath.server.store.tables import component as components
from neurath.server.store.tables import cut as cuts
from neurath.server.store.tables import ledger
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime
from neurath.wire.trickle import REPLY_HEADER

#: A file that has not moved for so long, seconds, or a terminal not heard for so long, is shown as stalled.
STALLED = 3600.0
#: A rate over less than this, seconds, says nothing about days.
LEAST = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One program on its way to one terminal. `held` of `size` bytes and `pieces` of `total` are what the terminal confirmed;
    `sent` is what left for it, all there is to say (`blind`) where its requests cannot vary. `expected`: when it will be
    whole at the rate so far. `reminded`: when an operator last reminded the user.
    `tight`: its carrier was seen to have no room for a piece of `piece` bytes."""

    tenant: str
    id: str
    model: str
    component: str
    version: str
    program: str
    priority: int
    phase: str
    reason: str
    held: int
    size: int
    piece: int
    tight: bool
    pieces: int
    total: int
    sent: int
    blind: bool
    carrier: str
    address: str
    heard: float | None
    since: float
    expected: float | None
    stalled: bool
    reminded: float | None
    waits: bool

    @property
    def whole(self) -> bool:
        return self.held >= self.size


@dataclass(frozen=True, slots=True)
class Program:
    """One program's way to all its terminals."""

    model: str
    component: str
    version: str
    program: str
    priority: int
    size: int
    terminals: int
    whole: int
    stalled: int
    pieces: int
    total: int


def runs(db: Connection, now: UnixTime) -> list[Run]:
    """Everything that is on its way and can ride on heartbeats, the furthest from its end last."""
    query = (
        select(
            terminals.c.tenant, terminals.c.id, terminals.c.model, terminals.c.carrier, terminals.c.address, terminals.c.heard,
            terminals.c.reminded, terminals.c.remind, ledger.c.component, releases.c.version, actions.c.file, ledger.c.phase,
            ledger.c.reason, ledger.c.sync, ledger.c.size, ledger.c.bytes, ledger.c.offered, ledger.c.updated, ledger.c.moved,
            cuts.c.piece, terminals.c.room, releases.c.priority,
        )
        .join(actions, actions.c.id == ledger.c.action)
        .join(terminals, terminals.c.n == ledger.c.terminal)
        .join(releases, releases.c.id == ledger.c.release)
        .join(components, (components.c.terminal == ledger.c.terminal) & (components.c.name == ledger.c.component))
        .outerjoin(cuts, cuts.c.file == actions.c.file)
        .where(ledger.c.verdict == "pending", actions.c.state == "open", actions.c.kind != "package")
        .where((components.c.stage >= ledger.c.size) | (components.c.spare >= ledger.c.size))
    )  # fmt: skip
    found = [_run(row._asdict(), now) for row in db.execute(query)]
    return sorted(found, key=lambda run: (not run.stalled, run.held / run.size if run.size else 1.0, run.id), reverse=False)


def _run(row: dict[str, object], now: float) -> Run:
    held, size, sent = (int(str(row[key])) for key in ("sync", "size", "bytes"))
    since, moved, heard = (_moment(row[key]) for key in ("offered", "moved", "heard"))
    last = max(moved or 0.0, since or 0.0)
    piece = int(str(row["piece"] or pieces.USUAL))
    blind = held == 0 and moved is None and sent > 4 * piece
    quiet = heard is None or now - heard > STALLED
    return Run(
        tenant=str(row["tenant"]),
        id=str(row["id"]),
        model=str(row["model"] or ""),
        component=str(row["component"]),
        version=str(row["version"]),
        program=str(row["file"])[:8],
        priority=int(str(row["priority"])),
        phase=str(row["phase"]),
        reason=str(row["reason"]),
        held=held,
        size=size,
        piece=piece,
        tight=0 < int(str(row["room"])) < REPLY_HEADER + piece,
        pieces=-(-held // piece),
        total=-(-size // piece),
        sent=sent,
        blind=blind,
        carrier=str(row["carrier"]),
        address=str(row["address"]),
        heard=heard,
        since=since or 0.0,
        expected=_expected(held, size, since, moved, now),
        stalled=held < size and (quiet or (not blind and now - last > STALLED)),
        reminded=_moment(row["reminded"]),
        waits=bool(row["remind"]),
    )


def _expected(held: int, size: int, since: float | None, moved: float | None, now: float) -> float | None:
    """By the bytes that were confirmed since the offer and the time that took; a pause since then is in it."""
    if not held or since is None or moved is None or moved - since < LEAST or held >= size:
        return None
    return now + (size - held) * (max(now, moved) - since) / held


def programs(found: Sequence[Run]) -> list[Program]:
    """The same by program."""
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in found:
        groups.setdefault((run.model, run.component, run.version, run.program), []).append(run)
    return [
        Program(
            *key,
            priority=group[0].priority,
            size=group[0].size,
            terminals=len(group),
            whole=sum(run.whole for run in group),
            stalled=sum(run.stalled for run in group),
            pieces=sum(run.pieces for run in group),
            total=sum(run.total for run in group),
        )
        for key, group in sorted(groups.items())
    ]


def _moment(value: object) -> float | None:
    return None if value is None else float(str(value))
