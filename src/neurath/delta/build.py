"""From two images and a memory map to an update file that was tried: matched, planned, coded, then rehearsed and rewritten by
the very core that terminals run. It must never hand out a file that core did not turn the old image into the new one with."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from neurath.delta import code, insight, native, simulate
from neurath.delta.encoder import MAPPED, Encoder, Hints
from neurath.delta.format import IRREGULAR, LARGE, RAW, SIMPLE, SMALL, TINY, Head, Kind, most_segments, pack
from neurath.delta.match import COST_SEGMENT, Exact, Matcher, Segment, Suffix, worth
from neurath.delta.plan import SLIDES, Plan, changed_units, plan
from neurath.delta.sight import Sight
from neurath.errors import NeurathError, NothingToDo, RefusedError
from neurath.flash.geometry import Layout

#: RAM of the decoder of profile 2 without its tables, and of each segment in them (core/src/unpack.c), in bytes.
SMALL_FIXED, SMALL_SEGMENT = 13728, 14
#: Bytes made last that files of profile 2 copy from at most, and at least, where the model goes on.
WINDOW, LEAST_WINDOW = 6144, 512
#: The same of profile 3, for terminals that run Linux; and what covers it with every table at its longest.
LARGE_FIXED, LARGE_WORKSPACE = 3826592, 4000000
#: And of profile 1 (profile 0 takes less).
SIMPLE_FIXED, SIMPLE_SEGMENT = 5400, 12
#: And of profile 4; what the decoder of a chip with 16 KiB of RAM may take.
TINY_FIXED, TINY_WORKSPACE = 3552, 6144
#: Segments that are given up for a window of 2 KiB.
SPARED = 146
#: A window costs a terminal RAM: it is tried where more than one byte in so many is a literal, and must pay so much.
RARE, PAYS = 50, 0.98
#: A delta of more than one byte in so many is compared with the full image.
WORTHLESS = 4
#: An image whose samples shrink by less than this is compressed or encrypted.
OPAQUE = 0.98
#: A copy that the order cannot keep is worth a hint from this many bytes on.
HINT_FROM = 64


@dataclass(frozen=True, slots=True)
class Delta:
    """An update file and what it costs.

    `data` is the file; `workspace` the decoder's RAM in bytes, for nrt_need(); `sectors` how many sectors get new
    content; `lost` how many bytes of copies the order could not keep; `advice` one sentence where the images defeat every
    delta.
    """

    data: bytes = field(repr=False)
    kind: Kind
    workspace: int
    sectors: int
    image_size: int
    lost: int = 0
    advice: str = ""

    def ram_needed(self, layout: Layout, *, staged_in_ram: bool = True) -> int:
        """RAM in bytes a terminal must lend; RefusedError where its memory map cannot take the update."""
        return native.need(layout, self.image_size, len(self.data), self.workspace, staged_in_ram=staged_in_ram)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is to be made. `profile` None: what is smallest in `workspace`, the most RAM in bytes the decoder may take
    (it bounds the number of segments too). `apart`: for an old image that stays whole elsewhere, never in place. `passes`:
    of matching, with what the one before has found out about addresses. `flow` False: every group begins anew, though the
    model could go on."""

    profile: int | None = None
    apart: bool = False
    address: int | None = None
    matcher: Matcher | None = None
    workspace: int = 20480
    passes: int = 3
    flow: bool = True


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
    pair = Pair(old, new)
    profiles = _profiles(wish)
    found = functools.cache(lambda alike: _matched(pair, replace(wish, profile=alike)))
    made = [_made(pair, layout, replace(wish, profile=p), found(min(p, SMALL))) for p in profiles]
    fit = [one for one in made if native.header(one[0], layout).decoder <= wish.workspace]
    data, planned = min(fit or made, key=lambda one: len(one[0]))
    _check_budget(native.header(data, layout).decoder, wish)
    advice = ""
    if old and not wish.apart and opaque(new) and 2 * len(data) > len(new):
        whole = full(new, layout, replace(wish, profile=RAW))
        advice = OPAQUE_ADVICE
        if len(whole.data) <= len(data):
            return replace(whole, advice=advice)
    if old and not wish.apart and wish.profile is None and WORTHLESS * len(data) > len(new):
        whole = full(new, layout, wish)
        if len(whole.data) <= len(data):
            return whole
    delta = Delta(
        data=data,
        kind="delta" if old else "full",
        advice=advice,
        workspace=native.header(data, layout).workspace,
        sectors=changed_sectors(old, new, layout),
        image_size=len(new),
        lost=planned.lost,
    )
    _try(old, new, layout, delta, wish.apart)
    return delta


def _profiles(wish: Wish) -> tuple[int, ...]:
    """Those to try: the one wished, or all that the decoder's RAM holds."""
    if wish.profile is not None:
        return (wish.profile,)
    return (SIMPLE, SMALL, LARGE) if wish.workspace >= LARGE_WORKSPACE else (SIMPLE, SMALL)


OPAQUE_ADVICE = (
    "the new image looks compressed or encrypted, where no delta can be small: "
    "ship it plain, see docs/how-to/link-for-updates.md"
)


def opaque(image: bytes) -> bool:
    """Whether an image is noise to every tool: no sample of it can be compressed."""
    step = max(1, len(image) // 8)
    samples = [image[at : at + 8192] for at in range(0, len(image), step)]
    return len(image) >= 4096 and all(len(zlib.compress(s, 6)) > OPAQUE * len(s) for s in samples if len(s) > 2048)


def _made(pair: Pair, layout: Layout, wish: Wish, matched: tuple[list[Segment], Hints]) -> tuple[bytes, Plan]:
    found, hints = matched
    units = native.units(layout)
    planned = (
        _apart(pair.old, pair.new, units, found)
        if wish.apart
        else plan(pair.old, pair.new, units, found, native.joint_most(layout))
    )
    return _assembled(pair, layout, wish, planned, hints), planned


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


def _check_budget(workspace: int, wish: Wish) -> None:
    lent = max(wish.workspace, LARGE_WORKSPACE) if wish.profile == LARGE else wish.workspace
    if workspace > lent:
        raise RefusedError(
            "no decoder fits the RAM that is offered",
            f"the least takes {workspace} B, {lent} B are offered",
            "offer more, or send the image whole over the wire",
            id="NRT-385",
        )


def _apart(old: bytes, new: bytes, units: Sequence[tuple[int, int]], found: Sequence[Segment]) -> Plan:
    """Nothing is lost where old bytes never go away."""
    return Plan(tuple(changed_units(old, new, units)), tuple(found), 0)


def _matched(pair: Pair, wish: Wish) -> tuple[list[Segment], Hints]:
    """Segments, and what there is to know about addresses. Each pass compares the images with calls and pointers rewritten
    by the map of the pass before: fewer, longer segments."""
    matcher = wish.matcher or Suffix()
    hints = Hints(0, wish.address or 0)
    if not pair.old:
        return [], hints
    if wish.profile not in MAPPED:
        return (Exact(matcher) if wish.profile == RAW else matcher).match(pair.old, pair.new), hints
    found = matcher.match(pair.old, pair.new)
    hints = insight.chosen(pair.old, pair.new, found)
    if wish.address is not None:
        hints = replace(hints, address=wish.address)
    for _ in range(wish.passes - 1 if hints.isa else 0):
        seen = Sight(pair.old, pair.new, found, hints)
        found = matcher.match(seen.normal(is_old=True), seen.normal(is_old=False))
    return found, insight.grown(pair.old, pair.new, found, hints)


def _best(pair: Pair, segments: Sequence[Segment], profile: int, room: int) -> list[Segment]:
    """At most `room` that pay for themselves, the most useful ones, in image order.

    Nothing is joined here: between two pieces may lie one that the order cannot keep.
    """

    def gain(segment: Segment) -> int:
        return segment.length * 8 - COST_SEGMENT if profile == RAW else worth(pair.old, pair.new, segment)

    useful = sorted((s for s in segments if gain(s) > 0), key=gain, reverse=True)
    return sorted(useful[:room], key=lambda s: s.at)


def _with_hints(pair: Pair, chosen: Sequence[Segment], gone: Sequence[Segment], room: int) -> list[Segment]:
    """Where room is left: segments of length 0 for code that moved but cannot be copied, the longest first."""
    points = sorted((s for s in gone if s.length >= HINT_FROM), key=lambda s: s.length, reverse=True)[: max(0, room)]
    return sorted([*chosen, *(Segment(s.at, s.source, 0) for s in points)], key=lambda s: (s.at, s.length))


def _room(wish: Wish, units: int) -> int:
    """Segments the decoder's RAM holds."""
    assert wish.profile is not None  # build() has chosen
    if wish.profile == LARGE:
        fixed, each, lent = LARGE_FIXED, SMALL_SEGMENT, max(wish.workspace, LARGE_WORKSPACE)
    elif wish.profile in (SMALL, TINY):
        fixed, each, lent = SMALL_FIXED if wish.profile == SMALL else TINY_FIXED, SMALL_SEGMENT, wish.workspace
    else:
        fixed, each, lent = SIMPLE_FIXED, SIMPLE_SEGMENT, wish.workspace
    return max(0, min(most_segments(wish.profile), (lent - fixed - 2 * units) // each))


def _assembled(pair: Pair, layout: Layout, wish: Wish, planned: Plan, hints: Hints) -> bytes:
    """The shorter of two files where segments would leave a window no room: as many as fit, or fewer and a window."""
    room = _room(wish, len(planned.order))
    packed = _with_room(pair, layout, wish, Chosen(planned, hints, room))
    if wish.profile == SMALL and wish.flow and pair.old and len(planned.segments) + len(planned.gone) >= room - SPARED:
        fewer = Chosen(planned, hints, max(0, room - SPARED))
        packed = min(packed, _with_room(pair, layout, wish, fewer), key=len)
    return packed


@dataclass(frozen=True, slots=True)
class Chosen:
    """An order, what is known about addresses, and how many segments there may be."""

    planned: Plan
    hints: Hints
    room: int


def _with_room(pair: Pair, layout: Layout, wish: Wish, chosen: Chosen) -> bytes:
    assert wish.profile is not None  # build() has chosen
    old, new = pair.old, pair.new
    planned, hints, room = chosen.planned, chosen.hints, chosen.room
    units = native.units(layout)
    segments = _best(pair, planned.segments, wish.profile, room)
    encoder = None
    if wish.profile in MAPPED:
        segments = _with_hints(pair, segments, planned.gone, room - len(segments))
        encoder = Encoder(old, new, segments, hints, MAPPED[wish.profile])
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
        control=(encoder.control() if segments else b"") if encoder else code.control(wish.profile, segments),
        isa=hints.isa,
        sections=wish.profile == LARGE and bool(hints.sections),
        address=hints.address,
        apart=wish.apart,
        joint=planned.joint,
        slide=planned.slide,
        resume=layout.resume and not wish.apart,
    )
    if not old and wish.flow and wish.profile in (SMALL, LARGE):
        return _flowing(new, layout, wish, head)
    if encoder:
        sizes = (len(old), len(new), layout.group)
        joint = None if wish.apart else SLIDES if planned.slide else planned.joint
        packed = pack(head, code.small_frames(encoder, units, planned.order, sizes, joint))
        if not wish.flow or wish.profile != SMALL:
            return packed

        def flowing(window: int) -> bytes:
            goes_on = Encoder(old, new, segments, hints, window)
            frames = code.small_frames(goes_on, units, planned.order, sizes, joint)
            return pack(replace(head, flow=True, window=window), frames)

        packed = min(packed, flowing(0), key=len) if wish.apart else packed
        window = _window(wish, len(planned.order), len(segments))
        if window == 0 or encoder.spent.literal * RARE < len(new):
            return packed
        looks_back = flowing(window)
        return looks_back if len(looks_back) < PAYS * len(packed) else packed
    ranges = code.groups(units, planned.order, len(new), layout.group)
    return pack(head, code.frames(wish.profile, old, new, segments, ranges))


def _window(wish: Wish, units: int, segments: int) -> int:
    """Bytes made last that the decoder's RAM holds besides: none where they are hardly any."""
    room = wish.workspace - SMALL_FIXED - SMALL_SEGMENT * segments - 2 * units
    return min(WINDOW, room & ~7) if room >= LEAST_WINDOW else 0


def _flowing(new: bytes, layout: Layout, wish: Wish, head: Head) -> bytes:
    """A full image whose model goes on: what the decoder forgot in a power cut it decodes again, for nothing it reads goes."""
    if wish.profile == SMALL and (window := _window(wish, len(head.order), 0)):
        return pack(replace(head, flow=True, window=window), code.whole_frames(new, layout.group, window))
    head = replace(head, flow=True)
    if wish.profile == SMALL:
        encoder = Encoder(b"", new, [], Hints(), 0)
    else:
        encoder = Encoder(b"", new, [], Hints(), "large")
    return pack(head, code.small_frames(encoder, native.units(layout), head.order, (0, len(new), layout.group), None))


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
