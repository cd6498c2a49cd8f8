"""The memory map of a model of terminal, as people write it (TOML) and as the core takes it. It knows regions, spans and
their rules; it must never touch flash. Spec: docs/spec/layout.md."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from neurath import toml
from neurath.errors import DataError
from neurath.flash import isas
from neurath.ids import FIRMWARE, ModelName, checked_name

RescueClass = Literal["modem", "staged", "wire"]
Mode = Literal["scratch", "resume"]

MAX_REGIONS = 8
MAX_BANK = 4
GROUP = 16384
LEAF = 4096


@dataclass(frozen=True, slots=True)
class Region:
    """`count` erase sectors of `size` bytes from flash address `base` up."""

    base: int
    size: int
    count: int

    @property
    def end(self) -> int:
        return self.base + self.size * self.count


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes of flash from address `base` up."""

    base: int = 0
    length: int = 0

    @property
    def end(self) -> int:
        return self.base + self.length


@dataclass(frozen=True, slots=True)
class Layout:
    """Geometry of the whole flash of a terminal; mirrors struct nrt_layout. Every span is whole sectors; what no span
    names is foreign and is kept byte for byte. `resume`: files in resume mode may be rewritten here (docs/spec/rescue.md).
    `code`: instruction sets of flash.isas that its core predicts, ascending; files for others it refuses."""

    regions: tuple[Region, ...]
    bank: tuple[Span, ...]
    log: tuple[Span, Span]
    birth: Span = Span()
    scratch: Span = Span()
    stage: Span = Span()
    write_unit: int = 4
    page: int = 256
    group: int = GROUP
    leaf: int = LEAF
    erased: int = 0xFF
    resume: bool = False
    code: tuple[int, ...] = isas.ALL

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise DataError("this memory map cannot be updated in place", problem, "see docs/spec/layout.md", id="NRT-220")

    @property
    def bank_size(self) -> int:
        """Bytes of image the bank can hold."""
        return sum(span.length for span in self.bank)

    @property
    def size(self) -> int:
        """Bytes of flash from the lowest to the highest region's end."""
        return max(region.end for region in self.regions) - min(region.base for region in self.regions)


def _problem(layout: Layout) -> str:
    """What the core would refuse about this map, in words; empty when nothing."""
    if not 1 <= len(layout.regions) <= MAX_REGIONS or not 1 <= len(layout.bank) <= MAX_BANK:
        return f"1 to {MAX_REGIONS} regions and 1 to {MAX_BANK} bank spans are possible"
    if layout.erased not in (0x00, 0xFF):
        return "the erased value is 0xFF or 0x00"
    unit = layout.write_unit
    if unit not in (1, 2, 4, 8, 16, 32) or layout.page % unit or not 0 < layout.page <= 512:
        return "write unit is 1, 2, 4, 8, 16 or 32; page a multiple of it, at most 512"
    if layout.leaf <= 0 or layout.group % layout.leaf:
        return "a group is a whole number of leaves"
    for region in layout.regions:
        if region.size <= 0 or region.count <= 0 or region.size % layout.page:
            return f"sectors of region 0x{region.base:x} are not whole pages"
    return _span_problem(layout)


def _span_problem(layout: Layout) -> str:
    starts = {r.base + i * r.size for r in layout.regions for i in range(r.count)}
    ends = {r.base + (i + 1) * r.size for r in layout.regions for i in range(r.count)}
    used = [s for s in (*layout.bank, *layout.log, layout.birth, layout.scratch, layout.stage) if s.length]
    for span in used:
        if span.base not in starts or span.end not in ends:
            return f"span 0x{span.base:x}+0x{span.length:x} is not whole sectors of the regions"
    used.sort(key=lambda s: s.base)
    for left, right in itertools.pairwise(used):
        if left.end > right.base:
            return f"spans at 0x{left.base:x} and 0x{right.base:x} overlap"
    if not layout.log[0].length or layout.log[0].length != layout.log[1].length:
        return "the state log needs two spans of equal length"
    if layout.log[0].length < log_need(layout.write_unit):
        return f"a span of the state log needs {log_need(layout.write_unit)} bytes with this write unit"
    return ""


def log_need(write_unit: int) -> int:
    """The least length of a state-log span in bytes (nrt_log_need(), docs/spec/statelog.md 4)."""
    cell = max(8, write_unit)
    payloads = (4, 65, 60, 8, 1, 17, 122, 10, 1, 1, 0, *[10] * 5, 122)
    return sum(-(-(n + 6) // cell) * cell for n in payloads) + 32 + 2 * cell


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of terminal: its memory map, what it can lend, how it is rescued.

    `ram` is the most RAM in bytes a terminal of this model can lend; `vendor` and `klass` are the 16-byte ids of the
    envelope (RFC 9124); `address` is where the first byte of the bank is mapped for the processor. `veiled`: its update files
    are hidden from all but the terminal that each is for (docs/spec/veil.md). `signed`: it takes only those that a release key
    signed, each as a whole (docs/spec/signed.md).
    """

    name: ModelName
    layout: Layout
    ram: int
    rescue: RescueClass = "wire"
    mode: Mode = "scratch"
    vendor: bytes = b""
    klass: bytes = b""
    address: int = 0
    veiled: bool = False
    signed: bool = False

    def __post_init__(self) -> None:
        checked_name(self.name, "model")
        object.__setattr__(self, "layout", replace(self.layout, resume=self.mode == "resume"))
        # Ids derived from the name, unless the model names its own: the same model file gives the same ids everywhere.
        if not self.vendor:
            object.__setattr__(self, "vendor", _named(_DNS, "neurath"))
        if not self.klass:
            object.__setattr__(self, "klass", _named(self.vendor, self.name))

    def of_component(self, component: str) -> Model:
        """The model as envelopes of this component see it. Firmware is the model itself; any other component is a plain file
        with a class id of its own, so that no envelope of one component passes for another. docs/spec/envelope.md 3."""
        if component == FIRMWARE:
            return self
        return replace(self, klass=_named(self.klass, component), layout=file_layout(), mode="scratch")


#: The name space of host names (RFC 4122, appendix C).
_DNS = bytes.fromhex("6ba7b8109dad11d180b400c04fd430c8")


def _named(space: bytes, name: str) -> bytes:
    """The id of a name in a name space: UUID version 5 (RFC 4122 4.3). The library's own asks the system what it is to say the
    same, which an agent that starts has no time for."""
    made = bytearray(hashlib.sha1(space + name.encode(), usedforsecurity=False).digest()[:16])
    made[6], made[8] = made[6] & 0x0F | 0x50, made[8] & 0x3F | 0x80
    return bytes(made)


def model_from_toml(text: str) -> Model:
    """The model a TOML file describes, or DataError that names the field."""
    try:
        raw = toml.parse(text)
        return _model(raw)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as fault:
        raise DataError(
            "this is not a model file",
            f"{type(fault).__name__}: {fault}",
            "see docs/spec/layout.md for an example",
            id="NRT-221",
        ) from None


def _model(raw: dict[str, Any]) -> Model:
    if raw.get("rescue", "wire") not in ("modem", "staged", "wire") or raw.get("mode", "scratch") not in (
        "scratch",
        "resume",
    ):
        raise ValueError("rescue is modem, staged or wire; mode is scratch or resume")
    layout = Layout(
        regions=tuple(Region(int(r["base"]), int(r["size"]), int(r["count"])) for r in raw["region"]),
        bank=tuple(_span(s) for s in raw["bank"]),
        log=(_span(raw["log"][0]), _span(raw["log"][1])),
        birth=_span(raw.get("birth")),
        scratch=_span(raw.get("scratch")),
        stage=_span(raw.get("stage")),
        write_unit=int(raw.get("write_unit", 4)),
        page=int(raw.get("page", 256)),
        group=int(raw.get("group", GROUP)),
        leaf=int(raw.get("leaf", LEAF)),
        erased=int(raw.get("erased", 0xFF)),
        resume=raw.get("mode", "scratch") == "resume",
        code=_code(raw["code"]) if "code" in raw else isas.ALL,
    )
    return Model(
        name=ModelName(str(raw["name"])),
        layout=layout,
        ram=int(raw["ram"]),
        rescue=raw.get("rescue", "wire"),
        mode=raw.get("mode", "scratch"),
        vendor=uuid.UUID(raw["vendor"]).bytes if "vendor" in raw else b"",
        klass=uuid.UUID(raw["class"]).bytes if "class" in raw else b"",
        address=int(raw.get("address", 0)),
        veiled=_yes(raw.get("veiled", False)),
        signed=_yes(raw.get("signed", False)),
    )


def _yes(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise TypeError(f"true or false, not {raw!r}")
    return raw


def _span(raw: dict[str, int] | None) -> Span:
    return Span() if raw is None else Span(int(raw["base"]), int(raw["length"]))


def _code(raw: object) -> tuple[int, ...]:
    if not isinstance(raw, list):
        raise TypeError(f"code is a list of words, not {raw!r}")
    return isas.named(raw)


def model_to_toml(model: Model) -> str:
    """The same model as a TOML file; `model_from_toml` of it gives an equal model."""

    def span(value: Span) -> str:
        return f"{{ base = 0x{value.base:x}, length = 0x{value.length:x} }}"

    lay = model.layout
    lines = [
        f'name = "{model.name}"',
        f"ram = {model.ram}",
        f'rescue = "{model.rescue}"',
        f'mode = "{model.mode}"',
        f'vendor = "{uuid.UUID(bytes=model.vendor)}"',
        f'class = "{uuid.UUID(bytes=model.klass)}"',
        f"address = 0x{model.address:x}",
        f"write_unit = {lay.write_unit}",
        f"page = {lay.page}",
        f"group = {lay.group}",
        f"leaf = {lay.leaf}",
        f"erased = 0x{lay.erased:02x}",
        f"bank = [{', '.join(span(s) for s in lay.bank)}]",
        f"log = [{span(lay.log[0])}, {span(lay.log[1])}]",
    ]
    lines += [f"{policy} = true" for policy in ("veiled", "signed") if getattr(model, policy)]
    if lay.code != isas.ALL:
        words = ", ".join(f'"{isas.ISAS[isa]}"' for isa in lay.code)
        lines.append(f"code = [{words}]")
    optional = (("birth", lay.birth), ("scratch", lay.scratch), ("stage", lay.stage))
    lines += [f"{key} = {span(value)}" for key, value in optional if value.length]
    for region in lay.regions:
        lines += ["", "[[region]]", f"base = 0x{region.base:x}", f"size = {region.size}", f"count = {region.count}"]
    return "\n".join(lines) + "\n"


def simple_layout(image_room: int, *, sector: int = 4096, page: int = 256, scratch_sectors: int = 8, **more: Any) -> Layout:
    """A flat chip of equal sectors: birth, two log spans, scratch, then a bank with room for `image_room` bytes."""
    bank_sectors = -(-image_room // sector)
    group = more.setdefault("group", GROUP)
    # The last unit of the bank is a whole one, so that an image may grow inside its sectors.
    per_unit = max(1, group // sector)
    bank_sectors = -(-bank_sectors // per_unit) * per_unit
    log = sector * -(-log_need(more.get("write_unit", 4)) // sector)
    start = sector + 2 * log
    bank = start + scratch_sectors * sector
    return Layout(
        regions=(Region(0, sector, bank // sector + bank_sectors),),
        birth=Span(0, sector),
        log=(Span(sector, log), Span(sector + log, log)),
        scratch=Span(start, scratch_sectors * sector),
        bank=(Span(bank, bank_sectors * sector),),
        page=page,
        **more,
    )


def plain_model(name: str) -> Model:
    """A model known by its name alone: its ids follow from the name, its components are files."""
    return Model(ModelName(name), file_layout(), ram=0)


@cache
def file_layout() -> Layout:
    """The map that files are described by which lie in no bank: room for 1 GiB, leaves of 4 KiB, groups of 256 KiB."""
    return simple_layout(1 << 30, sector=1 << 18, group=1 << 18)
