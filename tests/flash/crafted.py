"""Update files made by hand for the tests of the core: profile 0 (raw), order, copies and saves as the test wants them, not
as a planner would choose."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Sequence
from dataclasses import replace

from neurath.delta.format import IRREGULAR, Head, Save, numbers, pack, varint
from neurath.delta.match import Segment
from neurath.flash.geometry import Layout, Region, Span
from neurath.flash.native import Core, ImageRecord, Nor, Target, unit_spans, write_bank
from neurath.flash.profiles import RAW
from neurath.wire.leaflist import leaf_digest, leaf_list

RAM = 1 << 18


def unit_shift(layout: Layout) -> int:
    """What the header says about the longest unit (docs/spec/delta.md)."""
    longest = max(length for _, length in unit_spans(layout))
    sizes = {r.size for r in layout.regions for s in layout.bank if r.base <= s.base < r.end}
    ratio = longest // layout.group
    if len(sizes) == 1 and longest % layout.group == 0 and ratio & (ratio - 1) == 0:
        return ratio.bit_length() - 1
    return IRREGULAR


def raw_file(
    old: bytes,
    new: bytes,
    layout: Layout,
    *,
    order: Sequence[int] | None = None,
    segments: Sequence[Segment] = (),
    saves: Sequence[Save] = (),
    joint: int = 1,
    resume: bool = False,
    slide: bool = False,
) -> bytes:
    """A raw update file; without `segments` a full image, without `order` all units of the new image in image order."""
    units = [(base, min(base + length, len(new))) for base, length in unit_spans(layout) if base < len(new)]
    chosen = tuple(range(len(units)) if order is None else order)
    frames = []
    for unit in chosen:
        start, end = units[unit]
        for group in range(start, end, layout.group):
            stop = min(group + layout.group, end)
            covered = {i for s in segments for i in range(max(s.at, group), min(s.end, stop))}
            frames.append(bytes(new[i] for i in range(group, stop) if i not in covered))
    control = b"".join(varint(n) for n in numbers(segments))
    base = old if segments else b""
    head = Head(
        profile=RAW,
        old_size=len(base),
        new_size=len(new),
        base=zlib.crc32(base) & 0xFFFF if base else 0,
        crc=zlib.crc32(new, zlib.crc32(base)),
        group=layout.group,
        unit_shift=unit_shift(layout),
        order=chosen,
        segments=len(segments),
        control=control,
        saves=tuple(saves),
        joint=joint,
        resume=resume,
        slide=slide,
    )
    return pack(head, frames)


def target_of(new: bytes, file: bytes, layout: Layout, *, sequence: int = 2, serial: int = 7) -> Target:
    """What an envelope and a ticket for this file would say."""
    return Target(
        image=hashlib.sha256(new).digest(),
        image_size=len(new),
        leaves=leaf_digest(leaf_list(new, layout.leaf)),
        file=hashlib.sha256(file).digest()[:16],
        file_size=len(file),
        envelope=hashlib.sha256(b"envelope of" + new).digest()[:16],
        sequence=sequence,
        epoch=1,
        serial=serial,
    )


def record_of(image: bytes, *, sequence: int = 1) -> ImageRecord:
    """How a state log names this image."""
    envelope = hashlib.sha256(b"envelope of" + image).digest()[:16]
    return ImageRecord(hashlib.sha256(image).digest(), len(image), envelope, sequence, 1)


def provisioned(layout: Layout, image: bytes, *, ecc: bool = False) -> Nor:
    """A chip that holds this image, confirmed, with its counters at 0."""
    nor = Nor.memory(layout, ecc=ecc)
    write_bank(nor, image)
    Core(layout, nor).provision(record_of(image))
    nor.forget()
    return nor


def powered(layout: Layout, nor: Nor) -> Core:
    """A core after a power-up, whatever its fate."""
    core = Core(layout, nor)
    core.power_up()
    return core


def small_layout(sector: int = 512, *, erased: int = 0xFF, write_unit: int = 8) -> Layout:
    """The enumerator's device: 16 sectors, groups of 2, leaves of 1, a hole inside the bank, 4 commit units.

    512 B: log of 2 + 2 sectors, scratch of 3 (2 for a unit, 1 to spare), bank of 3 + 5 with a foreign sector between.
    """
    log = 1024 // sector
    at = 2 * log * sector
    scratch = Span(at, (15 - 2 * log - 8 if sector == 512 else 4) * sector)
    bank = Span(scratch.end, 4 * sector)
    rest = Span(bank.end + sector, 4 * sector)
    return Layout(
        regions=(Region(0, sector, 16),),
        log=(Span(0, log * sector), Span(log * sector, log * sector)),
        scratch=scratch,
        bank=(bank, rest),
        write_unit=write_unit,
        page=256,
        group=2 * sector,
        leaf=sector,
        erased=erased,
    )


def joint_layout(sector: int = 512, *, erased: int = 0xFF, write_unit: int = 8) -> Layout:
    """The same device with scratch for two commit units (of 512 B sectors: without a hole, there is no room for one)."""
    layout = small_layout(sector, erased=erased, write_unit=write_unit)
    if sector != 512:
        return layout
    scratch = Span(layout.scratch.base, 4 * sector)
    return replace(layout, scratch=scratch, bank=(Span(scratch.end, 8 * sector),))


def resume_layout(sector: int = 512, *, erased: int = 0xFF, write_unit: int = 8) -> Layout:
    """The same device without scratch: its units are rewritten from RAM."""
    return replace(small_layout(sector, erased=erased, write_unit=write_unit), scratch=Span(), resume=True)


def packed_layout() -> Layout:
    """Bank sectors of 1 KiB, scratch sectors of 4 KiB: four slots in each."""
    return Layout(
        regions=(Region(0, 4096, 10), Region(40_960, 1024, 32)),
        log=(Span(0, 4096), Span(4096, 4096)),
        scratch=Span(8192, 8 * 4096),
        bank=(Span(40_960, 32 * 1024),),
        group=4096,
        leaf=1024,
    )


def saved_images() -> tuple[bytes, bytes, Segment]:
    """For that device: the third commit unit begins with the first sector of the first, which is rewritten before it."""
    old = random.Random(4).randbytes(20_000)
    new = bytes(b ^ 0x55 for b in old[:8192]) + old[:1024] + bytes(b ^ 0x33 for b in old[9216:])
    return old, new, Segment(8192, 0, 1024)


def edited(old: bytes, seed: int, *, changes: int = 12) -> bytes:
    """The old image with some stretches overwritten."""
    rng = random.Random(seed)
    new = bytearray(old)
    for _ in range(changes):
        at = rng.randrange(len(new))
        new[at : at + 16] = rng.randbytes(len(new[at : at + 16]))
    return bytes(new)
