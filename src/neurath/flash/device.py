"""Why a raw device cannot hold a terminal's flash, in words. It knows what a device says of itself (core/ports/device.h); it
must never write to one. Spec: docs/spec/device.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurath.flash._core import ffi, lib

_MISFITS = {
    1: "it has {size:,} bytes, the memory map {map:,}",
    2: "it is no NOR flash",
    3: "it erases or writes {grain:,} bytes at once, which is not what sectors and pages of the memory map are made of",
    4: "it programs {write} bytes at once, more than the write unit of the memory map",
    5: "it erases to 0xFF, the memory map says 0x00",
}


def misfit(layout: Any, size: int, path: Path) -> str:
    """Why the device at `path` cannot hold this map (struct nrt_layout *, `size` bytes in all); "" for a file."""
    seen = ffi.new("struct nrt_device *")
    if lib.nrt_device_look(str(path).encode(), seen) < 0:
        return "it cannot be read, or is no flash"
    if seen.kind == lib.NRT_DEVICE_FILE:
        return ""
    fault = lib.nrt_device_fits(seen, layout)
    if fault == lib.NRT_DEVICE_FITS:
        return "it is in use (mounted?), or may not be written"
    return _MISFITS[fault].format(size=seen.size, map=size, grain=seen.grain, write=seen.write)
