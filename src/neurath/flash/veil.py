"""Files under a key that one terminal can open, as the core opens them: a key derived from the device key, and the
unwrapping. It knows how bytes become calls of core/src/veil.c; it must never hold a rule of its own."""

from __future__ import annotations

from neurath.flash._core import ffi, lib
from neurath.flash.native import demand

MAGIC = b"NRV\1"
KEY = 16
WRAPPED = 24
#: Before the hidden file, where its key is wrapped under a derived one.
HEADER = 64


def is_veiled(data: bytes | memoryview) -> bool:
    """Whether these bytes begin as a veiled file does."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def derived(device_key: bytes) -> bytes:
    """What a terminal's files are wrapped under, out of its device key (docs/spec/veil.md 3)."""
    out = ffi.new("uint8_t[16]")
    lib.nrt_veil_derive(device_key, out)
    return bytes(out)


def unwrapped(kek: bytes, wrapped: bytes) -> bytes:
    """The key in a wrapped one (RFC 3394); TrustError where it was wrapped under another, or changed."""
    out = ffi.new("uint8_t[16]")
    demand(lib.nrt_veil_unwrap(kek, wrapped, out), "this file is veiled for another terminal")
    return bytes(out)
