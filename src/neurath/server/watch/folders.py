"""The folders that are watched, as the store keeps them: what each is bound to, its rollout policy, what was found in it. It
knows rows; it must never look into a folder itself (server.watch.monitor does, inside the running server)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from neurath.errors import NotFound, NothingToDo, RefusedError
from neurath.ids import checked_name
from neurath.server.fleet import pieces, target
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.waves import DEFAULT, Policy
from neurath.server.software import catalog
from neurath.server.software.models import find_model
from neurath.server.store.sql import upsert
from neurath.server.store.tables import folder as folders
from neurath.server.store.tables import folder_file as files
from neurath.server.store.tables import folder_terminal as members
from neurath.server.store.tables import release as releases

#: The envelope of FILE is FILE.suit.
ENVELOPE = ".suit"


class Standing(Enum):
    """How a file in a folder stands."""

    WAITING = "waiting"  # for its envelope
    REFUSED = "refused"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Folder:
    """One watched folder. `auto`: what arrives is rolled out by `policy` to `terminals` (none named: every terminal of the
    model) that `target` asks for; else it waits for a person's `neurath rollout create`. `trouble` says why it could not be
    read."""

    id: int
    path: str
    model: str
    component: str
    auto: bool
    added: float
    trouble: str
    policy: str = "default"
    target: str = ""
    pieces: str = ""
    priority: int = 0
    terminals: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One file in a folder; digests are those of the files as they lie there, `envelope` "" where none does."""

    name: str
    size: int
    digest: str
    envelope: str
    standing: Standing
    note: str
    release: int | None


@dataclass(frozen=True, slots=True)
class Binding:
    """What a folder is added with."""

    path: Path
    model: str
    component: str
    auto: bool = False
    policy: Policy = DEFAULT
    target: str = ""
    terminals: tuple[Terminal, ...] = ()
    pieces: str = ""
    priority: int = 0


def add(db: Connection, wanted: Binding, now: float) -> Folder:
    """Binds a folder; one folder holds one component of one model, and the other way round."""
    find_model(db, wanted.model)
    catalog.checked_priority(wanted.priority)
    checked_name(wanted.component, "component")
    path, said = str(wanted.path), pieces.said(wanted.pieces)
    same = or_(folders.c.path == path, (folders.c.model == wanted.model) & (folders.c.component == wanted.component))
    row = db.execute(select(folders).where(same)).first()
    if row is not None:
        if (row.path, row.model, row.component, row.auto, row.policy, row.target, row.pieces, row.priority) == (
            path, wanted.model, wanted.component, wanted.auto, str(wanted.policy), wanted.target, said, wanted.priority,
        ):  # fmt: skip
            raise NothingToDo(f"{path} is watched already")
        raise RefusedError(
            f"{row.path} is watched for {row.model}/{row.component}",
            "one folder holds one component of one model",
            f"neurath watch remove {row.path}",
            id="NRT-344",
        )
    for one in wanted.terminals:
        if one.model != wanted.model:
            raise RefusedError(
                f"terminal {one.id} is no {wanted.model}",
                f"it is registered as {one.model or 'no model at all'}",
                "leave it out",
                id="NRT-325",
            )
    target.clause(wanted.target)
    values: dict[str, object] = {name: getattr(wanted, name) for name in ("model", "component", "auto", "target", "priority")}
    values |= {"path": path, "policy": str(wanted.policy), "pieces": said, "added": now}
    number = db.execute(insert(folders).values(**values)).inserted_primary_key
    assert number is not None
    for one in wanted.terminals:
        db.execute(upsert(members).values(folder=number[0], terminal=one.n).on_conflict_do_nothing())
    return find(db, path)


def remove(db: Connection, path: Path) -> Folder:
    """The folder is watched no more; releases that came from it stay. NotFound."""
    found = find(db, str(path))
    for table in (files, members):
        db.execute(delete(table).where(table.c.folder == found.id))
    db.execute(delete(folders).where(folders.c.id == found.id))
    return found


def find(db: Connection, path: str) -> Folder:
    """The folder with this path; NotFound."""
    row = db.execute(select(folders).where(folders.c.path == path)).one_or_none()
    if row is None:
        raise NotFound(f"{path} is not watched", "no such folder was added", "neurath watch list", id="NRT-136")
    return _folder(db, row)


def by_number(db: Connection, number: int) -> Folder:
    """The folder with this number; NotFound."""
    row = db.execute(select(folders).where(folders.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"no folder {number}", "none has this number", "neurath watch list", id="NRT-136")
    return _folder(db, row)


def all_folders(db: Connection) -> list[Folder]:
    return [_folder(db, row) for row in db.execute(select(folders).order_by(folders.c.id))]


def bound_to(db: Connection, model: str, component: str) -> Folder | None:
    """The folder of this component of this model."""
    row = db.execute(select(folders).where(folders.c.model == model, folders.c.component == component)).one_or_none()
    return None if row is None else _folder(db, row)


def found_in(db: Connection, folder: int) -> list[Found]:
    """What lies in a folder, by name."""
    rows = db.execute(select(files).where(files.c.folder == folder).order_by(files.c.name))
    return [Found(r.name, r.size, r.digest, r.envelope, Standing(r.standing), r.note, r.release) for r in rows]


def note(db: Connection, folder: int, found: Found) -> None:
    """Writes down how a file stands."""
    values: dict[str, object] = {name: getattr(found, name) for name in ("size", "digest", "envelope", "note", "release")}
    values["standing"] = found.standing.value
    query = upsert(files).values(folder=folder, name=found.name, **values)
    db.execute(query.on_conflict_do_update(index_elements=["folder", "name"], set_=values))


def listed(db: Connection, folder: Folder) -> list[dict[str, object]]:
    """How each file in a folder stands, as plain values; `release` by its name, None where it is none."""
    found = found_in(db, folder.id)
    names = release_names(db, [one.release for one in found if one.release is not None])
    return [asdict(one) | {"standing": one.standing.value, "release": names.get(one.release or 0)} for one in found]


def forget(db: Connection, folder: int, names: Collection[str]) -> None:
    """These files are there no more."""
    db.execute(delete(files).where(files.c.folder == folder, files.c.name.in_(names)))


def trouble(db: Connection, folder: int, words: str) -> None:
    """Why a folder cannot be read; "" when it can."""
    db.execute(update(folders).where(folders.c.id == folder).values(trouble=words))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file in a folder that is not a release, and why; `name` "": the folder itself."""

    path: str
    model: str
    component: str
    name: str
    standing: str
    note: str


def waiting(db: Connection) -> list[Waiting]:
    """Everything in watched folders that wants a person's attention."""
    query = select(folders, files.c.name, files.c.standing, files.c.note).join(files, files.c.folder == folders.c.id)
    query = query.where(files.c.standing != Standing.RELEASED.value).order_by(folders.c.path, files.c.name)
    named = [Waiting(r.path, r.model, r.component, r.name, r.standing, r.note) for r in db.execute(query)]
    broken = db.execute(select(folders).where(folders.c.trouble != "").order_by(folders.c.path))
    return [Waiting(r.path, r.model, r.component, "", Standing.WAITING.value, r.trouble) for r in broken] + named


def release_names(db: Connection, numbers: Collection[int]) -> dict[int, str]:
    """The names of releases."""
    found = db.scalars(select(releases.c.id).where(releases.c.id.in_(numbers)))
    return {n: catalog.find_release(db, str(n)).name for n in found}


def _folder(db: Connection, row: Row[tuple[object, ...]]) -> Folder:
    named = db.scalars(select(members.c.terminal).where(members.c.folder == row.id).order_by(members.c.terminal))
    return Folder(**row._asdict(), terminals=tuple(named))
