"""A component that is a directory, out of an archive: unpacked beside the one before, then a symbolic link flips. It knows one
link and the versions it may point to; at every moment the link leads to a whole version."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from neurath.errors import DataError, RefusedError
from neurath.terminal.identity import Held
from neurath.terminal.setup import Component
from neurath.terminal.software.archive import members
from neurath.terminal.software.component import NOTHING, Data
from neurath.terminal.software.file import file_held
from neurath.terminal.software.fs import Fs, kind, walk


class Directory:
    """`path` is a link to `.NAME.neurath/<32 hex digits>`; beside each version lies `<...>.json`, which says of which archive
    it was made and what digest its tree had. `.NAME.neurath/before` is where the link pointed before."""

    def __init__(self, path: Path, fs: Fs, most: int) -> None:
        self._path = path
        self._fs = fs
        self._most = most
        self._store = path.with_name(f".{path.name}.neurath")
        self._before = self._store / "before"

    def held(self) -> Held:
        """The archive's digest where the tree is what was unpacked, else the tree's own."""
        if not self._path.is_symlink():
            return NOTHING if not self._path.exists() else tree(self._path)
        there = self._path.resolve()
        found = tree(there)
        try:
            known = json.loads((self._store / f"{there.name}.json").read_text())
            if there.parent == self._store.resolve() and known["tree"] == found.digest.hex():
                return Held(bytes.fromhex(known["image"]), int(known["size"]))
        except (OSError, ValueError, KeyError, TypeError):
            return found
        return found

    def contents(self) -> bytes | None:
        return None

    def check(self, data: Data) -> None:
        if self._path.exists() and not self._path.is_symlink():
            raise RefusedError(
                f"{self._path} is not a symbolic link",
                "a directory cannot be replaced at once",
                f"once: mv {self._path} {self._path}.0 && ln -s {self._path.name}.0 {self._path}",
                id="NRT-386",
            )
        if not sum(1 for _ in members(data, self._most)):
            raise DataError("the archive is empty", "nothing would be left", "build the archive again", id="NRT-296")

    def put(self, data: Data, name: bytes) -> None:
        fs, version = self._fs, self._store / name.hex()[:32]
        if self._leads_to(version):
            version = self._store / f"{version.name}-2"  # it is damaged: mended beside itself
        fs.mkdir(self._store)
        part = version.with_suffix(".part")
        fs.remove_tree(part)
        self._unpack(data, part)
        about = {"image": name.hex(), "size": len(data), "tree": tree(part).digest.hex()}
        fs.put(version.with_suffix(".json"), json.dumps(about).encode(), 0o644)
        fs.remove_tree(version)  # left behind: nothing leads there
        fs.replace(part, version)
        fs.symlink(os.readlink(self._path) if self._path.is_symlink() else "-", self._before)
        fs.symlink(f"{self._store.name}/{version.name}", self._path)

    def _leads_to(self, version: Path) -> bool:
        return self._path.is_symlink() and version.exists() and self._path.resolve() == version.resolve()

    def _unpack(self, data: Data, part: Path) -> None:
        fs = self._fs
        fs.mkdir(part)
        folders = {part}
        for member in members(data, self._most):
            path = part / member.name
            fs.mkdir(path.parent)
            folders.update(one for one in path.parents if part in one.parents or one == part)
            if member.kind == "d":
                fs.mkdir(path)
                fs.chmod(path, member.mode)
                folders.add(path)
            elif member.kind == "l":
                fs.bare_symlink(member.data.decode("utf-8", "surrogateescape"), path)
            else:
                fs.write(path, member.data, member.mode)
        for folder in sorted(folders, reverse=True):
            fs.sync(folder)

    def back(self) -> None:
        if not self._before.is_symlink():
            return
        before = os.readlink(self._before)
        if before == "-":
            self._fs.remove(self._path)
        else:
            self._fs.symlink(before, self._path)
        self._fs.remove(self._before)
        self._fs.sync(self._path.parent)

    def tidy(self) -> None:
        if not self._store.is_dir():
            return
        fs, used = self._fs, self._path.resolve() if self._path.is_symlink() else None
        fs.remove(self._before)
        for path in sorted(self._store.iterdir()):
            if used is None or path.name not in (used.name, f"{used.name}.json"):
                fs.remove_tree(path)
        fs.remove(self._path.with_name(f".{self._path.name}.link"))


def tree(folder: Path) -> Held:
    """A digest over names, kinds, modes, link targets and contents of all there is below, and the bytes of its files."""
    found, size = hashlib.sha256(), 0
    for name, about in walk(folder):
        letter, inner = kind(about), b""
        if letter == "l":
            inner = os.readlink(folder / name).encode("utf-8", "surrogateescape")
        elif letter == "f":
            held = file_held(folder / name)
            inner, size = held.digest, size + held.size
        mode = 0 if letter == "l" else about.st_mode & 0o777
        line = f"{letter} {mode:o} {name}\0".encode("utf-8", "surrogateescape") + inner
        found.update(len(line).to_bytes(4, "big") + line)
    return Held(found.digest(), size)


def form(component: Component, store: Path, fs: Fs) -> Directory:
    """The form a setup describes; `store` is its own place in the agent's state."""
    return Directory(component.path, fs, component.most)
