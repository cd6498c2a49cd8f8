"""What is in an archive, member by member, and what of it may be unpacked. It knows tar and zip; it must never give out a
member that would lie, or lead, outside of the directory it is unpacked into."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from neurath.errors import DataError

#: An archive has no more members, and unpacks to no more bytes (a setup may say less).
MOST_MEMBERS = 100_000


@dataclass(frozen=True, slots=True)
class Member:
    """One thing to be made: `kind` d, f or l; `data` is a file's content or what a link points to."""

    name: str
    kind: str
    mode: int
    data: bytes = b""


def members(data: bytes | memoryview, most: int) -> Iterator[Member]:
    """Every member in order, checked; DataError at the first that may not be."""
    source = io.BytesIO(data)
    seen: dict[str, str] = {}
    left = most
    try:
        for member in _zip(source) if zipfile.is_zipfile(source) else _tar(source):
            left -= len(member.data)
            if left < 0 or len(seen) >= MOST_MEMBERS:
                raise _bad("the archive", f"it unpacks to more than {most:,} bytes or {MOST_MEMBERS:,} members")
            _checked(member, seen)
            if member.name:
                seen[member.name] = member.kind
                yield member
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as fault:
        raise _bad("the archive", f"it cannot be read: {fault}") from None


def _checked(member: Member, seen: dict[str, str]) -> None:
    if member.kind == "?":
        raise _bad(member.name, "it is neither a file, a directory nor a link")
    if seen.get(member.name, "d") != "d" or (member.name in seen and member.kind != "d"):
        raise _bad(member.name, "it comes twice")
    for parent in PurePosixPath(member.name).parents:
        if seen.get(str(parent), "d") != "d":
            raise _bad(member.name, "it lies behind a link or a file")
    if member.kind == "l":
        _inside(member.name, PurePosixPath(member.name).parent / _text(member), lead=True)


def _text(member: Member) -> str:
    target = member.data.decode("utf-8", "surrogateescape")
    if target.startswith("/") or not target:
        raise _bad(member.name, f"it leads to {target!r}")
    return target


def _inside(name: str, path: PurePosixPath, *, lead: bool = False) -> None:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0:
            raise _bad(name, "it leads outside" if lead else "it lies outside")


def _name(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text or "\\" in text:
        raise _bad(text, "it lies outside")
    return "" if str(path) == "." else str(path)


def _tar(source: io.BytesIO) -> Iterator[Member]:
    source.seek(0)
    with tarfile.open(fileobj=source, mode="r:*") as archive:
        for one in archive:
            name, mode = _name(one.name), one.mode & 0o777
            if one.isdir():
                yield Member(name, "d", mode | 0o700)
            elif one.issym():
                yield Member(name, "l", 0o777, one.linkname.encode("utf-8", "surrogateescape"))
            elif one.isreg():
                content = archive.extractfile(one)
                yield Member(name, "f", mode, b"" if content is None else content.read())
            else:
                yield Member(name, "?", 0)


def _zip(source: io.BytesIO) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for one in archive.infolist():
            name, mode = _name(one.filename), one.external_attr >> 16
            if one.is_dir():
                yield Member(name, "d", 0o755)
            elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
                yield Member(name, "?", 0)
            else:
                link = stat.S_ISLNK(mode)
                yield Member(name, "l" if link else "f", 0o777 if link else (mode & 0o777 or 0o644), archive.read(one))


def _bad(name: str, why: str) -> DataError:
    return DataError(f"{name[:120]!r} cannot be unpacked", why, "build the archive again", id="NRT-296")
