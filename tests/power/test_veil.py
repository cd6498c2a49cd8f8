"""The update of a veiled file, cut anywhere any number of times: the same file goes on, nothing of it was kept decrypted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurath.flash import veil as core
from neurath.ids import digest
from neurath.sim.power import Harm, Story, walk
from neurath.wire import veil
from neurath.wire.veil import Recipient
from tests.power.broken import STORIES, resumed, story

DEVICE = b"d" * 32


def veiled(told: Story, device: bytes = DEVICE) -> Story:
    """The same story with its files hidden for the terminal with this device key."""
    to = Recipient("derived", core.derived(DEVICE))
    file = veil.hide(told.file, to)
    cures = []
    for cure in told.cures:
        data = veil.hide(cure.file, to)
        target = replace(cure.target, file=digest(data)[:16], file_size=len(data))
        cures.append(replace(cure, file=data, target=target))
    target = replace(told.target, file=digest(file)[:16], file_size=len(file))
    return replace(told, file=file, target=target, cures=tuple(cures), device_key=device)


@pytest.mark.parametrize("name", STORIES)
def test_any_number_of_cuts_of_a_veiled_update_ends_in_the_new_image(name: str, seed: int) -> None:
    cuts = walk(replace(veiled(STORIES[name](512, ecc=True, erased=0xFF)), most=150, seed=seed))
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert cuts.states == 150


def test_cuts_that_touch_nothing_are_walked_to_closure_with_a_veiled_file() -> None:
    cuts = walk(replace(veiled(story(512)), kinds=("before",)))
    assert cuts.closed
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert min(cuts.old, cuts.new, cuts.resumed) > 0


def test_a_torn_sector_is_cured_by_a_veiled_resume_delta() -> None:
    cuts = walk(replace(veiled(resumed(512)), kinds=("before", "early"), most=150))
    assert cuts.bricked == 0, (cuts.harm, cuts.where)
    assert cuts.rescued > 0


def test_with_another_terminals_key_the_walk_sees_that_no_file_helps() -> None:
    cuts = walk(replace(veiled(story(512), b"e" * 32), kinds=("before",), first_brick_only=True))
    assert cuts.bricked > 0
    assert cuts.harm is Harm.STUCK
