"""A whole update on a model of flash in memory, by the core that terminals run: rehearsal, rewrite, the bank as it is then.
It knows how to provision a fresh bank; it must never repair what the core refuses."""

from __future__ import annotations

import hashlib

from neurath.delta import native
from neurath.flash.geometry import Layout
from neurath.flash.native import Core, ImageRecord, Nor, Target, write_bank


def target(new: bytes, data: bytes, layout: Layout, sequence: int = 1) -> Target:
    """What a signed envelope and a ticket would say about this image and this update file."""
    leaves = b"".join(_leaf(new[at : at + layout.leaf], layout.leaf) for at in range(0, len(new), layout.leaf))
    return Target(
        envelope=hashlib.sha256(b"trial" + new).digest()[:16],
        image=hashlib.sha256(new).digest(),
        leaves=hashlib.sha256(leaves).digest(),
        image_size=len(new),
        sequence=sequence,
        epoch=0,
        file=hashlib.sha256(data).digest()[:16],
        file_size=len(data),
        serial=0,
    )


def _leaf(part: bytes, size: int) -> bytes:
    return hashlib.sha256(part.ljust(size, b"\xff")).digest()[:16]


def terminal(old: bytes, layout: Layout) -> tuple[Nor, Core]:
    """A terminal that runs `old`; one that runs nothing when it is empty."""
    nor = Nor.memory(layout)
    write_bank(nor, old)
    core = Core(layout, nor)
    core.provision(ImageRecord(image=hashlib.sha256(old).digest(), size=len(old)) if old else None)
    core.power_up()
    nor.forget()
    return nor, core


def rewrite(old: bytes, new: bytes, layout: Layout, data: bytes) -> tuple[bytes, int]:
    """What the bank holds after the update, and the flash operations it took; the refusal of the core as it is."""
    nor, core = terminal(old, layout)
    head = native.header(data, layout)
    ram = native.need(layout, len(new), len(data), head.workspace, staged_in_ram=False)
    core.rewrite(data, target(new, data, layout), ram)
    return core.bank_bytes(len(new)), nor.operations
