"""Attacks on veiled files: who carries, mirrors or keeps them learns nothing of the software, and who changes them brings
nothing in. Written as the attack, against the whole terminal of tests/attack/test_terminal.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neurath.flash import veil as core
from neurath.wire import keys, veil
from neurath.wire.offer import Offer
from neurath.wire.report import Verdict
from neurath.wire.veil import Recipient
from tests.attack.test_terminal import EVIL, GOOD, HONEST, LAYOUT, Site, file_of
from tests.flash.crafted import raw_file
from tests.terminal.world import DEVICE, NEW, OLD

OTHER = b"e" * 32
MINE = {
    "derived": Recipient("derived", core.derived(DEVICE)),
    "device": Recipient("device", keys.from_seed(DEVICE).public.data),
}
BOTH = pytest.mark.parametrize("kind", MINE)


def runs(data: bytes) -> set[bytes]:
    """Every run of 16 bytes."""
    return {data[at : at + 16] for at in range(len(data) - 15)}


def taken(victim: Site) -> None:
    world = victim.world
    world.agent.power_up()
    for _ in range(12):
        world.agent.wait()
        if any(report.verdict is Verdict.CONFIRMED for report in victim.told):
            break
    assert world.holds(NEW)
    assert world.nor.violations == 0


@BOTH
def test_a_veiled_update_is_taken(kind: str) -> None:
    victim = Site()
    victim.offers(veil.hide(GOOD, MINE[kind]), HONEST)
    taken(victim)


@BOTH
def test_who_sees_every_file_learns_no_run_of_the_image_nor_of_the_update_file(kind: str) -> None:
    full = raw_file(OLD, NEW, LAYOUT)
    assert runs(full) & runs(NEW), "the software lies open in this one"
    hidden = veil.hide(full, MINE[kind])
    known = runs(NEW) | runs(OLD) | runs(full)
    assert not runs(hidden) & known
    twice = veil.hide(full, MINE[kind])
    assert not runs(hidden[MINE[kind].header :]) & runs(twice[MINE[kind].header :]), "two files share a stretch of key stream"


@BOTH
def test_a_file_of_another_terminal_is_refused_with_the_reason(kind: str) -> None:
    other = Recipient("derived", core.derived(OTHER)) if kind == "derived" else None
    other = other or Recipient("device", keys.from_seed(OTHER).public.data)
    victim = Site()
    victim.offers(veil.hide(GOOD, other), HONEST)
    assert "veiled for another terminal" in victim.suffers(30)
    victim.then_takes_the_honest_update()


def swapped(data: bytes, header: int) -> bytes:
    """Two stretches of the hidden file, exchanged."""
    a, b, n = header, header + 512, 256
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def another(header: int) -> bytes:
    return veil.hide(GOOD, next(one for one in MINE.values() if one.header == header))


CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    "groups swapped": swapped,
    "a bit flipped": lambda data, header: data[: header + 700] + bytes([data[header + 700] ^ 1]) + data[header + 701 :],
    "truncated": lambda data, header: data[: len(data) // 2],
    "the header alone": lambda data, header: data[:header],
    "the header of another file of mine": lambda data, header: another(header)[:header] + data[header:],
}


@pytest.mark.parametrize("change", CHANGES)
@BOTH
def test_a_mirror_that_changes_a_veiled_file_is_found_out_by_the_digest(kind: str, change: str) -> None:
    """It has no ticket key: the ticket names the file as it was made."""
    victim = Site()
    good = veil.hide(GOOD, MINE[kind])
    offer = victim.offers(good, HONEST)
    victim.world.far.files[offer.file] = CHANGES[change](good, MINE[kind].header)
    victim.suffers(20)
    victim.then_takes_the_honest_update()


@pytest.mark.parametrize("change", CHANGES)
@BOTH
def test_a_server_that_was_taken_over_brings_nothing_in_under_a_veil(kind: str, change: str) -> None:
    """It has the ticket key: the rehearsal says no."""
    victim = Site()
    forged = CHANGES[change](veil.hide(GOOD, MINE[kind]), MINE[kind].header)
    victim.offers(forged, HONEST)
    victim.suffers(30)
    victim.then_takes_the_honest_update()


@BOTH
def test_other_software_under_a_veil_is_refused_as_it_is_without(kind: str) -> None:
    victim = Site()
    offer: Offer = victim.offers(veil.hide(file_of(OLD, EVIL), MINE[kind]), HONEST)
    assert offer.size
    assert "digest" in victim.suffers(30)
    victim.then_takes_the_honest_update()


def test_a_veil_in_a_veil_is_no_update_file() -> None:
    victim = Site()
    victim.offers(veil.hide(veil.hide(GOOD, MINE["derived"]), MINE["derived"]), HONEST)
    victim.suffers(30)
    victim.then_takes_the_honest_update()
