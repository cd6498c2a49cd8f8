"""Update files hidden for one terminal (docs/spec/veil.md): what was built once is encrypted for each under a fresh key that
is kept nowhere. It knows keys of terminals and which file hides which; it must never give a file of a veiled model out as it
was built, nor use a key twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, insert, select

from neurath.flash.geometry import Layout
from neurath.ids import FIRMWARE
from neurath.server.delivery.pace import Built, File
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action, Draft
from neurath.server.fleet.standing import Standing
from neurath.server.software import catalog, models
from neurath.server.software.deltas import PROFILE, Files
from neurath.server.store import Store
from neurath.server.store.tables import model as model_rows
from neurath.server.store.tables import veil_key as keys
from neurath.server.store.tables import veiled as veiled_files
from neurath.wire import veil
from neurath.wire.veil import Recipient

#: Why a terminal of a veiled model is offered nothing.
NO_KEY = "its model's files are veiled, and no key of this terminal is known: neurath terminal veil ID KEY"
ONLY_FIRMWARE = "its model's files are veiled, and only firmware can be: this component is not given out"


def give(db: Connection, terminal: Terminal, to: Recipient | None, now: float) -> None:
    """Whom this terminal's files are hidden for from now on; None: nobody is known."""
    db.execute(delete(keys).where(keys.c.terminal == terminal.n))
    if to is not None:
        db.execute(insert(keys).values(terminal=terminal.n, veil=str(to), added=now))


def of(db: Connection, terminal: int) -> Recipient | None:
    found = db.scalar(select(keys.c.veil).where(keys.c.terminal == terminal))
    return None if found is None else veil.recipient(str(found))


def is_veiled_model(db: Connection, name: str | None) -> bool:
    """Whether files of this model go out veiled alone."""
    found = None if name is None else models.read(db.scalar(select(model_rows.c.toml).where(model_rows.c.name == name)))
    return found is not None and found.veiled


def wanted(view: Standing) -> bool:
    """Whether what this component is offered has to be hidden."""
    return view.model is not None and view.model.veiled


def obstacle(view: Standing, to: Recipient | None) -> str:
    """Why nothing can be hidden as it has to be; ""."""
    if not wanted(view):
        return ""
    if to is None:
        return NO_KEY
    package = view.selected is not None and view.selected.release.kind != catalog.IMAGE
    return ONLY_FIRMWARE if view.component != FIRMWARE or package else ""


def hidden_in(db: Connection, file: str) -> str:
    """What lies in a veiled file, by digest; the file itself where it is none."""
    return str(db.scalar(select(veiled_files.c.plain).where(veiled_files.c.file == file).limit(1)) or file)


def is_hidden_for(db: Connection, file: str, to: Recipient) -> bool:
    return db.scalar(select(veiled_files.c.mark).where(veiled_files.c.file == file)) == _mark(to)


def _mark(to: Recipient) -> str:
    return hashlib.sha256(str(to).encode()).hexdigest()[:16]


def grown(files: Files, to: Recipient | None) -> Files:
    """Files with the sizes that they will have once they are hidden; None: they are not to be."""
    if to is None:
        return files

    def ask(old: str, new: str, layout: Layout, profile: int = PROFILE) -> File:
        found = files(old, new, layout, profile)
        return replace(found, size=found.size + to.header) if isinstance(found, Built) else found

    return ask


@dataclass(frozen=True, slots=True)
class Veils:
    """The veiled files of one store."""

    store: Store
    clock: Callable[[], float]

    def hidden(self, to: Recipient | None, draft: Draft) -> Draft:
        """What is offered instead, where it is to be hidden."""
        return draft if to is None else replace(draft, file=self.hide(draft.terminal, to, draft.file))

    def right(self, view: Standing, action: Action) -> bool:
        """Whether an open action's file is hidden as it has to be, if it has to."""
        if not wanted(view):
            return True
        with self.store.read() as db:
            to = of(db, view.terminal.n)
            return to is not None and is_hidden_for(db, action.file, to)

    def hide(self, terminal: int, to: Recipient, plain: str) -> str:
        """The digest of the file that hides this one for a terminal: the same as before while that is here."""
        with self.store.read() as db:
            same = (veiled_files.c.terminal == terminal, veiled_files.c.plain == plain, veiled_files.c.mark == _mark(to))
            kept = db.scalar(select(veiled_files.c.file).where(*same).order_by(veiled_files.c.made.desc()).limit(1))
        if kept is not None and self.store.files.sound(kept):
            return str(kept)
        data = veil.hide(self.store.files.verified(plain).read_bytes(), to)
        name, now = self.store.files.put(data).hex(), self.clock()
        with self.store.write(terminal) as db:
            catalog.keep_file(db, name, data, now)
            db.execute(insert(veiled_files).values(file=name, plain=plain, terminal=terminal, mark=_mark(to), made=now))
        return name
