"""Restorations through noise, judged: whole, nothing programmed that was not signed, no group twice."""

from __future__ import annotations

from dataclasses import replace
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
    assert seen.harm(EACH) == []
    assert rate < 1e-4 or seen.turned > 10 * EACH


def test_a_verdict_that_is_lost_six_times_in_a_row_is_asked_for_again(tmp_path: Path) -> None:
    assert noise.restoration(stocked(tmp_path), 1e-4, 1665225939).harm(1) == []


def test_each_harm_is_said() -> None:
    good = noise.Tally(restored=2, repeated=1, again=noise.GROUP)
    assert good.harm(2) == []
    bad = [noise.Tally(restored=1), replace(good, wrong=1), replace(good, repeated=2), replace(good, again=noise.GROUP + 1)]
    bad += [replace(good, ended=["it does not answer"])]
    assert [len(tally.harm(2)) for tally in bad] == [1] * len(bad)
