"""How an update file is to be made, and what the RAM of a decoder holds of it: segments, a window of bytes made last. It knows
the core's sizes (core/src/unpack.c) as numbers; it must never know an image."""

from __future__ import annotations

from dataclasses import dataclass

from neurath.delta.format import most_segments
from neurath.delta.match import Matcher
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, QUICK, SMALL, TINY

#: RAM of the decoder of profile 2 without its tables, and of each segment in them, in bytes.
SMALL_FIXED, SMALL_SEGMENT = 13728, 14
#: Bytes made last that files of profile 2 copy from at most, and at least, where the model goes on.
WINDOW, LEAST_WINDOW = 6144, 512
#: The same of profile 3, for terminals that run Linux.
LARGE_FIXED = 3826592
#: And of profile 1 (profile 0 takes less).
SIMPLE_FIXED, SIMPLE_SEGMENT = 5400, 12
#: And of profile 4.
TINY_FIXED = 3552


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is to be made. `profile` None: what is smallest in `workspace`, the most RAM in bytes the decoder may take
    (it bounds the number of segments too). `apart`: for an old image that stays whole elsewhere, never in place. `passes`:
    of matching, with what the one before has found out about addresses. `flow` False: every group begins anew, though the
    model could go on. `quick`: the decoder has profile 5, which takes its processor a third."""

    profile: int | None = None
    apart: bool = False
    address: int | None = None
    matcher: Matcher | None = None
    workspace: int = 20480
    passes: int = 3
    flow: bool = True
    quick: bool = False

    @property
    def lent(self) -> int:
        """RAM in bytes the decoder may take: profile 3 is only for those that lend megabytes."""
        return max(self.workspace, LARGE_WORKSPACE) if self.profile == LARGE else self.workspace


def room(wish: Wish, units: int) -> int:
    """Segments the decoder's RAM holds."""
    assert wish.profile is not None  # whoever asks has chosen
    fixed = {SMALL: SMALL_FIXED, QUICK: SMALL_FIXED, LARGE: LARGE_FIXED, TINY: TINY_FIXED}.get(wish.profile, SIMPLE_FIXED)
    each = SMALL_SEGMENT if wish.profile >= SMALL else SIMPLE_SEGMENT
    return max(0, min(most_segments(wish.profile), (wish.lent - fixed - 2 * units) // each))


def window(wish: Wish, units: int, segments: int) -> int:
    """Bytes made last that the decoder's RAM holds besides: none where they are hardly any."""
    left = wish.workspace - SMALL_FIXED - SMALL_SEGMENT * segments - 2 * units
    return min(WINDOW, left & ~7) if left >= LEAST_WINDOW else 0
