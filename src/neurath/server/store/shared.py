"""Small files that servers on one database have in common: the key of tickets, the token of stations. Each lies in every data
directory and in the database; it must never let two servers work with different ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert, select

from neurath.disk import write_whole
from neurath.errors import RefusedError
from neurath.server.store.database import Store
from neurath.server.store.tables import setting


def same(store: Store, name: str, make: Callable[[Path], object]) -> None:
    """The file of this name in the store's directory is the one that all servers have; `make` makes it for the first of them.
    RefusedError where this directory has another."""
    path = store.directory / name
    if not store.shared:
        make(store.directory)
        return
    with store.write() as db:  # nobody else makes one meanwhile
        text = db.scalar(select(setting.c.value).where(setting.c.key == f"file {name}"))
        if text is None:
            make(store.directory)
            db.execute(insert(setting).values(key=f"file {name}", value=path.read_text()))
        elif not path.exists():
            write_whole(path, text.encode())
            path.chmod(0o600)
        elif path.read_text() != text:
            raise RefusedError(
                f"{path} is not what the other servers on this database have",
                "terminals and stations would believe one server and not the next",
                f"move {name} away if it is the wrong one: then it comes from the database",
                id="NRT-359",
            )
