"""Values of the flash as structures of the C core, and back. It must never judge what they say."""

from __future__ import annotations

from typing import Any

from neurath.flash._core import ffi
from neurath.flash.bank import ImageRecord, Target
from neurath.flash.geometry import Layout


def c_layout(layout: Layout) -> Any:
    """The layout as `struct nrt_layout *`."""
    out = ffi.new("struct nrt_layout *")
    out.n_regions, out.n_bank = len(layout.regions), len(layout.bank)
    for place, region in zip(out.region, layout.regions, strict=False):
        place.base, place.size, place.count = region.base, region.size, region.count
    spans = [(out.bank[i], s) for i, s in enumerate(layout.bank)]
    spans += [(out.log[0], layout.log[0]), (out.log[1], layout.log[1])]
    spans += [(out.birth, layout.birth), (out.scratch, layout.scratch), (out.stage, layout.stage)]
    for spot, span in spans:
        spot.base, spot.len = span.base, span.length
    out.write_unit, out.page, out.group, out.leaf = layout.write_unit, layout.page, layout.group, layout.leaf
    out.erased, out.resume = layout.erased, layout.resume
    return out


def image_value(raw: Any) -> ImageRecord:
    """The value of a `struct nrt_image`."""
    return ImageRecord(bytes(raw.image), raw.size, bytes(raw.envelope), raw.sequence, raw.epoch)


def c_image(image: ImageRecord) -> Any:
    """The record as `struct nrt_image *`."""
    return ffi.new(
        "struct nrt_image *",
        {
            "envelope": image.envelope,
            "image": image.image,
            "size": image.size,
            "sequence": image.sequence,
            "epoch": image.epoch,
        },
    )


def target_value(raw: Any) -> Target:
    """The value of a `struct nrt_target`."""
    return Target(
        image=bytes(raw.image),
        image_size=raw.image_size,
        leaves=bytes(raw.leaves),
        file=bytes(raw.file),
        file_size=raw.file_size,
        envelope=bytes(raw.envelope),
        sequence=raw.sequence,
        epoch=raw.epoch,
        serial=raw.serial,
    )


def c_target(target: Target) -> Any:
    """The target as `struct nrt_target *`."""
    fields = ("image", "image_size", "leaves", "file", "file_size", "envelope", "sequence", "epoch", "serial")
    return ffi.new("struct nrt_target *", {name: getattr(target, name) for name in fields})
