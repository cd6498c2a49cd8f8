"""A bad release is called back: nobody is given it, or a byte more of it, from one write on. It knows what is on its
way; it must never keep a torn terminal from the file that makes it whole."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from neurath.errors import NothingToDo
from neurath.server.fleet import rollout, stop
from neurath.server.fleet.actions import Action
from neurath.server.fleet.rollout import NOBODY_SAID, Person
from neurath.server.fleet.waves import State
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store.tables import component as components
from neurath.server.store.tables import notice as notices
from neurath.server.store.tables import release as releases


def revoke(db: Connection, release: Release, now: float, person: Person = NOBODY_SAID) -> list[int]:
    """A release is offered to nobody any more; its rollouts end and its pins go. Gives the numbers of those rollouts.
    NothingToDo where it was revoked before."""
    if release.revoked is not None:
        raise NothingToDo(f"{release.name} is revoked already")
    db.execute(update(releases).where(releases.c.id == release.id).values(revoked=now, revoked_why=person.why[:512]))
    why = f"{release.name} was revoked{f': {person.why}' if person.why else ''}"
    found = [one for one in rollout.all_rollouts(db) if one.release == release.id and one.state != State.ABORTED.value]
    for one in found:
        rollout.end(db, one, why, now)
    pinned = db.scalars(select(components.c.terminal).where(components.c.pin == release.id)).all()
    if pinned:
        db.execute(insert(notices), [{"terminal": number} for number in pinned])
        db.execute(update(components).where(components.c.pin == release.id).values(pin=None))
    return [one.id for one in found]


def may_have(db: Connection, action: Action) -> bool:
    """Whether a terminal may have more of what it was offered; a torn one may whatever happened since."""
    mine = (components.c.terminal == action.terminal, components.c.name == action.component)
    said = db.scalar(select(components.c.open_file).where(*mine))
    if said and action.file.startswith(str(said)):
        return True
    if stop.stopped(db) is not None or catalog.find_release(db, str(action.release)).revoked is not None:
        return False
    gone = action.rollout is not None and rollout.find(db, action.rollout).state == State.ABORTED.value
    return action.insists or not gone
