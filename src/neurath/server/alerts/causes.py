"""What wants a person now: rollouts that halted, terminals in restoration, terminals that fell silent. It reads; whether it
was told before is alerts.journal's to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurath.server.fleet import silence, work
from neurath.server.fleet.standing import when
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout
from neurath.server.store.tables import terminal as terminals

#: Of one cause so many are named; more than that are one alert about all of them, or nobody would read any.
MOST = 100


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that stands: `key` is one's own (cause:subject), `subject` what it is about, `text` for people."""

    key: str
    cause: str
    subject: str
    text: str


def standing(db: Connection) -> list[Cause]:
    """What is told the moment it is so."""
    return [*_halts(db), *_named("restoration", _restorations(db))]


def silent(db: Connection, now: float, after: float) -> list[Cause]:
    """Those that are silent (fleet.silence); looked for now and then."""
    query = select(terminals.c.tenant, terminals.c.id, terminals.c.heard, terminals.c.place)
    rows = db.execute(query.where(silence.silent(now, after)).order_by(terminals.c.tenant, terminals.c.id))
    over = f"more than {silence.span(after)} ago"
    return _named(
        "silence",
        (
            (f"{row.tenant}/{row.id}", f"terminal {row.id} was last heard {when(row.heard)}, {over}{_at(row.place)}")
            for row in rows
        ),
    )  # fmt: skip


def _halts(db: Connection) -> list[Cause]:
    query = select(rollout.c.id, rollout.c.why, rollout.c.back, releases.c.model, releases.c.version)
    query = query.join(releases, releases.c.id == rollout.c.release).where(rollout.c.state == "halted")
    rows = db.execute(query.order_by(rollout.c.id)).all()
    said = [f"rollout {row.id} of {row.model}/{row.version}{_back(row.back)} halted: {row.why}" for row in rows]
    return [Cause(f"halt:{row.id}", "halt", f"rollout/{row.id}", text) for row, text in zip(rows, said, strict=True)]


def _back(number: int | None) -> str:
    return "" if number is None else f", which takes rollout {number} back,"


def _restorations(db: Connection) -> Iterable[tuple[str, str]]:
    after = ("", "")
    while found := work.jobs(db, "restoration", after):
        for one in found:
            what = f", on its way to {one.release}" if one.release else ""
            yield f"{one.tenant}/{one.id}", f"terminal {one.id} needs a restoration station{_at(one.place)}{what}"
        after = (found[-1].tenant, found[-1].id)


def _at(place: str) -> str:
    return f" at {place}" if place else ""


def _named(cause: str, found: Iterable[tuple[str, str]]) -> list[Cause]:
    told = [Cause(f"{cause}:{subject}", cause, subject, text) for subject, text in found]
    if len(told) <= MOST:
        return told
    first = ", ".join(one.subject for one in told[:5])
    size = 10 ** (len(str(len(told))) - 1)  # told again when there are many more, not with each one more
    text = f"over {len(told) // size * size:,} terminals at once ({cause}), the first: {first}"
    return [Cause(f"{cause}:many", cause, "many", text)]
