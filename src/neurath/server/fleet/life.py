"""What becomes of a terminal beside its software: out of service, replaced by another device, found to share its id, put on a
channel. It knows terminals and what hangs on them; it must never throw away what happened."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from neurath.errors import NothingToDo, RefusedError
from neurath.ids import FIRMWARE, checked_name
from neurath.server.fleet import access, actions, progress
from neurath.server.fleet.access import Enrolment, Terminal
from neurath.server.fleet.progress import Key
from neurath.server.software.catalog import Release
from neurath.server.store.sql import upsert
from neurath.server.store.tables import component as components
from neurath.server.store.tables import gateway_terminal as gateways
from neurath.server.store.tables import ledger
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import rollout_terminal as members
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Phase, Verdict

#: The channel of a terminal that was put on none.
USUAL = "stable"
#: A nonce that came back so often: two devices take turns. It changes with each installation, and never back.
TURNS = 2


def decommission(db: Connection, terminal: Terminal, now: float, why: str = "") -> None:
    """From now on it may not speak, is counted nowhere, and what it was offered is ended; its history stays. The file of
    one that was torn stays too."""
    _in_service(terminal)
    for action in actions.current_actions(db, terminal.n):
        actions.end(db, action, "superseded", now)
    db.execute(delete(gateways).where(gateways.c.terminal == terminal.n))
    values = {"decommissioned": now, "configured": now, "replaced_by": ""}
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(**values))
    progress.note(db, Key(terminal.n, str(FIRMWARE), 0), "decommissioned", why, now)


def recommission(db: Connection, terminal: Terminal, now: float) -> str:
    """Back in service, with a new token: the old one was out of our hands."""
    if terminal.decommissioned is None:
        raise NothingToDo(f"terminal {terminal.id} is in service")
    db.execute(
        update(terminals).where(terminals.c.n == terminal.n).values(decommissioned=None, replaced_by="", configured=now)
    )
    progress.note(db, Key(terminal.n, str(FIRMWARE), 0), "recommissioned", "", now)
    return access.renew_token(db, terminal)


def replace(db: Connection, terminal: Terminal, name: str, now: float) -> str:
    """Another device takes a terminal's place: its model, link, tags, channel, place, pins and rollouts, under an id and a
    token of its own, which is given. What the new one runs it will say itself."""
    _in_service(terminal)
    token = access.register(db, Enrolment(name, terminal.model, terminal.tenant, "", terminal.link), now)
    other = access.find(db, name, terminal.tenant)
    kept = select(terminals.c.tags, terminals.c.channel, terminals.c.place).where(terminals.c.n == terminal.n)
    row = db.execute(kept).one()
    db.execute(update(terminals).where(terminals.c.n == other.n).values(tags=row.tags, channel=row.channel, place=row.place))
    for table in (members, gateways):
        own = [column for column in table.c if column.name != "terminal"]
        for found in db.execute(select(*own).where(table.c.terminal == terminal.n)).all():
            db.execute(upsert(table).values(terminal=other.n, **found._asdict()).on_conflict_do_nothing())
    pins = select(components.c.name, components.c.pin).where(
        components.c.terminal == terminal.n, components.c.pin.is_not(None)
    )
    for found in db.execute(pins).all():
        db.execute(insert(components).values(terminal=other.n, name=found.name, pin=found.pin))
    decommission(db, terminal, now, f"replaced by {name}")
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(replaced_by=name))
    progress.note(db, Key(other.n, str(FIRMWARE), 0), "replaces", str(terminal.id), now)
    return token


def _in_service(terminal: Terminal) -> None:
    if terminal.decommissioned is not None:
        raise NothingToDo(f"terminal {terminal.id} is out of service already")


# ---- one id, two devices -------------------------------------------------------------------------------------------------


def heard_nonce(db: Connection, terminal: Terminal, component: str, nonce: str, now: float) -> dict[str, object]:
    """What is kept of a check-in's nonce beside it. Where an earlier one came back twice two devices use this id: nothing is
    offered until a person has looked. One that changes with an installation we know of counts anew: a board that is wiped and
    updated again and again says the same nonces in turn."""
    mine = (components.c.terminal == terminal.n, components.c.name == component)
    kept = select(components.c.nonce, components.c.before, components.c.returns, components.c.checked).where(*mine)
    row = db.execute(kept).one_or_none()
    if row is None or not row.nonce or not nonce or row.nonce == nonce:
        return {}
    if _installs(db, terminal, component, float(row.checked or 0)):
        return {"before": row.nonce, "returns": 0}
    returns = int(row.returns) + (nonce == row.before)
    if returns >= TURNS and db.scalar(select(terminals.c.twin).where(terminals.c.n == terminal.n)) is None:
        db.execute(update(terminals).where(terminals.c.n == terminal.n).values(twin=now))
        progress.note(db, Key(terminal.n, component, 0), "twin", "two devices check in under this id", now)
    return {"before": row.nonce, "returns": returns}


def _installs(db: Connection, terminal: Terminal, component: str, since: float) -> bool:
    """Whether an installation is going on there, or has ended since then."""
    going = and_(ledger.c.verdict == Verdict.PENDING.value, ledger.c.phase.in_([Phase.UPDATING.value, Phase.JUDGING.value]))
    here = (ledger.c.terminal == terminal.n, ledger.c.component == component)
    return db.execute(select(ledger.c.release).where(*here, or_(going, ledger.c.ended >= since))).first() is not None


def one_again(db: Connection, terminal: Terminal) -> None:
    """A person has looked: the id is one device's. NothingToDo where nothing was found."""
    if terminal.twin is None:
        raise NothingToDo(f"terminal {terminal.id} was not seen twice")
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(twin=None))
    db.execute(update(components).where(components.c.terminal == terminal.n).values(before="", returns=0))


# ---- channels ------------------------------------------------------------------------------------------------------------


def put_on(db: Connection, terminal: Terminal, channel: str) -> None:
    """Puts a terminal on a channel; "" is the usual one."""
    if channel:
        checked_name(channel, "channel")
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(channel="" if channel == USUAL else channel))
    db.execute(insert(notices).values(terminal=terminal.n))


def publish(db: Connection, release: Release, channels: list[str]) -> None:
    """Rollouts give a release to terminals on these channels only; none: to all. Who may have it now is told."""
    for channel in channels:
        checked_name(channel, "channel")
    if len(channels) > 16:
        raise RefusedError("these are too many channels", "at most 16", "a release is for everybody without any")
    db.execute(update(releases).where(releases.c.id == release.id).values(channels=f" {' '.join(sorted(set(channels)))} "))
    for number in db.scalars(
        select(rollouts.c.id).where(rollouts.c.release == release.id, rollouts.c.state == "running")
    ).all():
        db.execute(insert(notices).values(rollout=number))
