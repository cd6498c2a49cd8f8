"""Whom a terminal without files believes: its birth record, and the lists of keys it took since the power came, as the core
judges them. It knows C structures and who owns them; every rule is in core/src/keylist.c (docs/spec/keylist.md 7)."""

from __future__ import annotations

from neurath.errors import RefusedError
from neurath.flash._core import ffi, lib
from neurath.flash.native import Core, PowerCut, demand
from neurath.flash.trust import Birth, birth_value, c_birth


class Listed:
    """One power-up of a terminal; `core` is powered up. After PowerCut it is dead, as its core is."""

    def __init__(self, core: Core, birth: Birth) -> None:
        if core.raw.port == ffi.NULL:
            raise RefusedError("no key list can be taken", "this terminal has not been powered up")
        self._core = core
        self.raw = ffi.new("struct nrt_keys *")
        lib.nrt_keys_begin(self.raw, core.raw, c_birth(birth))

    @property
    def version(self) -> int:
        """Of the last list taken since the power came, 0: none."""
        return int(self.raw.version)

    @property
    def birth(self) -> Birth:
        """The birth record with the keys that count now."""
        return birth_value(ffi.addressof(self.raw.now))

    def take(self, raw: bytes) -> None:
        """The next list. DataError: it is none; RefusedError: not the next one; TrustError: others signed it, or too few;
        FlashError: its version could not be written."""
        given = ffi.new("uint8_t[]", raw)  # of its exact length
        code = lib.nrt_host_keys_take(self.raw, self._core.nor.raw, given, len(raw))
        if code == lib.NRT_CUT:
            raise PowerCut("the power was cut while a list of keys was taken")
        demand(code, f"key list {self.version + 1} was not taken")
