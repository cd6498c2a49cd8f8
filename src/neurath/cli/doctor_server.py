"""What a server's store needs, looked at beside a running server or without one, for `neurath doctor`. It knows the store's
files and tables; it must never create, migrate or change one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.doctor_ports import listening_sockets, sockets
from neurath.cli.finding import Finding, fault
from neurath.errors import NeurathError

if TYPE_CHECKING:
    from neurath.server.store import Store

#: A disk is full below so many free bytes, where that is also less than this share of it.
LEAST, SHARE = 64 << 20, 0.05


def store(directory: Path, database: str, objects: str) -> Iterator[Finding]:
    """One server's data, from the disk up to the releases."""
    yield from _disk(directory)
    if not database:
        yield from _alone(directory)
    try:
        from neurath.server.store import Store
        from neurath.server.store.database import HEAD, stands_at

        version = stands_at(directory, database) if database or (directory / "neurath.db").exists() else ""
    except NeurathError as trouble:
        yield fault("database", False, f"{trouble.what}: {trouble.why}", trouble.hint)
        return
    yield fault("database", True, "answers", "")
    if version != HEAD:
        yield _stale(version, HEAD)
        return
    yield fault("migration", True, f"stands at {HEAD}, as this program", "")
    opened = Store(directory, database, objects)
    try:
        yield from (*_ticket_key(directory), *_releases(opened))
    finally:
        opened.close()


def _disk(directory: Path) -> Iterator[Finding]:
    found = os.statvfs(directory)
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    good = free >= LEAST or free >= SHARE * size
    cure = "remove what is not needed, or give it more room: uploads are refused, check-ins go on"
    yield fault("disk", good, f"{free >> 20:,} MiB free of {size >> 20:,} MiB", cure)


def _stale(version: str, head: str) -> Finding:
    if not version:
        return fault("migration", False, "the database is empty", "neurath serve makes its tables; --data names another one")
    if version > head:
        cure = "install the newer program: an older one must not write what it does not know"
        return fault("migration", False, f"the database stands at {version}, this program knows {head}", cure)
    cure = "make a backup, then restart the server: it migrates when it starts"
    return fault("migration", False, f"the database stands at {version}, this program needs {head}", cure)


def _alone(directory: Path) -> Iterator[Finding]:
    """Workers of one server share a listener; two servers on one directory do not."""
    files = {str((directory / "neurath.db").resolve())}
    listening = {f"socket:[{inode}]" for inode in listening_sockets()}
    servers: dict[frozenset[str], list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        held = sockets(folder)
        if held & files and held & listening:
            servers.setdefault(frozenset(held & listening), []).append(folder.name)
    pids = ", ".join(sorted(members[0] for members in servers.values()))
    cure = "stop all but one; more processes: --workers N; more machines: --database postgresql://…"
    text = f"{len(servers)} servers have it: processes {pids}" if len(servers) > 1 else "no two servers have it"
    yield fault("one server a store", len(servers) < 2, text, cure)


def _ticket_key(directory: Path) -> Iterator[Finding]:
    """The key that signs tickets, and its public half, which is what terminals are given (key list 0: the birth record's)."""
    from neurath.server.delivery.tickets import KEY_FILE, PUBLIC_FILE
    from neurath.wire import keys

    private, public = directory / KEY_FILE, directory / PUBLIC_FILE
    back = f"put {KEY_FILE} back from the backup; a new one is known to no terminal, which then takes updates by wire only"
    if not private.exists():
        yield fault("ticket key", False, f"{private} is missing", back)
        return
    try:
        mine = keys.fingerprint(keys.load_private(private).public)
        given = keys.fingerprint(keys.load_public(public)) if public.exists() else mine
    except NeurathError as trouble:
        yield fault("ticket key", False, f"{trouble.what}: {trouble.why}", back)
        return
    text = f"{mine[:16]} is the one that terminals are given"
    wrong = f"{mine[:16]} signs, terminals are given {given[:16]}: they refuse every ticket"
    yield fault("ticket key", mine == given, text if mine == given else wrong, back)


def _releases(opened: Store) -> Iterator[Finding]:
    from neurath.server.software import catalog
    from neurath.server.software.models import find_model, list_models, model_keys

    with opened.read() as db:
        releases = [one for one in catalog.list_releases(db) if one.kind == "image"]
        keyless = [name for name in list_models(db) if find_model(db, name) and not model_keys(db, name)]
    cure = "neurath model add MODEL.toml --release-key PUB.pem"
    text = f"{', '.join(keyless)}: no envelope of theirs can be checked" if keyless else "every model has one"
    yield fault("release keys", not keyless, text, cure)
    bare = [one.name for one in releases if not one.envelope]
    cure = "neurath sign where the key is, then neurath image add with --envelope"
    text = f"{', '.join(bare[:8])}: known, never offered" if bare else "every image has an envelope"
    yield fault("unsigned releases", not bare, text, cure)
