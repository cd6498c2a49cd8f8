"""A terminal that cannot boot, as the core sees it: what to ask, and what an answer says once it is checked. It knows how
values become C structures; it must never hold a rule of its own (core/src/question.c has them)."""

from __future__ import annotations

from neurath.flash._core import ffi, lib
from neurath.flash.bank import Target
from neurath.flash.native import Core, demand
from neurath.flash.structs import target_value
from neurath.flash.trust import Birth, c_birth

#: Bytes of a question beside the description of the bank (docs/spec/rescue.md 3).
FIXED = 44


def torn(core: Core) -> tuple[int, int] | None:
    """Image offset and length of the sector that a cut left open in resume mode; None: there is none."""
    span = ffi.new("struct nrt_span *")
    demand(lib.nrt_torn(core.raw, span), "the memory map has no such sector")
    return (span.base, span.len) if span.len else None


def description(core: Core) -> bytes:
    """What the bank holds in mid-rewrite, for whoever builds the file that goes on from there (docs/spec/rescue.md 2)."""
    room = lib.nrt_hybrid_len(core.raw)
    out = ffi.new("uint8_t[]", room)
    demand(lib.nrt_hybrid(core.raw, out, room), "the bank could not be read")
    return bytes(ffi.buffer(out))


def question(core: Core, birth: Birth) -> bytes:
    """What to ask the server, where a plan is open or an image was given up."""
    room = FIXED + lib.nrt_hybrid_len(core.raw)
    out, used = ffi.new("uint8_t[]", room), ffi.new("uint32_t *")
    demand(lib.nrt_question(core.raw, c_birth(birth), out, room, used), "the bank could not be read")
    return bytes(ffi.buffer(out, used[0]))


def answer(core: Core, birth: Birth, data: bytes) -> Target:
    """What the terminal is to become, by the file target.file: signatures, G1 and the ticket's gate have passed. TrustError,
    DataError."""
    out = ffi.new("struct nrt_target *")
    demand(lib.nrt_answer(core.raw, c_birth(birth), data, len(data), out), "this answer was refused")
    return target_value(out)
