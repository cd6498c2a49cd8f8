"""The ARM board of `board` with Debian's Python for it and an agent from this tree's wheel (tests/packaging/foreign.py), all
in RAM, a network card, and the NOR chip as /dev/mtd0. It knows how such a file system is made; it must never look at what is
in the chip."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from tests.packaging.foreign import abroad
from tests.rigs import board

#: Kernel modules in the order in which they depend on each other: the network card, then the chip.
MODULES = ("libphy", "fwnode_mdio", "fixed_phy", "of_mdio", "selftests", "fec", "micrel", *board.MODULES)
MEMORY = 512
_TREES = ("usr/lib/python3.11", "usr/lib/python3", "venv")
_LEFT_OUT = ("*/test/*", "*/tests/*", "*/idlelib*", "*/lib2to3*", "*/ensurepip*", "*/site-packages/pip*", "*/config-3*", "*.a")
_LEFT_OUT += ("*/site-packages/setuptools*", "*/dbus_fast/*", "*/site-packages/psutil/*", "*/site-packages/pycparser/*")
_LIBRARIES = ("ld-linux*", "libc.so*", "libm.so*", "libz.so*", "libexpat*", "libssl*", "libcrypto*", "libffi*", "libgcc_s*")
_LIBRARIES += ("libpthread*", "libdl*", "librt*", "libutil*", "libresolv*", "libnss_files*", "libnss_dns*")
_SINGLE = ("lib", "bin", "usr/lib/ld-linux-armhf.so.3", "usr/bin/python3.11", "usr/bin/python3", "etc/ld.so.cache")


class Archive:
    """An initial file system (cpio, "newc")."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._names: set[str] = set()

    def put(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        if name in self._names:
            return
        above = os.path.dirname(name)
        if above:
            self.put(above, stat.S_IFDIR | 0o755)
        self._names.add(name)
        words = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        self.data += b"070701" + "".join(f"{word:08x}" for word in words).encode() + name.encode() + b"\0"
        self.data += bytes(-len(self.data) % 4) + data
        self.data += bytes(-len(self.data) % 4)

    def take(self, root: Path, path: Path) -> None:
        """A file or link of another root, under the same name."""
        name = str(path.relative_to(root))
        if path.is_symlink():
            self.put(name, stat.S_IFLNK | 0o777, os.readlink(path).encode())
        else:
            self.put(name, stat.S_IFREG | stat.S_IMODE(path.stat().st_mode), path.read_bytes())


def _files(root: Path) -> Iterator[Path]:
    yield from (root / name for name in _SINGLE)
    for tree in _TREES:
        for above, folders, names in os.walk(root / tree):
            links = [name for name in folders if (Path(above) / name).is_symlink()]
            for path in (Path(above) / name for name in (*names, *links)):
                if not any(fnmatch(str(path), pattern) for pattern in _LEFT_OUT):
                    yield path
    for path in (root / "usr/lib/arm-linux-gnueabihf").iterdir():
        if any(fnmatch(path.name, pattern) for pattern in _LIBRARIES):
            yield path


def machine(folder: Path, words: list[str], files: dict[str, bytes]) -> tuple[Path, Path]:
    """(device tree, initial file system) of a board that runs `words` with these files in its root, and then says "end"."""
    made, parts = Archive(), board.kernel()
    with abroad("armhf") as land:
        for path in sorted(_files(land.root)):
            if os.path.lexists(path):
                made.take(land.root, path)
    for name in ("proc", "sys", "tmp", "run", "modules"):
        made.put(name, stat.S_IFDIR | 0o755)
    made.put("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for number, name in enumerate(MODULES):
        made.put(f"modules/{number:02}-{name}.ko", stat.S_IFREG | 0o644, (parts / f"{name}.ko").read_bytes())
    files = files | {"init": Path(__file__).with_name("pyboard_init.py").read_bytes(), "words": "\n".join(words).encode()}
    for name, data in files.items():
        made.put(name, stat.S_IFREG | 0o755, data)
    made.put("TRAILER!!!", 0)
    (folder / "initrd").write_bytes(made.data)
    return board.device_tree(folder), folder / "initrd"
