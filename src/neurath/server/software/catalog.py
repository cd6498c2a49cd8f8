"""The releases of the software store. It knows which version a digest is; it must never let a version word stand for what a
bank holds."""

from __future__ import annotations

import hashlib
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from neurath.errors import DataError, NotFound, NothingToDo, RefusedError, TrustError, UsageError
from neurath.flash.geometry import Model, plain_model
from neurath.ids import FIRMWARE, ComponentName, Contents, Floor, ModelName, Version, checked_name, digest
from neurath.server.software.models import find_model, model_keys
from neurath.server.store import Store
from neurath.server.store.sql import upsert
from neurath.server.store.tables import file as files
from neurath.server.store.tables import model as models
from neurath.server.store.tables import release as releases
from neurath.wire import keys as keyfiles
from neurath.wire import manifest
from neurath.wire.check import Check
from neurath.wire.leaflist import leaf_digest, leaf_list
from neurath.wire.manifest import Envelope

#: The kind of a release that is an image of ours; any other kind is a package taken as it is.
IMAGE = "image"
#: The highest priority, and with a minus the lowest.
MOST_PRIORITY = 9


@dataclass(frozen=True, slots=True)
class Release:
    """One version of one component of one model. `image` is its SHA-256 in hexadecimal; without an envelope it is known
    (a base for deltas) and never offered. Of several files that ride to one terminal that of the highest `priority` goes
    first."""

    id: int
    model: ModelName
    component: ComponentName
    version: Version
    kind: str
    filename: str
    image: str
    size: int
    envelope: bytes
    envelope_digest: str
    sequence: int
    epoch: int
    added: float
    revoked: float | None
    priority: int = 0
    compatible: tuple[str, ...] = ()
    revoked_why: str = ""
    channels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """MODEL/VERSION, with the component where it is not the firmware."""
        tail = "" if self.component == FIRMWARE else f"/{self.component}"
        return f"{self.model}/{self.version}{tail}"

    @property
    def offerable(self) -> bool:
        """Whether a terminal could be given it: nothing unsigned of ours, nothing revoked."""
        return self.revoked is None and (bool(self.envelope) or self.kind != IMAGE)


@dataclass(frozen=True, slots=True)
class Upload:
    """One image or package on its way into the catalog. `kind` is what its bytes were read as; `data` what the bank is to
    hold, or the package as it is; `says` is the version that a package has inside, `compatible` the devices it names."""

    data: Contents
    model: str
    version: str
    kind: str = IMAGE
    filename: str = ""
    component: str = str(FIRMWARE)
    envelope: bytes = b""
    priority: int = 0
    says: str = ""
    compatible: tuple[str, ...] = ()


def check_upload(store: Store, upload: Upload) -> None:
    """Everything add() would refuse before it writes, and nothing else."""
    with store.read() as db:
        model = find_model(db, upload.model)
        _sealed(db, upload, model)
        _fits(db, upload)
        known = _by_version(db, upload.model, upload.component, upload.version)
    if known is not None and known.image != digest(upload.data).hex():
        raise _other_content(known, digest(upload.data).hex())


def add(store: Store, upload: Upload, now: float) -> Release:
    """Takes an image or a package into the catalog. The same again is NothingToDo; another content under the same version
    is refused; an envelope may follow later."""
    checked_name(upload.version, "version")
    checked_name(upload.component, "component")
    checked_priority(upload.priority)
    if not upload.data:
        raise DataError("this image is empty", "it holds no byte", "check the file")
    with store.read() as db:
        model = find_model(db, upload.model)
        sealed = _sealed(db, upload, model)
    check_upload(store, upload)
    # The file goes first: a row never names a file that is not there.
    name = store.files.put(upload.data).hex()
    with store.write() as db:
        known = _by_version(db, upload.model, upload.component, upload.version)
        if known is not None:
            return _again(db, known, name, sealed)
        _keep_file(db, name, upload.data, now)
        values = _seal_values(sealed) | {
            "model": upload.model,
            "component": upload.component,
            "version": upload.version,
            "kind": upload.kind,
            "filename": upload.filename or f"{name}.bin",
            "image": name,
            "size": len(upload.data),
            "priority": upload.priority,
            "compatible": "\n".join(upload.compatible),
            "added": now,
        }
        number = db.execute(insert(releases).values(**values)).inserted_primary_key
        assert number is not None
        return find_release(db, str(number[0]))


def set_priority(db: Connection, name: str, priority: int) -> Release:
    """Which of several files rides to a terminal first; what came of the others stays where it is. NothingToDo."""
    found = find_release(db, name)
    if checked_priority(priority) == found.priority:
        raise NothingToDo(f"{found.name} has priority {priority} already")
    db.execute(update(releases).where(releases.c.id == found.id).values(priority=priority))
    return find_release(db, name)


def checked_priority(priority: int) -> int:
    """The priority, or UsageError."""
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise UsageError(f"{priority} is no priority", f"from {-MOST_PRIORITY} (last) over 0 to {MOST_PRIORITY} (first)")
    return priority


def _sealed(db: Connection, upload: Upload, model: Model | None) -> Envelope | None:
    if upload.kind != IMAGE:
        return None
    if upload.component != FIRMWARE:
        model = (model or plain_model(upload.model)).of_component(upload.component)
    if model is None:
        raise RefusedError(
            f"model {upload.model} has no memory map",
            "an image of ours needs one",
            f"neurath model add FILE.toml (name = {upload.model!r})",
        )
    if len(upload.data) > model.layout.bank_size:
        raise RefusedError(
            f"this image does not fit model {model.name}",
            f"{len(upload.data):,} bytes; the bank holds {model.layout.bank_size:,}",
            "check --model",
            id="NRT-322",
        )
    if not upload.envelope:
        return None
    pems = model_keys(db, upload.model)
    if not pems:
        raise RefusedError(
            f"model {upload.model} has no release key",
            "an envelope cannot be checked without one",
            "neurath model add FILE.toml --release-key PUB.pem",
        )
    sealed = manifest.verify(upload.envelope, [keyfiles.public_from_pem(pem) for pem in pems])
    if (sealed.vendor, sealed.klass) != (model.vendor, model.klass):
        raise RefusedError(
            "this envelope is for another model", f"its class is not that of {model.name}", "check --model", id="NRT-323"
        )
    leaves = leaf_digest(leaf_list(bytes(upload.data), model.layout.leaf))
    if (sealed.image, sealed.image_size) != (digest(upload.data), len(upload.data)):
        raise TrustError("this envelope is for another image", "digest or size differ", "sign this image", id="NRT-268")
    if (sealed.leaf, sealed.leaves) != (model.layout.leaf, leaves):
        raise TrustError("this envelope has other leaves", "its leaf list is not this image's", "sign it again", id="NRT-268")
    return sealed


def _fits(db: Connection, upload: Upload) -> None:
    """A package is for the devices it names, and has the version it says."""
    if upload.says and upload.says != upload.version:
        why = f"it says that it is {upload.says}"
        raise RefusedError(f"this package is no version {upload.version}", why, f"--version {upload.says}", id="NRT-353")
    wanted = [
        one for one in str(db.scalar(select(models.c.compatible).where(models.c.name == upload.model))).split("\n") if one
    ]
    if upload.kind != IMAGE and wanted and not set(wanted) & set(upload.compatible):
        why = f"it is for {', '.join(upload.compatible) or 'no device that it names'}; the model is {', '.join(wanted)}"
        raise RefusedError(f"this package is not for model {upload.model}", why, "check --model", id="NRT-354")


def _again(db: Connection, known: Release, image: str, sealed: Envelope | None) -> Release:
    if known.image != image:
        raise _other_content(known, image)
    if sealed is None or known.envelope == sealed.raw:
        raise NothingToDo(f"{known.name} is there already", "same content", "neurath image show " + known.name)
    if known.envelope:
        raise RefusedError(f"{known.name} has another envelope", "a release is signed once", "give it another version")
    db.execute(update(releases).where(releases.c.id == known.id).values(**_seal_values(sealed)))
    return find_release(db, str(known.id))


def _other_content(known: Release, image: str) -> RefusedError:
    return RefusedError(
        f"{known.name} is there with other content",
        f"its digest is {known.image[:16]}…, this one's {image[:16]}…",
        "give this image another version",
        id="NRT-324",
    )


def _seal_values(sealed: Envelope | None) -> dict[str, object]:
    if sealed is None:
        return {}
    return {
        "envelope": sealed.raw,
        "envelope_digest": sealed.digest.hex(),
        "leaves": sealed.leaves.hex(),
        "sequence": sealed.sequence,
        "epoch": sealed.epoch,
    }


def _keep_file(db: Connection, name: str, data: Contents, now: float) -> None:
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    values = {"digest": name, "size": len(data), "sha1": sha1, "md5": md5, "added": now}
    # One that was pruned is there again.
    db.execute(
        upsert(files)
        .values(**values)
        .on_conflict_do_update(index_elements=["digest"], set_={"added": func.coalesce(files.c.added, now)})
    )


def keep_file(db: Connection, name: str, data: Contents, now: float) -> None:
    """Notes a file that Files.put() already holds, with the digests that older clients ask for."""
    _keep_file(db, name, data, now)


def file_hashes(db: Connection, name: str) -> tuple[int, str, str]:
    """(size, SHA-1, MD5) of a file; NotFound."""
    row = db.execute(select(files.c.size, files.c.sha1, files.c.md5).where(files.c.digest == name)).one_or_none()
    if row is None:
        raise NotFound(f"no file {name[:16]}…", "the store does not know it", "neurath image list", id="NRT-131")
    return row.size, row.sha1, row.md5


def find_release(db: Connection, name: str) -> Release:
    """The release with this number or name (MODEL/VERSION[/COMPONENT]); NotFound."""
    parts = name.split("/")
    found = None
    if len(parts) == 1 and name.isascii() and name.isdigit() and len(name) < 16:
        row = db.execute(select(releases).where(releases.c.id == int(name))).one_or_none()
        found = None if row is None else _release(row)
    elif len(parts) in (2, 3):
        found = _by_version(db, parts[0], parts[2] if len(parts) == 3 else str(FIRMWARE), parts[1])
    if found is None:
        raise NotFound(f"no release {name!r}", "say MODEL/VERSION or its number", "neurath image list", id="NRT-134")
    return found


def list_releases(db: Connection, model: str | None = None) -> list[Release]:
    """Every release, newest first within a model."""
    query = select(releases).order_by(
        releases.c.model, releases.c.epoch.desc(), releases.c.sequence.desc(), releases.c.id.desc()
    )
    return [_release(row) for row in db.execute(query if model is None else query.where(releases.c.model == model))]


def installed(db: Connection, model: str, component: str, bank: str, size: int) -> Release | None:
    """The release whose image a bank holds, by digest and size; None for a content nobody put in here."""
    row = db.execute(_holding(model, component, bank, size).limit(1)).one_or_none()
    return None if row is None else _release(row)


def confirmed(db: Connection, model: str, check: Check) -> Release | None:
    """The newest release that a terminal can have confirmed: its bank holds the image, which may have been signed more than
    once, and its floor has come so far."""
    floor = (check.floor.epoch, check.floor.sequence)
    rows = db.execute(_holding(model, check.component, check.bank.hex(), check.bank_size)).all()
    return next((_release(row) for row in rows if (row.epoch, row.sequence) <= floor), None)


def signed(db: Connection, release: Release) -> list[Floor]:
    """The ranks that a release's image was signed with: once as a rule, again where it leads back to it. A terminal that holds
    it with one of these for its floor has confirmed this very image."""
    rows = db.execute(_holding(release.model, release.component, release.image, release.size))
    return [Floor(row.epoch, row.sequence) for row in rows]


def _holding(model: str, component: str, bank: str, size: int) -> Select[Any]:
    query = select(releases).where(
        releases.c.model == model, releases.c.component == component, releases.c.image == bank, releases.c.size == size
    )
    return query.order_by(releases.c.sequence.desc(), releases.c.id.desc())


def by_version(db: Connection, model: str, components: Sequence[str], version: str) -> Release | None:
    """The release of a model with this version, of the first of these components that has one."""
    found = (_by_version(db, model, component, version) for component in components)
    return next((one for one in found if one is not None), None)


def _by_version(db: Connection, model: str, component: str, version: str) -> Release | None:
    query = select(releases).where(releases.c.model == model, releases.c.component == component, releases.c.version == version)
    row = db.execute(query).one_or_none()
    return None if row is None else _release(row)


#: What a query says of a release beside other things: all columns, in their order.
COLUMNS = tuple(releases.c)
_Line = namedtuple("_Line", [c.name for c in COLUMNS])  # type: ignore[misc]  # the table says which


def of_columns(values: Sequence[Any]) -> Release:
    """The release in these COLUMNS."""
    return _release(_Line(*values))


def _release(row: Any) -> Release:
    return Release(
        id=row.id,
        model=ModelName(row.model),
        component=ComponentName(row.component),
        version=Version(row.version),
        kind=row.kind,
        filename=row.filename,
        image=row.image,
        size=row.size,
        envelope=row.envelope or b"",
        envelope_digest=row.envelope_digest,
        sequence=row.sequence,
        epoch=row.epoch,
        added=row.added,
        revoked=row.revoked,
        priority=row.priority,
        compatible=tuple(one for one in row.compatible.split("\n") if one),
        revoked_why=row.revoked_why,
        channels=tuple(row.channels.split()),
    )
