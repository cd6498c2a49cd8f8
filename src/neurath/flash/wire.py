"""The restoration responder of the core on a host: bytes of the line in, bytes of the line out. It knows buffers and who owns
them; everything that is decided is decided in C (docs/spec/smp.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neurath.errors import DataError
from neurath.flash._core import ffi, lib
from neurath.flash.bank import Fate
from neurath.flash.geometry import Layout
from neurath.flash.listed import Listed
from neurath.flash.native import Core, PowerCut, demand
from neurath.flash.trust import Birth, PublicKey, c_birth, fill_key

#: What the fixed part and the longest envelope of a package take before its leaf list (docs/spec/restoration.md 3).
_HEADER = 16 + 350
#: Phases of struct nrt_restore (core/src/restore.c).
_IN_BODY, _WHOLE = 3, 4


def ram_needed(layout: Layout, image_size: int | None = None) -> int:
    """RAM in bytes a restoration takes for an image of this size (default: the whole bank): leaf list and one leaf, or the
    header while it is checked."""
    leaves = 16 * -(-(layout.bank_size if image_size is None else image_size) // layout.leaf)
    return leaves + max(_HEADER, layout.leaf)


@dataclass(frozen=True, slots=True)
class Maker:
    """What a terminal makes its device key with: 32 bytes nobody can foretell (b"": it is dead), and the public half of
    such a seed."""

    noise: Callable[[], bytes]
    public: Callable[[bytes], PublicKey]


class SmpServer:
    """One power-up of the responder. Feed it what comes on the line; answers leave through `put`, line by line.

    `birth` None: the terminal has lost its identity; it identifies itself as nameless and takes an enrolment; with a `maker`
    it makes its key itself. `ram` is what is lent to a restoration, `buffer` the longest frame (512 to 65535 bytes). With
    `aid` bytes of RAM it takes resume deltas too, with `lists` bytes lists of keys; 0: in the restoration's own, None: no
    lists. After PowerCut it is dead, as its core is.
    """

    def __init__(  # noqa: PLR0913 (one call for one C call: nrt_smp_init)
        self,
        core: Core,
        birth: Birth | None,
        put: Callable[[bytes], None],
        fate: Fate,
        ram: int | None = None,
        buffer: int = 1024,
        maker: Maker | None = None,
        aid: int = 0,
        lists: int | None = None,
    ) -> None:
        if not 512 <= buffer <= 65535:
            raise DataError(f"a frame buffer of {buffer} bytes", "512 to 65535 are possible", "use 1024", id="NRT-295")
        size = ram_needed(core.layout) if ram is None else ram
        self.core = core
        self._raw = ffi.new("struct nrt_smp *")
        self._birth = c_birth(birth) if birth else ffi.NULL
        self._memory = ffi.new("uint8_t[]", max(size, 1)), ffi.new("uint8_t[]", buffer)
        self._put = ffi.callback(
            "void(void *, const uint8_t *, uint32_t)", lambda _ctx, data, count: put(bytes(ffi.buffer(data, count)))
        )
        lib.nrt_smp_init(
            self._raw,
            core.raw,
            self._birth,
            _ram(self._memory[1], buffer),
            _ram(self._memory[0], size),
            int(fate),
            self._put,
            ffi.NULL,
        )
        self._maker = _maker(maker) if maker else None
        if self._maker is not None:
            self._raw.maker = self._maker[0]
        if aid:
            self._aid = ffi.new("uint8_t[]", aid), ffi.new("struct nrt_aid *")
            lib.nrt_smp_aid(self._raw, self._aid[1], _ram(self._aid[0], aid))
        if lists is not None and birth is not None:
            self._listed = Listed(core, birth)
            self._lists = ffi.new("uint8_t[]", lists) if lists else self._memory[0]
            lib.nrt_smp_keys(self._raw, self._listed.raw, _ram(self._lists, lists or size))

    def feed(self, data: bytes) -> None:
        """Takes bytes of the line, answers what is whole; PowerCut where the power was cut."""
        code = lib.nrt_host_smp_feed(self._raw, self.core.nor.raw, data, len(data))
        if code == lib.NRT_CUT:
            raise PowerCut("the power was cut while the wire was served")
        demand(code, "the wire could not be served")

    @property
    def fate(self) -> Fate:
        """What the terminal is to do now; BOOT after a finished restoration."""
        return Fate(self._raw.fate)

    @property
    def reset(self) -> bool:
        """The tool asked for a restart."""
        return bool(self._raw.reset)

    @property
    def busy(self) -> bool:
        """A restoration was begun over this wire and is not finished: its header held, the log says so."""
        return int(self._raw.restore.phase) == _IN_BODY

    @property
    def restored(self) -> bool:
        """A restoration over this wire ended with a whole, judged bank."""
        return int(self._raw.restore.phase) == _WHOLE

    @property
    def progress(self) -> tuple[int, int]:
        """(bytes of the package taken, bytes of the package); (0, 0) where none is under way."""
        return int(self._raw.restore.next), int(self._raw.restore.total)


def _ram(memory: Any, size: int) -> Any:
    return ffi.new("struct nrt_ram *", {"mem": memory, "len": size})[0]


def _maker(maker: Maker) -> tuple[Any, ...]:
    """The C structure, and what must live as long as it does."""

    def noise(_ctx: Any, out: Any) -> int:
        made = maker.noise()
        ffi.memmove(out, made, min(len(made), 32))
        return int(lib.NRT_OK if len(made) == 32 else lib.NRT_E_STATE)

    def public(_ctx: Any, seed: Any, out: Any) -> int:
        fill_key(out, maker.public(bytes(ffi.buffer(seed, 32))))
        return int(lib.NRT_OK)

    calls = (
        ffi.callback("int(void *, uint8_t *)", noise),
        ffi.callback("int(void *, const uint8_t *, struct nrt_key *)", public),
    )
    return ffi.new("struct nrt_maker *", {"ctx": ffi.NULL, "noise": calls[0], "public_key": calls[1]}), calls
