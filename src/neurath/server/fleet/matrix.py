"""Software times terminals (C3): for each piece of software when it came, how large it is and how many have it; for each
terminal whether it was told, has the file, runs it, and since when. It reads the one ledger; it must never write or guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, func, select

from neurath.server.fleet import reach
from neurath.server.fleet.reach import Course
from neurath.server.software import catalog
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.store.tables import component, ledger
from neurath.server.store.tables import terminal as terminals
from neurath.units import UnixTime
from neurath.wire.report import Verdict

PAGE = 50
T = TypeVar("T")


class Keep(Protocol):
    """Gives the figure of a name: made now, or had from a moment ago."""

    def __call__(self, name: str, make: Callable[[], T]) -> T: ...


def anew(name: str, make: Callable[[], T]) -> T:
    """Keeps nothing."""
    del name
    return make()


class Mark(Enum):
    """How a terminal stands with the newest release of a piece of software."""

    INSTALLED = "installed"
    FAILED = "failed"
    DISTRIBUTED = "distributed"  # the file is there
    SENDING = "sending"
    TOLD = "told"
    UNDISTRIBUTED = "undistributed"


@dataclass(frozen=True, slots=True)
class Column:
    """One component of the model: its newest release, for how many terminals it is, and how many of them were told of it,
    have its file, run it."""

    component: str
    version: str
    release: int
    size: int
    added: UnixTime
    terminals: int
    told: int
    distributed: int
    installed: int

    @property
    def share(self) -> float:
        return self.installed / self.terminals if self.terminals else 0.0


@dataclass(frozen=True, slots=True)
class Mesh:
    """Where one terminal and one component meet: what it runs ("" unknown), how it stands with the newest, and when each step
    was; `done` of `size` bytes are with it."""

    runs: str
    mark: Mark
    notified: UnixTime | None
    distributed: UnixTime | None
    installed: UnixTime | None
    done: int
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    tenant: str
    id: str
    heard: UnixTime | None
    meshes: list[Mesh]


@dataclass(frozen=True, slots=True)
class Matrix:
    """One model: its software across, one page of its terminals down."""

    model: str
    columns: list[Column]
    rows: list[Row]
    found: int


def matrix(db: Connection, model: str, page: int = 1, only: int | None = None, keep: Keep = anew) -> Matrix:
    """The matrix of a model; `only`: of one terminal. `keep` may hand out the head of a column from a moment ago."""
    known = catalog.list_releases(db, model)
    best = _newest(known)
    mine = (terminals.c.model == model, terminals.c.decommissioned.is_(None))
    query = select(terminals.c.n, terminals.c.tenant, terminals.c.id, terminals.c.heard).where(*mine)
    if only is not None:
        query = query.where(terminals.c.n == only)
    count = db.scalar(select(func.count()).select_from(terminals).where(*mine)) or 0
    query = query.order_by(terminals.c.tenant, terminals.c.id).limit(PAGE).offset((max(1, page) - 1) * PAGE)
    rows = db.execute(query).all()
    shown = _shown(db, [row.n for row in rows], best, known)
    return Matrix(
        model=model,
        columns=[keep(f"column {one.id}", lambda one=one: _column(db, one)) for one in best],  # type: ignore[misc]
        rows=[Row(r.tenant, r.id, r.heard, [shown[r.n, one.component] for one in best]) for r in rows],
        found=count if only is None else len(rows),
    )


def _newest(known: list[Release]) -> list[Release]:
    """The newest release of each component that may be offered, in order of component."""
    best: dict[str, Release] = {}
    for one in known:
        if one.offerable:
            best.setdefault(one.component, one)
    return [best[name] for name in sorted(best)]


def _column(db: Connection, release: Release) -> Column:
    stand = reach.stand(db, Course(0, True, ""), release, 0.0)
    return Column(
        component=release.component,
        version=release.version,
        release=release.id,
        size=release.size,
        added=UnixTime(release.added or 0.0),
        terminals=stand.targets,
        told=stand.told,
        distributed=stand.distributed,
        installed=stand.installed,
    )


def _shown(db: Connection, numbers: list[int], best: list[Release], known: list[Release]) -> dict[tuple[int, str], Mesh]:
    by_image = {(one.component, one.image): one.version for one in reversed(known)}
    by_number = {one.id: one for one in known}
    wanted = [one.id for one in best]
    said = {(row.terminal, row.name): row for row in db.execute(select(component).where(component.c.terminal.in_(numbers)))}
    lines: dict[tuple[int, int], Any] = {}
    packages: dict[tuple[int, str], str] = {}
    query = select(ledger).where(ledger.c.terminal.in_(numbers)).order_by(ledger.c.installed)
    for row in db.execute(query):
        if row.release in wanted:
            lines[row.terminal, row.release] = row
        one = by_number.get(row.release)
        if one is not None and one.kind != IMAGE and row.verdict == Verdict.CONFIRMED.value:
            packages[row.terminal, one.component] = one.version
    found: dict[tuple[int, str], Mesh] = {}
    for number in numbers:
        for one in best:
            has = said.get((number, one.component))
            runs = packages.get((number, one.component), "")
            if one.kind == IMAGE:
                runs = by_image.get((one.component, "" if has is None else has.bank), "")
            found[number, one.component] = _mesh(one, runs, lines.get((number, one.id)))
    return found


def _mesh(newest: Release, runs: str, line: Any) -> Mesh:
    if line is None:
        mark = Mark.INSTALLED if runs == newest.version else Mark.UNDISTRIBUTED
        return Mesh(runs, mark, None, None, None, 0, newest.size, "")
    if line.verdict == Verdict.CONFIRMED.value or (runs == newest.version and line.verdict not in reach.BAD):
        mark = Mark.INSTALLED
    elif line.verdict in reach.BAD:
        mark = Mark.FAILED
    elif line.distributed is not None:
        mark = Mark.DISTRIBUTED
    elif line.offered is not None:
        mark = Mark.SENDING if line.sync or line.bytes else Mark.TOLD
    else:
        mark = Mark.TOLD
    return Mesh(
        runs=runs or (newest.version if mark is Mark.INSTALLED else ""),
        mark=mark,
        notified=line.notified,
        distributed=line.distributed,
        installed=line.installed,
        done=line.sync,
        size=line.size or newest.size,
        reason=line.reason,
    )
