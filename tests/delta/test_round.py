"""Every corpus pair, sectors of 4, 16, 64 and 128 KiB, all profiles, in place and beside the old image: what is built is
decoded by the core (build() hands out nothing else), and files of small pairs by the slow oracle too. A sample here; all of
them in the assurance tier."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from neurath.delta import Wish, build, native
from neurath.delta.apply import apply
from neurath.flash.geometry import simple_layout
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, RAW, SIMPLE, SMALL, TINY, TINY_WORKSPACE
from neurath.sim import corpus
from tests.parts import ASSURANCE, images

PROFILES = (RAW, SIMPLE, SMALL, LARGE, TINY)
SECTORS = (4096, 16384, 65536, 131072)
FIRMWARE = tuple(name for name in corpus.SOURCES if not name.endswith(("-a64", "-x86")))
CASES = [(name, sector) for name in FIRMWARE for sector in SECTORS]
SAMPLE = 2
#: Larger images wait for the assurance tier.
LARGEST = 210_000
#: The slow oracle reads a file in seconds up to here.
SLOW = 70_000


def cases(seed: int) -> list[tuple[str, int]]:
    if ASSURANCE:
        return CASES
    return random.Random(seed).sample([case for case in CASES if len(images(case[0]).new) <= LARGEST], SAMPLE)


def round_trips(name: str, sector: int) -> list[int]:
    """Sizes of the files of profiles 0 to 4, beside the old image and in place; each was decoded."""
    pair, sizes = images(name), []
    layout = simple_layout(max(len(pair.old), len(pair.new)), sector=sector, scratch_sectors=8 if sector < 65536 else 3)
    for apart in (True, False):
        for profile in PROFILES:
            wish = Wish(profile, apart=apart, workspace={LARGE: LARGE_WORKSPACE, TINY: TINY_WORKSPACE}.get(profile, 20480))
            made = build(pair.old, pair.new, layout, wish)
            assert native.header(made.data, layout).profile == profile
            if len(pair.new) < SLOW and profile != LARGE:
                assert apply(pair.old, made.data, native.units(layout)) == pair.new
            sizes.append(len(made.data))
    return sizes


@pytest.mark.heavy
@pytest.mark.network
def test_every_pair_comes_back_at_every_size_of_sector(seed: int, figures: Callable[[str, str], None]) -> None:
    lines = [
        "| pair | sector | " + " | ".join(f"{p} {k}" for p in ("apart", "in place") for k in PROFILES) + " |",
        "|---" * (2 + 2 * len(PROFILES)) + "|",
    ]
    for name, sector in cases(seed):
        sizes = round_trips(name, sector)
        lines.append(f"| {name} | {sector // 1024} KiB | " + " | ".join(f"{size:,}" for size in sizes) + " |")
        assert sizes[3] <= sizes[2] <= sizes[0]
    figures(
        "delta-sectors",
        "Bytes of the file, profiles 0 to 4, each decoded to the new image by the core.\n\n" + "\n".join(lines),
    )
