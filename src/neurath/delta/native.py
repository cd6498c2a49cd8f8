"""The core's view of an update file, from Python: header, commit units, decoding with the old image whole. It knows the C
structures; it must never decode by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import neurath.flash._core as _core
from neurath.delta.format import Kind
from neurath.errors import DataError, NeurathError, RefusedError
from neurath.flash.geometry import Layout
from neurath.flash.native import need as core_need
from neurath.flash.native import unit_spans
from neurath.flash.structs import c_layout

_WHY = {
    _core.lib.NRT_E_FORMAT: "a field in it is impossible, or it is made for another memory map",
    _core.lib.NRT_E_SPACE: "its images do not fit this bank",
    _core.lib.NRT_E_BOUND: "it asks for more than its size allows",
    _core.lib.NRT_E_GONE: "it reads old bytes that are gone by then",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the core reads in a header, for one memory map. Sizes in bytes; `workspace` is the decoder's RAM."""

    profile: int
    old_size: int
    new_size: int
    base: int
    crc: int
    group: int
    units: int
    saves: int
    segments: int
    workspace: int
    apart: bool
    joint: int
    resume: bool
    hybrid: bool
    slide: bool
    room: int = 0

    @property
    def decoder(self) -> int:
        """RAM of the decoder alone: resume mode keeps a commit unit beside it."""
        return self.workspace - self.room

    @property
    def kind(self) -> Kind:
        return "delta" if self.old_size else "full"


def units(layout: Layout) -> list[tuple[int, int]]:
    """Image offsets (start, end) of every commit unit, in image order."""
    return [(start, start + length) for start, length in unit_spans(layout)]


def joint_most(layout: Layout) -> int:
    """How many commit units this memory map can commit at once (nrt_joint_most())."""
    return int(_core.lib.nrt_joint_most(c_layout(layout)))


def header(data: bytes, layout: Layout) -> Header:
    """The header of an update file, checked as the terminal checks it; DataError or RefusedError."""
    c, (file, *_alive) = c_layout(layout), _file(data)
    head = _core.ffi.new("struct nrt_header *")
    _checked(_core.lib.nrt_unpack_header(c, file, head))
    return Header(
        profile=head.profile,
        old_size=head.old_size,
        new_size=head.new_size,
        base=head.base,
        crc=head.crc,
        group=head.group,
        units=head.n_order,
        saves=head.n_saves,
        segments=head.n_segments,
        workspace=head.workspace,
        apart=bool(head.apart),
        joint=head.joint,
        resume=bool(head.resume),
        hybrid=bool(head.hybrid),
        room=head.room,
        slide=bool(head.slide),
    )


def need(layout: Layout, image_size: int, file_size: int, workspace: int, *, staged_in_ram: bool) -> int:
    """nrt_need(): RAM in bytes an update takes; RefusedError where this memory map cannot take it at all."""
    n = core_need(layout, image_size, file_size, workspace, staged_in_ram)
    if n == 0xFFFFFFFF:
        raise RefusedError(
            "this memory map cannot take the update",
            f"an image of {image_size} B, a bank of {layout.bank_size} B, {layout.scratch.length} B of scratch flash",
            "see docs/spec/need.md",
            id="NRT-383",
        )
    return n


def decode_apart(old: bytes, data: bytes, layout: Layout) -> bytes:
    """The new image, decoded by the core with the old image whole: nothing in place, no digest checked."""
    head = header(data, layout)
    room = need(layout, head.new_size, len(data), head.workspace, staged_in_ram=False)
    ram = _core.ffi.new("uint8_t[]", room)
    before, after = _bytes(old), _bytes(data)
    out = bytearray(old[: head.new_size].ljust(head.new_size, bytes((layout.erased,))))
    target = _core.ffi.from_buffer(out, require_writable=True)
    lent = _core.ffi.new("struct nrt_ram *", {"mem": ram, "len": room})
    _checked(_core.lib.nrt_decode_apart(c_layout(layout), before[0], after[0], lent[0], target, head.new_size))
    return bytes(out)


def _bytes(data: bytes) -> tuple[Any, Any]:
    """struct nrt_bytes over `data`, and what keeps it alive."""
    view = _core.ffi.from_buffer(data)
    return _core.ffi.new("struct nrt_bytes *", {"data": _core.ffi.cast("uint8_t *", view), "size": len(data)}), view


def _file(data: bytes) -> tuple[Any, Any, Any]:
    held, view = _bytes(data)
    read = _core.ffi.addressof(_core.lib, "nrt_bytes_read")
    return _core.ffi.new("struct nrt_file *", {"ctx": held, "size": len(data), "read": read}), held, view


def _checked(result: int) -> None:
    if result >= 0:
        return
    kind: type[NeurathError] = RefusedError if result == _core.lib.NRT_E_SPACE else DataError
    hint = "fetch it again, or make it for this memory map with `neurath delta create`"
    raise kind("this update file cannot be used here", _WHY.get(result, f"the core says {result}"), hint, id="NRT-281")
