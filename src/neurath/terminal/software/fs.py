"""File-system operations in an order that a power cut cannot turn into a lie, each announced before it is done. It knows files
and fsync; it must never change anything by any other way, so that a test can end the process at every single step."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

#: Bytes handed to the kernel at once.
PIECE = 1 << 20


class Fs:
    """The file system. `before(what, path)` is called ahead of everything that changes something."""

    def __init__(self, before: Callable[[str, Path], None] = lambda what, path: None) -> None:
        self._before = before

    def write(self, path: Path, data: bytes | memoryview, mode: int = 0o644) -> None:
        """A new file, whole and on the medium. Its name is not yet: sync its directory."""
        self._before("create", path)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            for at in range(0, len(view), PIECE):
                self._before("write", path)
                _all(handle, view[at : at + PIECE])
            self._before("chmod", path)
            os.fchmod(handle, mode)
            self._before("sync", path)
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, source: Path, target: Path) -> None:
        """One name takes the place of another; atomic, on the medium when this returns."""
        self._before("rename", target)
        os.replace(source, target)
        self.sync(target.parent)

    def link(self, source: Path, target: Path) -> None:
        """A second name for a file, in place of whatever had it."""
        self.remove(target)
        self._before("link", target)
        os.link(source, target, follow_symlinks=False)
        self.sync(target.parent)

    def symlink(self, to: str, path: Path) -> None:
        """A symbolic link in place of whatever had the name; atomic."""
        draft = path.with_name(f".{path.name}.link")
        self.remove(draft)
        self._before("symlink", draft)
        os.symlink(to, draft)
        self.replace(draft, path)

    def bare_symlink(self, to: str, path: Path) -> None:
        """A symbolic link where nothing is, within a tree that nobody uses yet."""
        self._before("symlink", path)
        os.symlink(to, path)

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        if not path.is_dir():
            self._before("mkdir", path)
            path.mkdir(mode=mode, parents=True, exist_ok=True)

    def chmod(self, path: Path, mode: int) -> None:
        self._before("chmod", path)
        path.chmod(mode)

    def chown(self, path: Path, owner: os.stat_result) -> None:
        """The same owner as before, where that may be set."""
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            self._before("chown", path)
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def remove(self, path: Path) -> None:
        """A file or a link; harmless where there is none."""
        if os.path.lexists(path):
            self._before("unlink", path)
            path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """A file, a link, or a directory with all that is in it; links are not followed."""
        if path.is_symlink() or not path.is_dir():
            self.remove(path)
            return
        for child in sorted(path.iterdir()):
            self.remove_tree(child)
        self._before("rmdir", path)
        path.rmdir()

    def sync(self, folder: Path) -> None:
        """The names in a directory are on the medium."""
        self._before("sync", folder)
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def put(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """A small file whole or not at all, in place of the one before."""
        draft = path.with_name(f".{path.name}.new")
        self.write(draft, data, mode)
        self.replace(draft, path)


def walk(folder: Path) -> Iterable[tuple[str, os.stat_result]]:
    """Everything below a directory by its relative name, sorted; links are not followed."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix(), path.lstat()


def kind(found: os.stat_result) -> str:
    """One letter: directory, link, file or something else."""
    mode = found.st_mode
    return "d" if stat.S_ISDIR(mode) else "l" if stat.S_ISLNK(mode) else "f" if stat.S_ISREG(mode) else "?"


def _all(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]
