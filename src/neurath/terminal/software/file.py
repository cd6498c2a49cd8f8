"""A component that is one file: the new one is written beside it and takes its name. It knows one path; at every moment there
is, under that name, the old file or the new one, whole."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from neurath.errors import RefusedError
from neurath.terminal.identity import Held
from neurath.terminal.setup import Component
from neurath.terminal.software.component import NOTHING, Data
from neurath.terminal.software.fs import PIECE, Fs


class File:
    """`.NAME.neurath-new` is being written, `.NAME.neurath-old` is the one before (or, empty of name, there was none). `mode`
    None: as the file before, else 0644."""

    def __init__(self, path: Path, fs: Fs, mode: int | None = None) -> None:
        self._path = path
        self._fs = fs
        self._mode = mode
        self._new = path.with_name(f".{path.name}.neurath-new")
        self._old = path.with_name(f".{path.name}.neurath-old")
        self._none = path.with_name(f".{path.name}.neurath-none")

    def held(self) -> Held:
        return file_held(self._path)

    def contents(self) -> bytes | None:
        return self._path.read_bytes() if self._path.is_file() else None

    def check(self, data: Data) -> None:
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
            raise RefusedError(f"{self._path} is not a plain file", "it would be replaced", "name the file itself")

    def put(self, data: Data, name: bytes) -> None:
        before = self._path.stat() if self._path.exists() else None
        mode = self._mode if self._mode is not None else stat.S_IMODE(before.st_mode) if before else 0o644
        self._fs.mkdir(self._path.parent)
        self._fs.write(self._new, data, mode)
        if before is not None:
            self._fs.chown(self._new, before)
            self._fs.link(self._path, self._old)
        else:
            self._fs.write(self._none, b"")
            self._fs.sync(self._path.parent)
        self._fs.replace(self._new, self._path)

    def back(self) -> None:
        self._fs.remove(self._new)
        if self._old.exists():
            self._fs.replace(self._old, self._path)
        elif self._none.exists():
            self._fs.remove(self._path)
            self._fs.remove(self._none)
            self._fs.sync(self._path.parent)

    def tidy(self) -> None:
        for path in (self._new, self._old, self._none):
            self._fs.remove(path)


def file_held(path: Path) -> Held:
    """The SHA-256 and the size of a file; NOTHING where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return NOTHING
    with os.fdopen(handle, "rb") as source:
        found, size = hashlib.sha256(), 0
        while piece := source.read(PIECE):
            found.update(piece)
            size += len(piece)
    return Held(found.digest(), size)


def form(component: Component, store: Path, fs: Fs) -> File:
    """The form a setup describes; `store` is its own place in the agent's state."""
    return File(component.path, fs, component.mode)
