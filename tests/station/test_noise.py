"""Restorations through noise, judged: whole, nothing programmed that was not signed, no group twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts import ASSURANCE
from tests.station import noise
from tests.station.bench import stocked

EACH = 1000 if ASSURANCE else 5


@pytest.mark.parametrize("rate", noise.RATES)
def test_noise_programs_nothing_that_was_not_signed_and_repeats_at_most_one_group(
    tmp_path: Path, rate: float, seed: int
) -> None:
    seen = noise.count(stocked(tmp_path), rate, EACH, seed)
    assert (seen.restored, seen.ended) == (EACH, [])
    assert seen.wrong == 0
    assert seen.repeated <= 1
    assert seen.again <= noise.GROUP
    assert rate < 1e-4 or seen.turned > 10 * EACH
