"""A phone without scratch, and one whose new image hangs: the boot core asks its server over its own small CoAP for the file
that was made for its bank, and comes back by air with nobody near."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.flash.bank import Fate, Why
from neurath.flash.geometry import Layout
from neurath.flash.native import Core, Nor
from neurath.sim.nbd import TEARS, Cut, Operation, Tear
from neurath.sim.radio import Radio
from neurath.wire import coap, rescue
from tests.firmware.rig import AGAIN, HANGS, HASTY, OUT, kit
from tests.firmware.site import home
from tests.parts import ASSURANCE
from tests.rigs.verbs import verb

pytestmark = pytest.mark.heavy
#: Power cuts in the rewrite of one phone without scratch.
CUTS = 100 if ASSURANCE else 1


def erased(operations: Iterable[Operation], layout: Layout) -> Counter[int]:
    """How often each sector of the bank was erased."""
    return Counter(o.at for o in operations if o.kind == "erase" and layout.bank[0].base <= o.at < layout.bank[0].end)


def questions(radio: Radio) -> list[rescue.Question]:
    """What the boot core asked, put together from the blocks that went up."""
    found: list[bytes] = []
    for upward, datagram in list(radio.arrived):
        message = coap.decode(datagram)
        if upward and message.code == coap.Code.POST and message.all(coap.URI_PATH)[0].decode() == coap.QUESTION:
            block = message.block(coap.BLOCK1)
            if block is None or block.number == 0:
                found.append(b"")
            found[-1] += message.payload
    return [rescue.question_from(body) for body in found]


def test_a_phone_cut_in_resume_mode_asks_for_what_its_bank_lacks_and_comes_back_by_air(tmp_path: Path, seed: int) -> None:
    """Each sector that changes is erased once, the one that was open at a cut once more for each cut in it."""
    phones = kit("sx1-resume", 320_000)
    layout, dice = phones.model.layout, random.Random(seed)
    with home(phones, tmp_path) as site:
        with site.on(site.flash) as (phone, _):
            assert phone.says("update: confirmed", 240), phone.said
            operations = list(phone.disk.operations)
            assert site.holds(phone.off(), "1.1")
        once = erased(operations, layout)
        assert len(once) >= 3
        assert set(once.values()) == {1}
        erases = [n for n, o in enumerate(operations, 1) if o.kind == "erase" and o.at in once]
        last = max(n for n, o in enumerate(operations, 1) if layout.bank[0].base <= o.at < layout.bank[0].end)
        tears: list[Tear] = [dice.choice(TEARS[1:3]), *(dice.choice(TEARS) for _ in range(CUTS - 1))]
        for turn, tear in enumerate(tears):
            # The first cut tears an erase, the others fall anywhere in the rewrite.
            number = dice.choice(erases) if turn == 0 else dice.randint(erases[0], last)
            with site.on(site.flash, Cut(number, tear, dice.randrange(1 << 30))) as (phone, _):
                assert phone.disk.cut.wait(240), (number, tear)
                counted = erased(phone.disk.operations, layout)
                torn = phone.off()
            with site.on(torn) as (phone, radio):
                assert phone.says("update: confirmed", 240), (number, tear, phone.said)
                assert phone.disk.illegal == 0
                counted += erased(phone.disk.operations, layout)
                asked = [question for question in questions(radio) if question.description]
                assert site.holds(phone.off(), "1.1"), (number, tear)
            if turn == 0:
                assert asked, "it was torn in an erase, and asked for nothing"
                assert b"in mid-rewrite" in phone.said
            assert set(counted) == set(once), (number, tear)
            assert sorted(counted.values(), reverse=True)[1:] == [1] * (len(once) - 1), (number, tear, counted)
            assert max(counted.values()) <= 2, (number, tear, counted)


@pytest.mark.parametrize("place", HANGS if ASSURANCE else HANGS[::2])
def test_an_image_that_hangs_is_left_again_by_a_return_delta_with_nobody_near(place: int, tmp_path: Path) -> None:
    board = ("sx1", "vexpress-a9", "sx1-resume")[place % 3]
    with home(kit(board, 20_000), tmp_path, f"hang-{place}") as site, site.on(site.flash) as (phone, radio):
        assert phone.says("asking for the way back", 240), phone.said
        before = phone.said.index(b"asking for the way back")
        assert phone.said[:before].count(b"the image runs") == 4  # the old one, and three times the one that hangs
        assert phone.says("update: confirmed", 240), phone.said
        assert b"application 1.0" in phone.said[before:]
        assert [question.description for question in questions(radio)][:1] == [b""]
        assert site.holds(phone.off(), "1.0")
        assert phone.disk.illegal == 0


def test_an_image_that_was_given_up_is_tried_again_after_an_idle_hour_and_may_confirm(tmp_path: Path) -> None:
    """The boot core's hour is three seconds here. There is no way back: the release before was revoked."""
    name = f"hang-{AGAIN}"
    phones = kit("sx1", 20_000)
    phones = replace(phones, boot=(OUT / "sx1" / HASTY).read_bytes())
    with home(phones, tmp_path, name) as site:
        verb("image", "revoke", "sx1/1.0", "--data", tmp_path / "data")
        with site.on(site.flash) as (phone, _):
            assert phone.says("the wire is open", 240), phone.said
            assert phone.says("the image is tried again", 240), phone.said
            assert phone.says("update: confirmed", 240), phone.said
            assert phone.said.count(b"the image runs") == 4
            assert phone.disk.illegal == 0
            flash = phone.off()
    assert site.holds(flash, name)
    nor = Nor.memory(phones.model.layout)
    nor.write_raw(0, flash)
    core = Core(phones.model.layout, nor)
    assert core.power_up() is Fate.BOOT
    assert (core.facts.broken, core.facts.candidate, core.facts.confirmed.sequence) == (Why.NONE, False, 2)
