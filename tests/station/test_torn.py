"""A terminal cut in a rewrite over the air is brought to the new image by the station as well: after every cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurath.delta.build import full
from neurath.delta.simulate import target
from neurath.flash.bank import Fate
from neurath.flash.native import PowerCut
from neurath.wire import smp
from tests.station.device import SMALL, Device, envelope_of, image_of, named, package_of

NEW = image_of(2, 4000)
PACKAGE = package_of(NEW, SMALL, 6)
DELTA = full(NEW, SMALL.layout)
RAM = 1 << 18
TARGET = replace(target(NEW, DELTA.data, SMALL.layout), envelope=named(envelope_of(NEW, SMALL, 6)), sequence=6)


def torn(n: int, kind: str, seed: int) -> Device | None:
    """A terminal whose power went in operation n of a rewrite; None when there is no such operation."""
    device = Device()
    device.nor.cut_at(n, kind, seed)
    try:
        device.core.rewrite(DELTA.data, TARGET, RAM)
    except PowerCut:
        device.nor.power(seed)
        device.power_up()
        return device
    return None


def test_the_wire_says_what_the_torn_terminal_needs() -> None:
    device = torn(60, "early", 1)
    assert device is not None
    seen = device.identity()
    assert (seen.fate, seen.open) == (smp.Fate.FETCH, True)
    assert seen.target is not None
    assert seen.target.release.envelope == TARGET.envelope
    assert seen.target.file == TARGET.file
    assert seen.floor.sequence == 5


@pytest.mark.parametrize("kind", ["before", "early", "late", "after", "random", "weak", "meta"])
def test_after_a_cut_at_any_operation_of_a_rewrite_the_wire_ends_in_the_new_image(kind: str, seed: int) -> None:
    outcomes = dict.fromkeys(Fate, 0)
    n = 0
    while (device := torn(n, kind, seed + n)) is not None:
        outcomes[device.fate] += 1
        if device.fate is Fate.BOOT:
            image = device.core.facts.installed
            assert device.core.bank_digest(image.size) == image.image
        else:
            device.restore(PACKAGE, 480)
            assert device.power_up() is Fate.BOOT
            assert device.bank(len(NEW)) == NEW
            assert device.core.facts.installed.envelope == TARGET.envelope
        assert device.nor.violations == 0
        n += 1
    assert n > 50
    assert outcomes[Fate.FETCH] > 20
    assert outcomes[Fate.RESTORE] == 0  # a power cut alone never costs the plan
