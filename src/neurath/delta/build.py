"""From two images and a memory map to an update file that was tried: matched, planned, coded, then rehearsed and rewritten by
the very core that terminals run. It must never hand out a file that core did not turn the old image into the new one with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from neurath.delta import code, native, simulate
from neurath.delta.format import IRREGULAR, MAX_SEGMENTS, RAW, SIMPLE, Head, Kind, pack
from neurath.delta.match import COST_SEGMENT, Bsdiff, Exact, Matcher, Segment, worth
from neurath.delta.plan import Plan, changed_units, plan
from neurath.errors import NeurathError, NothingToDo, RefusedError
from neurath.flash.geometry import Layout


@dataclass(frozen=True, slots=True)
class Delta:
    """An update file and what it costs.

    `data` is the file; `workspace` the decoder's RAM in bytes, for nrt_need(); `sectors` how many sectors get new
    content; `lost` how many bytes of copies the order could not keep.
    """

    data: bytes = field(repr=False)
    kind: Kind
    workspace: int
    sectors: int
    image_size: int
    lost: int = 0

    def ram_needed(self, layout: Layout, *, staged_in_ram: bool = True) -> int:
        """RAM in bytes a terminal must lend; RefusedError where its memory map cannot take the update."""
        return native.need(layout, self.image_size, len(self.data), self.workspace, staged_in_ram=staged_in_ram)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is to be made. `apart`: for an old image that stays whole elsewhere, never in place."""

    profile: int = SIMPLE
    apart: bool = False
    address: int = 0
    matcher: Matcher | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """The two images of one update file."""

    old: bytes
    new: bytes


def build(old: bytes, new: bytes, layout: Layout, wish: Wish | None = None) -> Delta:
    """The update file from `old` to `new` for this memory map, tried by the core.

    NothingToDo when the images are the same; RefusedError when they do not fit the bank; NeurathError when the trial
    fails, which is a fault of this program and never of the terminal.
    """
    wish = wish or Wish()
    if old == new:
        raise NothingToDo("the two images are the same", f"both are {len(new)} B", "give the release you want to reach")
    _check_room(old, new, layout)
    matcher = wish.matcher or Bsdiff()
    found = (Exact(matcher) if wish.profile == RAW else matcher).match(old, new) if old else []
    units = native.units(layout)
    planned = _apart(old, new, units, found) if wish.apart else plan(old, new, units, found)
    data = _assembled(Pair(old, new), layout, wish, planned)
    delta = Delta(
        data=data,
        kind="delta" if old else "full",
        workspace=native.header(data, layout).workspace,
        sectors=changed_sectors(old, new, layout),
        image_size=len(new),
        lost=planned.lost,
    )
    _try(old, new, layout, delta, wish.apart)
    return delta


def full(new: bytes, layout: Layout, wish: Wish | None = None) -> Delta:
    """The whole image in the same container: no old bytes, every unit rewritten."""
    return build(b"", new, layout, wish)


def _check_room(old: bytes, new: bytes, layout: Layout) -> None:
    if not new:
        raise RefusedError("an empty image cannot be installed", "the new image has 0 bytes", "give the built firmware")
    for name, image in (("old", old), ("new", new)):
        if len(image) > layout.bank_size:
            raise RefusedError(
                f"the {name} image does not fit the bank",
                f"{len(image)} B, the bank holds {layout.bank_size} B",
                "give the memory map of this model with --model FILE",
                id="NRT-380",
            )


def _apart(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment]) -> Plan:
    """Nothing is lost where old bytes never go away."""
    return Plan(tuple(changed_units(old, new, units)), tuple(found), 0)


def _best(pair: Pair, segments: Sequence[Segment], profile: int) -> list[Segment]:
    """At most MAX_SEGMENTS that pay for themselves, the most useful ones, in image order.

    Nothing is joined here: between two pieces may lie one that the order cannot keep.
    """

    def gain(segment: Segment) -> int:
        return segment.length * 8 - COST_SEGMENT if profile == RAW else worth(pair.old, pair.new, segment)

    useful = sorted((s for s in segments if gain(s) > 0), key=gain, reverse=True)
    return sorted(useful[:MAX_SEGMENTS], key=lambda s: s.at)


def _assembled(pair: Pair, layout: Layout, wish: Wish, planned: Plan) -> bytes:
    old, new = pair.old, pair.new
    units = native.units(layout)
    segments = _best(pair, planned.segments, wish.profile)
    head = Head(
        profile=wish.profile,
        old_size=len(old),
        new_size=len(new),
        base=zlib.crc32(old) & 0xFFFF,
        crc=zlib.crc32(new, zlib.crc32(old)),
        group=layout.group,
        unit_shift=_unit_shift(units, layout.group),
        order=planned.order,
        segments=len(segments),
        control=code.control(wish.profile, segments),
        address=wish.address,
        apart=wish.apart,
    )
    ranges = code.groups(units, planned.order, len(new), layout.group)
    return pack(head, code.frames(wish.profile, old, new, segments, ranges))


def _unit_shift(units: Sequence[tuple[int, int]], group: int) -> int:
    lengths = {end - start for start, end in units}
    shifts = [shift for shift in range(IRREGULAR) if lengths == {group << shift}]
    return shifts[0] if shifts else IRREGULAR


def changed_sectors(old: bytes, new: bytes, layout: Layout) -> int:
    """Sectors of the bank whose bytes of the new image are not there already."""
    count, offset = 0, 0
    for span in layout.bank:
        for start, size in ((r.base + i * r.size, r.size) for r in layout.regions for i in range(r.count)):
            if span.base <= start < span.end:
                at = offset + start - span.base
                count += at < len(new) and old[at : min(at + size, len(new))] != new[at : at + size]
        offset += span.length
    return count


def _try(old: bytes, new: bytes, layout: Layout, delta: Delta, apart: bool) -> None:
    made = native.decode_apart(old, delta.data, layout) if apart else simulate.rewrite(old, new, layout, delta.data)[0]
    if made != new:
        raise NeurathError(
            "the update file that was made does not work",
            "the core's trial ended on other bytes",
            "please report this",
            id="NRT-282",
        )
