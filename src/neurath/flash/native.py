"""The C core and a NOR flash as Python objects. It knows how values become C structures and results become errors; it must
never hold a rule of its own: every decision is made in core/src."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from neurath.errors import DataError, FlashError, LinkError, NeurathError, RefusedError, TrustError
from neurath.flash._core import ffi as ffi
from neurath.flash._core import lib as lib
from neurath.flash.bank import MAX_BOOTS, Facts, Fate, ImageRecord, Reset, Target, Why
from neurath.flash.device import misfit
from neurath.flash.geometry import Layout
from neurath.flash.structs import c_image, c_layout, c_target, image_value, target_value
from neurath.flash.trust import Birth, birth_value, c_birth, signature_holds, verify_callback

__all__ = [
    "MAX_BOOTS",
    "Birth",
    "Core",
    "Facts",
    "Fate",
    "ImageRecord",
    "Nor",
    "PowerCut",
    "Reset",
    "Target",
    "Why",
    "bank_size",
    "check_layout",
    "need",
    "unit_spans",
]

#: How a torn operation may end (enum nrt_cut_kind).
KINDS = {"before": 1, "early": 2, "late": 3, "after": 4, "random": 5, "weak": 6, "meta": 7, "ghost": 8}


class PowerCut(Exception):  # noqa: N818 (an event of the world, not an error of ours)
    """Power failed in this call. The object that made it is dead: make a new Core and power_up()."""


def check_layout(layout: Layout) -> None:
    """DataError when the core cannot keep its promises on this map."""
    demand(lib.nrt_layout_check(c_layout(layout)), "this memory map cannot be updated in place")


def bank_size(layout: Layout) -> int:
    """Bytes of image the bank can hold, as the core counts."""
    return int(lib.nrt_bank_size(c_layout(layout)))


def unit_spans(layout: Layout) -> list[tuple[int, int]]:
    """(image offset, length) of every commit unit, in image order."""
    raw, span = c_layout(layout), ffi.new("struct nrt_span *")
    spans = []
    for unit in range(lib.nrt_unit_count(raw)):
        demand(lib.nrt_unit_span(raw, unit, span), "the memory map has no such unit")
        spans.append((span.base, span.len))
    return spans


def profiles() -> int:
    """Bit n: this core decodes update files of profile n."""
    return int(lib.nrt_profiles())


def need(layout: Layout, image_size: int, file_size: int, workspace: int, staged_in_ram: bool) -> int:
    """RAM in bytes that an update takes (docs/spec/need.md), 0xFFFFFFFF when the layout cannot take it at all."""
    return int(lib.nrt_need(c_layout(layout), image_size, file_size, workspace, staged_in_ram))


# ---- flash -------------------------------------------------------------------------------------------------------------


class Nor:
    """NOR flash in memory or in one file that holds the whole of it; obeys the chip's rules and tears where told to.

    Addresses are flash addresses. `violations` counts what no chip allows (a second program, a write off the grid or
    outside bank, log and scratch) and is 0 at all times.
    """

    def __init__(self, layout: Layout, raw: Any) -> None:
        self.layout = layout
        self.raw = raw

    @classmethod
    def memory(cls, layout: Layout, *, ecc: bool = False) -> Self:
        """A blank chip in memory; with `ecc`, torn units cannot be read."""
        return cls(layout, _opened(lib.nrt_nor_open(c_layout(layout), ffi.NULL, 0, ecc), "memory"))

    @classmethod
    def file(cls, layout: Layout, path: Path | str, *, create: bool = False) -> Self:
        """The chip in a file; with `create` a new blank one. Or the chip behind a raw device (docs/spec/device.md), which is
        there already. FileExistsError, FileNotFoundError, DataError (wrong size, or a device that cannot hold this map)."""
        path = Path(path)
        if create and path.exists():
            raise FileExistsError(17, "File exists", str(path))
        if not create and not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        raw = lib.nrt_nor_open(c_layout(layout), str(path).encode(), create, 0)
        why = misfit(c_layout(layout), layout.size, path) if raw == ffi.NULL else ""
        return cls(layout, _opened(raw, str(path), why))

    def close(self) -> None:
        """Gives memory or file back; the object is of no use afterwards."""
        self.raw = None

    def wipe(self) -> None:
        """Erases a raw device whole: the hands of the factory. DataError for a file or memory."""
        demand(lib.nrt_nor_wipe(self.raw), "this flash cannot be wiped")

    def read_raw(self, addr: int, count: int) -> bytes:
        """What the cells hold, past every rule."""
        out = ffi.new("uint8_t[]", max(count, 1))
        demand(lib.nrt_nor_peek(self.raw, addr, out, count), f"no flash at 0x{addr:x}")
        return bytes(ffi.buffer(out, count))

    def write_raw(self, addr: int, data: bytes) -> None:
        """Puts bytes there, past every rule: the hands of the factory, or of a test."""
        demand(lib.nrt_nor_poke(self.raw, addr, data, len(data)), f"no flash at 0x{addr:x}")

    @property
    def operations(self) -> int:
        """Erases and programs so far."""
        return int(lib.nrt_nor_operations(self.raw))

    @property
    def violations(self) -> int:
        """Operations that no chip allows."""
        return int(lib.nrt_nor_violations(self.raw))

    def erases(self, addr: int) -> int:
        """Erases so far of the sector that holds this address."""
        return int(lib.nrt_nor_erases(self.raw, addr))

    def programs(self, addr: int) -> int:
        """Program operations so far in the sector that holds this address."""
        return int(lib.nrt_nor_programs(self.raw, addr))

    def forget(self) -> None:
        """Sets all counters to 0."""
        lib.nrt_nor_forget(self.raw)

    def cut_at(self, after: int, kind: str = "before", seed: int = 0) -> None:
        """The operation `after` ones from now (0: the next) is torn: the call it is part of raises PowerCut."""
        lib.nrt_nor_cut(self.raw, after, KINDS[kind], seed, 0)

    def kill_at(self, after: int, kind: str = "early", seed: int = 0) -> None:
        """The operation `after` ones from now is torn and this process ends by SIGKILL; for a flash in a file."""
        lib.nrt_nor_cut(self.raw, after, KINDS[kind], seed, 1)

    def no_cut(self) -> None:
        """Takes an ordered cut back."""
        lib.nrt_nor_cut(self.raw, 0, 0, 0, 0)

    def flip_at(self, after: int, memory: Any, bit: int) -> None:
        """Just before the operation `after` ones from now (0: the next), this bit of `memory` (uint8_t[]) changes."""
        lib.nrt_nor_flip(self.raw, after, memory + bit // 8, 1 << bit % 8)

    def power(self, how: int = 0) -> None:
        """Power comes back; 0: torn units read as before, 1: the other way, else by chance with this seed."""
        lib.nrt_nor_power(self.raw, how)

    def fault(self, addr: int, *, silent: bool = False) -> None:
        """From now on this sector fails: loudly (an error) or silently (a bit does not take)."""
        lib.nrt_nor_fault(self.raw, addr, lib.NRT_FAULT_SILENT if silent else lib.NRT_FAULT_LOUD)


def _opened(raw: Any, name: str, why: str = "") -> Any:
    if raw == ffi.NULL:
        why = why or "its size is not that of the memory map"
        raise DataError(f"cannot use {name} as flash", why, "check the model", id="NRT-222")
    return ffi.gc(raw, lib.nrt_nor_close)


# ---- the core ----------------------------------------------------------------------------------------------------------


class Core:
    """One power-up of one terminal. After PowerCut it is dead: make another one on the same Nor.

    Results below 0 raise: TrustError, DataError (format, digest, base, bound, gone), RefusedError (space, state),
    FlashError, LinkError (the staged file could not be read).
    """

    def __init__(self, layout: Layout, nor: Nor, verify: Callable[[int, bytes, bytes, bytes], bool] | None = None) -> None:
        self.layout = layout
        self.nor = nor
        self.raw = ffi.new("struct nrt_core *")
        self._verify = verify_callback(verify or signature_holds)
        lib.nrt_nor_set_verify(nor.raw, ffi.NULL, self._verify)

    def provision(self, image: ImageRecord | None = None) -> None:
        """Writes a first state log: it knows `image` as confirmed, or nothing."""
        now = c_image(image) if image else ffi.NULL
        self._demand(lib.nrt_host_provision(self.raw, self.nor.raw, now), "the state log could not be made")

    def power_up(self, reset: Reset = Reset.POWER) -> Fate:
        """Mounts the log, recovers (R0 to R2), counts boots; afterwards `facts` is true."""
        fate = ffi.new("int *")
        self._demand(lib.nrt_host_power_up(self.raw, self.nor.raw, int(reset), fate), "power-up failed")
        return Fate(fate[0])

    @property
    def facts(self) -> Facts:
        """What the state log says now."""
        raw = self.raw.facts
        return Facts(
            installed=image_value(raw.installed),
            confirmed=image_value(raw.confirmed),
            target=target_value(raw.target),
            installs=raw.installs,
            serial=raw.serial,
            key_list=raw.key_list,
            commit=raw.commit,
            done=raw.done,
            failed_proofs=raw.failed_proofs,
            failed=bytes(raw.failed),
            boots=raw.boots,
            candidate=bool(raw.candidate),
            restoring=bool(raw.restoring),
            broken=Why(raw.broken),
            resume=bool(raw.resume),
            hybrid=bool(raw.hybrid),
        )

    def prove(self, file: bytes, target: Target, ram: int) -> None:
        """G4 and G5 in `ram` bytes; the bank is untouched."""
        self._work(lib.nrt_host_prove, "the update file was refused", file, ram, target)

    def rewrite(self, file: bytes, target: Target, ram: int) -> None:
        """Proves, then rewrites the bank; afterwards it holds the target as a candidate."""
        self._work(lib.nrt_host_rewrite, "the rewrite stopped", file, ram, target)

    def resume(self, file: bytes, ram: int) -> None:
        """Goes on with the open plan; `file` must be the very file it was begun with."""
        self._work(lib.nrt_host_resume, "the rewrite could not go on", file, ram)

    def rescue(self, file: bytes, target: Target, ram: int) -> None:
        """Goes on from what the bank holds with a resume delta made for just that."""
        self._work(lib.nrt_host_rescue, "the rewrite could not go on", file, ram, target)

    def veil(self, start: int, key: bytes) -> None:
        """From now on a file is hidden from `start` on under this key (docs/spec/veil.md); 0: it is not."""
        lib.nrt_host_veil(self.nor.raw, start, key or ffi.NULL)

    def trust(self, birth: Birth, *, only_signed: bool) -> None:
        """Whose signatures count on files: of this birth record. `only_signed`: what none of them signed is refused."""
        lib.nrt_host_trust(self.nor.raw, c_birth(birth), only_signed)

    def _work(self, call: Any, what: str, file: bytes, ram: int, target: Target | None = None) -> None:
        """One of the four with so much RAM lent, which the core has let go of when it returns."""
        mem, lent = _ram(ram)
        told = () if target is None else (c_target(target),)
        code = call(self.raw, self.nor.raw, file, len(file), *told, lent)
        self.raw.plan = ffi.NULL
        del mem
        self._demand(code, what)

    def bank_digest(self, size: int) -> bytes:
        """SHA-256 of the first `size` bytes of image in the bank, as they are now."""
        self._open()
        out = ffi.new("uint8_t[32]")
        self._demand(lib.nrt_bank_digest(self.raw, size, out), "the bank could not be read")
        return bytes(out)

    def bank_bytes(self, size: int) -> bytes:
        """The first `size` bytes of image in the bank, as they are now."""
        parts, left = [], size
        for span in self.layout.bank:
            parts.append(self.nor.read_raw(span.base, min(left, span.length)))
            left -= len(parts[-1])
        if left:
            raise DataError("the bank is not that large", f"{size} bytes were asked for", id="NRT-223")
        return b"".join(parts)

    def confirm(self) -> None:
        """The running image works: candidate becomes confirmed, the floor rises."""
        self._demand(lib.nrt_host_confirm(self.raw, self.nor.raw), "nothing can be confirmed now")

    def give_up(self, why: Why) -> None:
        """Restoration state, with this reason."""
        self._demand(lib.nrt_host_give_up(self.raw, self.nor.raw, int(why)), "the reason could not be recorded")

    def accept_serial(self, serial: int) -> None:
        """This ticket serial is used; TrustError for the same or a lower one."""
        self._demand(lib.nrt_host_accept_serial(self.raw, self.nor.raw, serial), "this ticket was used before")

    def accept_key_list(self, version: int) -> None:
        """Key lists up to this version are taken; TrustError for the same or a lower one."""
        self._demand(lib.nrt_host_accept_key_list(self.raw, self.nor.raw, version), "this key list was taken before")

    def birth(self) -> Birth:
        """The birth record; DataError where there is none."""
        self._open()
        out = ffi.new("struct nrt_birth *")
        port = lib.nrt_nor_port(self.nor.raw)
        self._demand(lib.nrt_birth_read(lib.nrt_nor_layout(self.nor.raw), port, out), "no birth record")
        return birth_value(out)

    def write_birth(self, birth: Birth) -> None:
        """Writes the birth record, once: RefusedError where the area is not erased."""
        port = lib.nrt_nor_port(self.nor.raw)
        raw = c_birth(birth)
        code = lib.nrt_birth_write(lib.nrt_nor_layout(self.nor.raw), port, raw)
        self._demand(code, "the birth record could not be written")

    def _open(self) -> None:
        if self.raw.layout == ffi.NULL:
            self.raw.layout = lib.nrt_nor_layout(self.nor.raw)
            self.raw.port = lib.nrt_nor_port(self.nor.raw)

    def _demand(self, code: int, what: str) -> None:
        if code == lib.NRT_CUT:
            raise PowerCut(what)
        demand(code, what)


def write_bank(nor: Nor, image: bytes) -> None:
    """Puts an image into the bank with the factory's hands."""
    if len(image) > nor.layout.bank_size:
        raise DataError("the image does not fit the bank", f"{len(image)} bytes into {nor.layout.bank_size}", id="NRT-224")
    at = 0
    for span in nor.layout.bank:
        part = image[at : at + span.length]
        if part:
            nor.write_raw(span.base, part)
        at += len(part)


# ---- memory and errors -------------------------------------------------------------------------------------------------


def _ram(count: int) -> tuple[Any, Any]:
    mem = ffi.new("uint8_t[]", max(count, 1))
    return mem, ffi.new("struct nrt_ram *", {"mem": mem, "len": count})[0]


_ERRORS: dict[int, tuple[type[NeurathError], str, str]] = {
    -1: (DataError, "an argument breaks the core's contract", "NRT-230"),
    -2: (DataError, "the bytes are not what they claim to be", "NRT-231"),
    -3: (RefusedError, "RAM, scratch or state log is too small for this plan", "NRT-310"),
    -4: (FlashError, "an erase or a program failed, or read back differently", "NRT-501"),
    -5: (FlashError, "the flash reports an uncorrectable read", "NRT-502"),
    -6: (DataError, "the plan reads bytes that it has erased by then", "NRT-232"),
    -7: (DataError, "the content differs from its digest", "NRT-233"),
    -8: (DataError, "the bank does not hold the base this file was made for", "NRT-234"),
    -9: (TrustError, "signature, key, class, serial or floor says no", "NRT-252"),
    -10: (RefusedError, "not allowed in this state", "NRT-311"),
    -11: (DataError, "the file asks for more work than its size allows", "NRT-235"),
    -12: (LinkError, "the staged file could not be read", "NRT-410"),
}


def demand(code: int, what: str) -> None:
    """Nothing for a result >= 0, else the error it stands for."""
    if code >= 0:
        return
    kind, why, name = _ERRORS.get(code, (FlashError, f"the core answers {code}", "NRT-500"))
    raise kind(what, why, "docs/reference/errors.md", id=name)
