"""A chip that is just enough for a birth record: NOR rules, torn sectors, a cut after a number of operations. It is a test's
own model, apart from the one in core/ports, so that the two judge one another."""

from __future__ import annotations

from typing import Any

from neurath.flash._core import ffi, lib
from neurath.flash.geometry import Layout


class Chip:
    """Flash of a layout; `left` operations before the power goes (None: never). A cut program leaves half its bytes."""

    def __init__(self, layout: Layout, left: int | None = None) -> None:
        self.layout = layout
        self.memory = bytearray([layout.erased]) * layout.size
        self.torn: set[int] = set()
        self.left = left
        self.operations: list[tuple[str, int, int]] = []
        self._keep = (
            ffi.callback("int(void *, uint32_t, uint8_t *, uint32_t)", self._read),
            ffi.callback("int(void *, uint32_t)", self._erase),
            ffi.callback("int(void *, uint32_t, const uint8_t *, uint32_t)", self._program),
        )
        self.port = ffi.new("struct nrt_port *", dict(zip(("read", "erase", "program"), self._keep, strict=True)))
        self.map = self._map()

    def _map(self) -> Any:
        out = ffi.new("struct nrt_layout *")
        for place, region in zip(out.region, self.layout.regions, strict=False):
            place.base, place.size, place.count = region.base, region.size, region.count
        out.n_regions = len(self.layout.regions)
        out.birth.base, out.birth.len = self.layout.birth.base, self.layout.birth.length
        out.write_unit, out.page, out.erased = self.layout.write_unit, self.layout.page, self.layout.erased
        return out

    def _spend(self) -> bool:
        if self.left is not None:
            self.left -= 1
        return self.left is not None and self.left < 0

    def _read(self, _ctx: Any, addr: int, buf: Any, length: int) -> int:
        if any(addr <= t < addr + length for t in self.torn):
            return int(lib.NRT_E_TORN)
        ffi.buffer(buf, length)[:] = bytes(self.memory[addr : addr + length])
        return 0

    def _erase(self, _ctx: Any, addr: int) -> int:
        if self._spend():
            return int(lib.NRT_E_FLASH)
        size = next(r.size for r in self.layout.regions if r.base <= addr < r.end)
        self.operations.append(("erase", addr, size))
        self.memory[addr : addr + size] = bytes([self.layout.erased]) * size
        self.torn -= set(range(addr, addr + size))
        return 0

    def _program(self, _ctx: Any, addr: int, data: Any, length: int) -> int:
        cut = self._spend()
        given = bytes(ffi.buffer(data, length))[: length // 2 if cut else length]
        blank = bytes([self.layout.erased]) * len(given)
        legal = addr % self.layout.write_unit == 0 and length % self.layout.write_unit == 0
        legal = legal and addr // self.layout.page == (addr + length - 1) // self.layout.page
        if not legal or bytes(self.memory[addr : addr + len(given)]) != blank:
            raise AssertionError("a program against the rules of the chip")
        self.operations.append(("program", addr, length))
        self.memory[addr : addr + len(given)] = given
        return int(lib.NRT_E_FLASH) if cut else 0
