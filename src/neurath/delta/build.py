"""From two images and a memory map to an update file that was tried: matched, planned, coded, then rehearsed and rewritten by
the very core that terminals run. It must never hand out a file that core did not turn the old image into the new one with."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from neurath.delta import insight, native, simulate
from neurath.delta.assemble import Pair, assembled
from neurath.delta.budget import Wish
from neurath.delta.encoder import MAPPED, Hints
from neurath.delta.format import Kind
from neurath.delta.match import Exact, Segment, Suffix, hits
from neurath.delta.plan import Plan, apart, plan
from neurath.delta.sight import Sight
from neurath.errors import NeurathError, NothingToDo, RefusedError
from neurath.flash.geometry import Layout
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, QUICK, RAW, SIMPLE, SMALL

#: A delta of more than one byte in so many is compared with the full image, unless fast LZMA says that it would be larger:
#: no full image comes out below so much of that.
WORTHLESS, FAST = 4, 0.85
#: A file of more bytes than this is never smaller without prediction.
FEW = 1024
#: An image whose samples shrink by less than this is compressed or encrypted; no delta is tried unless so much of it is like
#: what the terminal has.
OPAQUE, ALIKE = 0.98, 0.05


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


def build(old: bytes, new: bytes, layout: Layout, wish: Wish | None = None) -> Delta:
    """The update file from `old` to `new` for this memory map, tried by the core.

    NothingToDo when the images are the same; RefusedError when they do not fit the bank; NeurathError when the trial
    fails, which is a fault of this program and never of the terminal.
    """
    wish = wish or Wish()
    if old == new:
        raise NothingToDo("the two images are the same", f"both are {len(new)} B", "give the release you want to reach")
    _check_room(old, new, layout)
    pair, wish, advice = _judged(Pair(old, new), wish)
    data, lost = _smallest(pair, layout, wish)
    head = native.header(data, layout)
    _check_budget(head.decoder, wish)
    if pair.old and not wish.apart and wish.profile is None and _may_shrink(new, len(data)):
        whole = full(new, layout, wish)
        if len(whole.data) <= len(data):
            return replace(whole, advice=advice)
    delta = Delta(
        data=data,
        kind="delta" if pair.old else "full",
        advice=advice,
        workspace=head.workspace,
        sectors=changed_sectors(pair.old, new, layout),
        image_size=len(new),
        lost=lost,
    )
    _try(pair, layout, delta, wish.apart)
    return delta


def _judged(pair: Pair, wish: Wish) -> tuple[Pair, Wish, str]:
    """What is worth trying: an image of noise that hardly resembles the old one is sent as it is, and nothing is modelled."""
    if not opaque(pair.new):
        return pair, wish, ""
    advice = OPAQUE_ADVICE if pair.old else ""
    alike = sum(hits(pair.old, pair.new, s) for s in (wish.matcher or Suffix()).match(pair.old, pair.new))
    if wish.profile is not None or alike >= ALIKE * len(pair.new):
        return pair, wish, advice
    return pair if wish.apart else Pair(b"", pair.new), replace(wish, profile=RAW), advice


def _smallest(pair: Pair, layout: Layout, wish: Wish) -> tuple[bytes, int]:
    """The smallest file of the profiles worth trying that the decoder's RAM holds, and the bytes its order loses."""
    fit: list[tuple[bytes, int]] = []
    over: list[tuple[bytes, int]] = []
    for profile in (wish.profile,) if wish.profile is not None else _profiles(wish, quick=wish.quick and bool(pair.old)):
        segments, hints = matched(pair, replace(wish, profile=profile), layout.code)
        planned = _planned(pair, layout, wish, segments)
        data = assembled(pair, layout, replace(wish, profile=profile), planned, hints)
        (fit if native.header(data, layout).decoder <= wish.workspace else over).append((data, planned.lost))
        if fit and len(fit[0][0]) > FEW:
            break
    return min(reversed(fit or over), key=lambda one: len(one[0]))


def _profiles(wish: Wish, *, quick: bool) -> tuple[int, ...]:
    """Those to try: the strongest that the decoder's RAM holds; then, where that file has few bytes, the one that is smaller
    where hardly anything changed."""
    return (LARGE if wish.workspace >= LARGE_WORKSPACE else QUICK if quick else SMALL, SIMPLE)


def _planned(pair: Pair, layout: Layout, wish: Wish, segments: Sequence[Segment]) -> Plan:
    units = native.units(layout)
    if wish.apart:
        return apart(pair.old, pair.new, units, segments)
    return plan(pair.old, pair.new, units, segments, native.joint_most(layout))


def _may_shrink(new: bytes, size: int) -> bool:
    """Whether the full image may be smaller than this."""
    return WORTHLESS * size > len(new) and len(lzma.compress(new, preset=1)) * FAST < size


OPAQUE_ADVICE = (
    "the new image looks compressed or encrypted, where no delta can be small: "
    "ship it plain, see docs/how-to/link-for-updates.md"
)


def opaque(image: bytes) -> bool:
    """Whether an image is noise to every tool: no sample of it can be compressed."""
    step = max(1, len(image) // 8)
    samples = [image[at : at + 8192] for at in range(0, len(image), step)]
    return len(image) >= 4096 and all(len(zlib.compress(s, 6)) > OPAQUE * len(s) for s in samples if len(s) > 2048)


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
    if workspace > wish.lent:
        raise RefusedError(
            "no decoder fits the RAM that is offered",
            f"the least takes {workspace} B, {wish.lent} B are offered",
            "offer more, or send the image whole over the wire",
            id="NRT-385",
        )


def matched(pair: Pair, wish: Wish, known: Sequence[int]) -> tuple[list[Segment], Hints]:
    """Segments, and what there is to know about addresses, for a decoder that knows these instruction sets. Each pass compares
    the images with calls and pointers rewritten by the map of the pass before: fewer, longer segments."""
    matcher = wish.matcher or Suffix()
    hints = Hints(0, wish.address or 0)
    if not pair.old:
        return [], hints
    if wish.profile not in MAPPED:
        return (Exact(matcher) if wish.profile == RAW else matcher).match(pair.old, pair.new), hints
    found = matcher.match(pair.old, pair.new)
    hints = insight.chosen(pair.old, pair.new, found, known)
    if wish.address is not None:
        hints = replace(hints, address=wish.address)
    for _ in range(wish.passes - 1 if hints.isa else 0):
        seen = Sight(pair.old, pair.new, found, hints)
        found = matcher.match(seen.normal(is_old=True), seen.normal(is_old=False))
    return found, insight.grown(pair.old, pair.new, found, hints)


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


def _try(pair: Pair, layout: Layout, delta: Delta, apart: bool) -> None:
    old, new = pair.old, pair.new
    made = native.decode_apart(old, delta.data, layout) if apart else simulate.rewrite(old, new, layout, delta.data)[0]
    if made != new:
        raise NeurathError(
            "the update file that was made does not work",
            "the core's trial ended on other bytes",
            "please report this",
            id="NRT-282",
        )
