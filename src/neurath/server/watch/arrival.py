"""Software arrives, by whichever door: command, upload, watched folder. It knows that every door ends in the same release and
the same push; it must never offer what a terminal could not take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from neurath.errors import NothingToDo
from neurath.server.fleet import access, begin, waves
from neurath.server.fleet.rollout import Counted, Plan
from neurath.server.software import catalog
from neurath.server.software.catalog import Release, Upload
from neurath.server.store import Store
from neurath.server.store.tables import rollout as rollouts
from neurath.server.watch import folders


@dataclass(frozen=True, slots=True)
class Arrival:
    """A release, and the rollout that its arrival started (None: it waits for a person, or was known before)."""

    release: Release
    rollout: int | None
    same: NothingToDo | None = None

    def news(self) -> Arrival:
        """Itself; NothingToDo where nothing changed."""
        if self.same is not None and self.rollout is None:
            raise self.same
        return self


def arrive(store: Store, upload: Upload, now: float) -> Arrival:
    """Takes software into the catalog and starts its rollout where the folder bound to its component says so. Doing it again
    after a crash between the two does what is left."""
    same = None
    if not upload.priority:
        with store.read() as db:
            bound = folders.bound_to(db, upload.model, upload.component)
        upload = upload if bound is None else replace(upload, priority=bound.priority)
    try:
        release = catalog.add(store, upload, now)
    except NothingToDo as known:
        same = known
        with store.read() as db:
            release = catalog.find_release(db, f"{upload.model}/{upload.version}/{upload.component}")
    with store.read() as db:
        due = _due(db, release)
        before = None if due is None else begin.foreseen(db, _plan(db, due, release), now)
    started = None
    if due is not None:
        with store.write() as db:
            started = _start(db, release, before, now)
    return Arrival(release, started, same)


def _due(db: Connection, release: Release) -> folders.Folder | None:
    """The folder that wants this release rolled out; None where it was before, by whomever, or cannot be."""
    folder = folders.bound_to(db, release.model, release.component)
    signed = release.kind != catalog.IMAGE or release.envelope
    if folder is None or not folder.auto or not signed or release.revoked is not None:
        return None
    known = db.scalar(select(rollouts.c.id).where(rollouts.c.release == release.id).limit(1))
    return folder if known is None else None


def _start(db: Connection, release: Release, before: Counted | None, now: float) -> int | None:
    folder = _due(db, release)  # again, now that nobody else writes
    if folder is None:
        return None
    return begin.begin(db, _plan(db, folder, release), before, now).id


def _plan(db: Connection, folder: folders.Folder, release: Release) -> Plan:
    named = [access.by_number(db, n) for n in folder.terminals]
    policy = waves.policy(folder.policy)
    return Plan(release, named or None, policy=policy, target=folder.target, pieces=folder.pieces)
