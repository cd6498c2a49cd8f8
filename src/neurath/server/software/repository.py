"""The server's part of the software store as a TUF repository: documents taken in, and what it says by itself, signed
with a key of its own. It knows the catalog; that key names no image (docs/spec/repository.md)."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from neurath.errors import DataError, NotFound
from neurath.ids import FIRMWARE
from neurath.server.software.models import read
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.server.store.tables import delta as deltas
from neurath.server.store.tables import file as files
from neurath.server.store.tables import model as models
from neurath.server.store.tables import release as releases
from neurath.server.store.tables import terminal as terminals
from neurath.wire import keys
from neurath.wire.keys import Alg, SigningKey

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from neurath.repository.shelf import Shelf

KEY_FILE, PUBLIC_FILE, FOLDER = "repository.pem", "repository.pub.pem", "repository"


def load_key(directory: Path) -> SigningKey:
    """The server's key for what it says by itself, made at the first start; its public half lies beside it."""
    path = directory / KEY_FILE
    if not path.exists():
        draft = directory / f".{KEY_FILE}.{secrets.token_hex(4)}"
        keys.write_private(draft, keys.create(Alg.ES256))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)  # whole or not at all: another process may be at the same place
        draft.unlink()
    key = keys.load_private(path)
    (directory / PUBLIC_FILE).write_bytes(keys.public_pem(key.public))
    return key


def publish(store: Store, documents: Sequence[bytes], now: float, *, dry: bool = False) -> list[str]:
    """Takes documents in, one after the other, and says which role each is for; RefusedError where a client would not follow:
    then none of them is taken."""
    from neurath.disk import write_whole
    from neurath.repository.shelf import Shelf

    real = store.directory / FOLDER
    with tempfile.TemporaryDirectory() as folder:
        trial = Shelf(Path(folder))
        for path in real.glob("*.json"):
            shutil.copyfile(path, trial.folder / path.name)
        before = {path.name for path in trial.folder.glob("*.json")}
        roles = [trial.take(raw) for raw in documents]
        if not dry:
            real.mkdir(parents=True, exist_ok=True)
            for path in sorted(path for path in trial.folder.glob("*.json") if path.name not in before):
                write_whole(real / path.name, path.read_bytes())
    if not dry:
        refresh(store, now)
    return roles


def refresh(store: Store, now: float) -> Shelf:
    """The documents, the server's own signed anew where it is time or something changed."""
    from neurath.repository.shelf import Shelf

    shelf = Shelf(store.directory / FOLDER)
    with store.read() as db:
        built, pins = _deltas(db), _assigned(db)
    shelf.refresh(load_key(store.directory), built, pins, now)
    return shelf


def document(store: Store, name: str, now: float) -> bytes:
    """One document by its file name; timestamp.json is never older than it may be."""
    from neurath.repository.shelf import Shelf

    shelf = Shelf(store.directory / FOLDER)
    if "/" in name or not name.endswith(".json") or name == "index.json":
        raise NotFound(f"no document {name[:64]}", "it is none of a repository's", "timestamp.json is the first")
    if name == "timestamp.json":
        shelf = refresh(store, now)
    return shelf.read(name)


def target(store: Store, name: str) -> Path:
    """The file of a target, PATH/SHA256.NAME: an image of a release, an update file, or the index."""
    from neurath.repository.roles import INDEX

    digest = name.rpartition("/")[2].partition(".")[0]
    if name.rpartition("/")[2] == f"{digest}.{INDEX}":
        return store.directory / FOLDER / INDEX
    with store.read() as db:
        known = db.scalar(select(releases.c.id).where(releases.c.image == digest).limit(1))
        known = known or db.scalar(select(deltas.c.size).where(deltas.c.file == digest).limit(1))
        made = db.scalars(select(deltas.c.new).where(deltas.c.file == digest))
        if _hidden(db) & {digest, *made}:
            known = None
    if known is None:
        raise NotFound(
            f"no file {digest[:16]}", "no release and no update has it", "timestamp.json is the first", id="NRT-131"
        )
    try:
        return store.files.verified(digest)
    except DataError:
        raise NotFound(
            f"no file {digest[:16]}", "it is damaged here", "neurath image add puts it back", id="NRT-131"
        ) from None


def _deltas(db: Connection) -> dict[str, TargetFile]:
    """Update files by name; those that were pruned are none."""
    from tuf.api.metadata import TargetFile

    query = select(deltas).join(files, files.c.digest == deltas.c.file).where(files.c.added.is_not(None))
    found: dict[str, TargetFile] = {}
    hidden = _hidden(db)
    for row in db.execute(query):
        if row.new in hidden:
            continue
        name = f"deltas/{row.old[:16]}-{row.new[:16]}-{row.layout[:8]}-{row.profile}.nru"
        found[name] = TargetFile(row.size, {"sha256": row.file}, name)
    return found


def _hidden(db: Connection) -> set[str]:
    """Images of models whose files are veiled: a mirror is to have neither them nor what makes them."""
    named = select(releases.c.image, models.c.toml).join(models, models.c.name == releases.c.model)
    return {row.image for row in db.execute(named) if (found := read(row.toml)) is not None and found.veiled}


def _assigned(db: Connection) -> dict[str, str]:
    query = (
        select(terminals.c.id, releases.c.version)
        .join(components, components.c.terminal == terminals.c.n)
        .join(releases, releases.c.id == components.c.pin)
        .where(components.c.name == FIRMWARE)
    )
    return {str(row.id): str(row.version) for row in db.execute(query)}
