"""Block parity of a staged file, made and used by the core: one damaged block of 512 bytes can be mended. It knows buffers;
it must never decide what a damaged file means. Spec: docs/spec/staging.md."""

from __future__ import annotations

from neurath.errors import DataError
from neurath.flash._core import ffi, lib


def size(file_size: int) -> int:
    """Bytes of parity for a file of this many bytes."""
    return int(lib.nrt_parity_size(file_size))


def make(file: bytes | bytearray | memoryview, parity: bytearray | memoryview) -> None:
    """Fills `parity` (of `size(len(file))` bytes) from the file."""
    room = ffi.from_buffer("uint8_t[]", parity, require_writable=True)
    lib.nrt_parity_make(ffi.from_buffer("uint8_t[]", file), len(file), room)


def mend(file: bytearray | memoryview, parity: bytes | bytearray | memoryview) -> int:
    """Repairs at most one damaged block in place and says how many it repaired; DataError when more are damaged."""
    mended = ffi.new("uint32_t *")
    area = ffi.from_buffer("uint8_t[]", file, require_writable=True)
    if lib.nrt_parity_mend(area, len(file), ffi.from_buffer("uint8_t[]", parity), mended) != 0:
        raise DataError(
            "the staged file is damaged", "more than one block differs from its parity", "it is fetched anew", id="NRT-272"
        )
    return int(mended[0])
