"""From a file a person has to what the catalog takes: the reader of images says what it is. It knows which forms are ours
and which are taken as they are; it must never trust a file's name."""

from __future__ import annotations

import mmap
import os
from pathlib import PurePath
from typing import BinaryIO

from neurath.flash.geometry import Model
from neurath.ids import FIRMWARE, Contents
from neurath.server.software.catalog import IMAGE, Upload
from neurath.server.software.images import read_image

#: Packages of other updaters, taken as they are.
PACKAGES = ("swu", "raucb")


#: What is longer is mapped.
_SHORT = 1 << 20


def contents(file: BinaryIO, most: int) -> Contents | None:
    """What an open file holds; None where that is more than `most` bytes. A long one is mapped, not read: its pages are the
    file's, and the system takes them back when it wants."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > most:
        return None
    if size <= _SHORT:
        return file.read()
    file.flush()
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def read_upload(data: Contents, name: str, model: Model | None, component: str = FIRMWARE, *, signed: bool = False) -> Upload:
    """The image or package in a file, its model and version still to be filled in; DataError where it is none. What is not
    firmware is taken as it is, and so is a package of another updater that is `signed` as a component of ours."""
    plain = PurePath(name).name
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in plain)[-100:].lstrip("._-")
    if component != FIRMWARE and (signed or PurePath(name).suffix.lstrip(".").lower() not in PACKAGES):
        return Upload(data, "", "", IMAGE, safe or "file", str(component))
    found = read_image(data, name, model)
    kind = found.kind if found.kind in PACKAGES else IMAGE
    says = (found.version, found.compatible) if kind != IMAGE else ("", ())
    return Upload(found.image, "", "", kind, safe or "image", str(component), says=says[0], compatible=says[1])
