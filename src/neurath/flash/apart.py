"""An update file decoded beside its old image, which stays whole: how components that are files take a delta. It knows the
core's decoder; it must never judge what came out (the digest of the whole does)."""

from __future__ import annotations

from typing import Any

from neurath.errors import DataError
from neurath.flash._core import ffi, lib
from neurath.flash.geometry import Layout
from neurath.flash.native import need
from neurath.flash.structs import c_layout


def decode(old: bytes, data: bytes, layout: Layout) -> bytes:
    """The new image; DataError where the file is not whole, or made for another old one."""
    before, after = _bytes(old), _bytes(data)
    read = ffi.addressof(lib, "nrt_bytes_read")
    file = ffi.new("struct nrt_file *", {"ctx": after[0], "size": len(data), "read": read})
    head = ffi.new("struct nrt_header *")
    _demand(lib.nrt_unpack_header(c_layout(layout), file, head))
    room = need(layout, head.new_size, len(data), head.workspace, False)
    if head.old_size != len(old) or room == 0xFFFF_FFFF:
        raise _refused("it is made for another one")
    ram = ffi.new("uint8_t[]", room)
    out = bytearray(old[: head.new_size].ljust(head.new_size, bytes((layout.erased,))))
    lent = ffi.new("struct nrt_ram *", {"mem": ram, "len": room})
    target = ffi.from_buffer(out, require_writable=True)
    _demand(lib.nrt_decode_apart(c_layout(layout), before[0], after[0], lent[0], target, head.new_size))
    return bytes(out)


def _bytes(data: bytes) -> tuple[Any, Any]:
    """struct nrt_bytes over the data, and what keeps it alive."""
    view = ffi.from_buffer(data)
    return ffi.new("struct nrt_bytes *", {"data": ffi.cast("uint8_t *", view), "size": len(data)}), view


def _demand(code: int) -> None:
    if code < 0:
        raise _refused(f"the decoder answers {code}")


def _refused(why: str) -> DataError:
    return DataError("this delta does not fit what is installed", why, "check in again", id="NRT-219")
