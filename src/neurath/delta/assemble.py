"""From a plan to the bytes of a file: the segments that the decoder's RAM holds, and the shortest of the ways to code them. It
knows what there is to be told; it must never decide an order, nor hand out a file as one that works."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurath.delta import budget, code, native
from neurath.delta.budget import Wish
from neurath.delta.encoder import MAPPED, Brisk, Encoder, Hints, Model
from neurath.delta.format import IRREGULAR, Head, pack
from neurath.delta.match import COST_SEGMENT, Segment, worth
from neurath.delta.plan import SLIDES, Plan
from neurath.flash.geometry import Layout
from neurath.flash.profiles import LARGE, QUICK, RAW, SMALL_KIND

#: Segments that are given up for a window of 2 KiB.
SPARED = 146
#: A window costs a terminal RAM: it is tried where more than one byte in so many is a literal, and must pay so much.
RARE, PAYS = 50, 0.98
#: A copy that the order cannot keep is worth a hint from this many bytes on.
HINT_FROM = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """The two images of one update file."""

    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Made:
    """One way to code it; `segments` were told, `literal` bytes were neither copied nor noise to every model."""

    data: bytes
    segments: int
    literal: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What one file is to say, however it is coded. `useful` are the segments of the plan that pay, the best first."""

    pair: Pair
    layout: Layout
    wish: Wish
    planned: Plan
    hints: Hints
    useful: tuple[Segment, ...]

    @property
    def profile(self) -> int:
        assert self.wish.profile is not None  # build() has chosen
        return self.wish.profile

    @property
    def flowing(self) -> bool:
        """A full image whose model goes on: what the decoder forgot in a power cut it decodes again; nothing it reads goes."""
        return not self.pair.old and self.wish.flow and self.profile in (*SMALL_KIND, LARGE)

    @property
    def units(self) -> list[tuple[int, int]]:
        return native.units(self.layout)

    def chosen(self, most: int) -> list[Segment]:
        """At most so many, in image order; where the map is told, hints besides."""
        chosen = sorted(self.useful[:most], key=lambda s: s.at)
        return with_hints(chosen, self.planned.gone, most - len(chosen)) if self.profile in MAPPED else chosen

    def head(self, segments: Sequence[Segment], control: bytes) -> Head:
        old, new = self.pair.old, self.pair.new
        return Head(
            profile=self.profile,
            old_size=len(old),
            new_size=len(new),
            base=zlib.crc32(old) & 0xFFFF,
            crc=zlib.crc32(new, zlib.crc32(old)),
            group=self.layout.group,
            unit_shift=unit_shift(self.units, self.layout.group),
            order=self.planned.order,
            segments=len(segments),
            control=control,
            isa=self.hints.isa,
            sections=self.profile == LARGE and bool(self.hints.sections),
            address=self.hints.address,
            apart=self.wish.apart,
            joint=self.planned.joint,
            slide=self.planned.slide,
            resume=self.layout.resume and not self.wish.apart,
        )

    def mapped(self, most: int, model: Model) -> Made:
        """Coded by a profile that predicts, with so many segments at most."""
        pair, segments = self.pair, self.chosen(most)
        window = model if isinstance(model, int) else 0
        if self.profile == QUICK:
            model = Brisk(model) if isinstance(model, int) else "quick"
        encoder = Encoder(pair.old, pair.new, segments, self.hints, model)
        control = encoder.control() if segments else b""
        joint = SLIDES if self.planned.slide else self.planned.joint
        sizes = (len(pair.old), len(pair.new), self.layout.group)
        stays = self.wish.apart or self.flowing
        frames = code.small_frames(encoder, self.units, self.planned.order, sizes, None if stays else joint)
        head = self.head(segments, control)
        head = replace(head, flow=encoder.flows or self.flowing, window=window)
        spent = encoder.spent
        return Made(pack(head, frames), len(segments), spent.literal - spent.noise)

    def plain(self, most: int) -> bytes:
        """Coded by a profile that does not."""
        segments = self.chosen(most)
        ranges = code.groups(self.units, self.planned.order, len(self.pair.new), self.layout.group)
        frames = code.frames(self.profile, self.pair.old, self.pair.new, segments, ranges)
        return pack(self.head(segments, code.control(self.profile, segments)), frames)


def assembled(pair: Pair, layout: Layout, wish: Wish, planned: Plan, hints: Hints) -> bytes:
    """The shortest file there is for this plan in the profile that is wished."""
    draft = Draft(pair, layout, wish, planned, hints, tuple(useful(pair, planned.segments, wish.profile)))
    most = budget.room(wish, len(planned.order))
    if draft.profile not in MAPPED:
        return draft.plain(most)
    if draft.profile in SMALL_KIND and draft.flowing:
        return _whole(draft)
    if draft.profile in SMALL_KIND and wish.flow:
        return _shortest(draft, most)
    return draft.mapped(most, MAPPED[draft.profile]).data


def _shortest(draft: Draft, most: int) -> bytes:
    """Profile 2: the model begins anew with each group or goes on, with or without a window of what was made last; which
    may take the room of segments."""
    first = draft.mapped(most, 0 if draft.wish.apart else "small")
    best, units = first.data, len(draft.planned.order)
    if first.literal * RARE < len(draft.pair.new):
        return min(best, draft.mapped(most, "small").data, key=len) if draft.wish.apart else best
    if back := budget.window(draft.wish, units, first.segments):
        looks_back = draft.mapped(most, back).data
        best = looks_back if len(looks_back) < PAYS * len(best) else best
    fewer = max(0, most - SPARED)
    if first.segments > fewer and (back := budget.window(draft.wish, units, fewer)):
        best = min(best, draft.mapped(fewer, back).data, key=len)
    return best


def _whole(draft: Draft) -> bytes:
    """A full image in profile 2, its copies chosen for the window that the decoder's RAM holds."""
    back = budget.window(draft.wish, len(draft.planned.order), 0)
    if not back:
        return draft.mapped(0, 0).data
    frames = code.whole_frames(draft.pair.new, draft.layout.group, back)
    return pack(replace(draft.head([], b""), flow=True, window=back), frames)


def useful(pair: Pair, segments: Sequence[Segment], profile: int | None) -> list[Segment]:
    """Those that pay for themselves, the most useful ones first.

    Nothing is joined here: between two pieces may lie one that the order cannot keep.
    """

    def gain(segment: Segment) -> int:
        return segment.length * 8 - COST_SEGMENT if profile == RAW else worth(pair.old, pair.new, segment)

    return [s for won, s in sorted(((gain(s), s) for s in segments), key=lambda one: -one[0]) if won > 0]


def with_hints(chosen: Sequence[Segment], gone: Sequence[Segment], room: int) -> list[Segment]:
    """Where room is left: segments of length 0 for code that moved but cannot be copied, the longest first."""
    points = sorted((s for s in gone if s.length >= HINT_FROM), key=lambda s: s.length, reverse=True)[: max(0, room)]
    return sorted([*chosen, *(Segment(s.at, s.source, 0) for s in points)], key=lambda s: (s.at, s.length))


def unit_shift(units: Sequence[tuple[int, int]], group: int) -> int:
    """By how many doublings a unit is a group; IRREGULAR where they differ."""
    lengths = {end - start for start, end in units}
    shifts = [shift for shift in range(IRREGULAR) if lengths == {group << shift}]
    return shifts[0] if shifts else IRREGULAR
