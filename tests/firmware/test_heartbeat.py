"""Trickle delivery on the emulated phone: pieces ride on the answers to its CoAP heartbeats into free flash or spare RAM, a
cut costs at most the piece under way, and its user decides when the phone is restarted into the new software."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from neurath.sim.nbd import TEARS, Cut
from neurath.sim.radio import Radio
from neurath.wire import coap, narrow, trickle
from neurath.wire.coap import Code, Message
from neurath.wire.trickle import Reply, State
from tests.firmware.rig import kit
from tests.firmware.site import home
from tests.rigs.verbs import verb

pytestmark = pytest.mark.heavy


class Air:
    """What one radio carried, as a listener reads it: requests by verb, heartbeats with their states, answers with pieces."""

    def __init__(self, radio: Radio) -> None:
        self.requests: list[Message] = []
        self.states: list[State] = []
        self.replies: list[Reply] = []
        beats: set[bytes] = set()
        for upward, datagram in list(radio.arrived):
            message = coap.decode(datagram)
            if upward and message.code:
                self.requests.append(message)
                if message.all(coap.URI_PATH)[0].decode() == coap.HEARTBEAT:
                    assert message.type is coap.Type.NON
                    beats.add(message.token)
                    self.states.append(trickle.decode_state(message.payload))
            elif message.token in beats:
                assert message.code == Code.CHANGED
                self.replies.append(trickle.decode_reply(message.payload[: -narrow.TAG]))

    @property
    def pieces(self) -> list[int]:
        """Numbers of the pieces that came, in order."""
        return [reply.first + at for reply in self.replies for at in range(len(reply.pieces))]


def until(true: Callable[[], bool], seconds: float = 240.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("board", ["sx1", "vexpress-a9"])
def test_a_file_rides_on_the_heartbeats_of_a_phone_and_is_installed_when_its_user_says_so(board: str, tmp_path: Path) -> None:
    phones = kit(board, 60_000, "beat")
    durable = phones.model.layout.stage.length > 0
    with home(phones, tmp_path) as site:
        with site.on(site.flash) as (phone, radio):
            assert until(lambda: len(Air(radio).pieces) >= 8), phone.said
            flash = phone.off()
            before = Air(radio)
        with site.on(flash) as (phone, radio):
            assert phone.shows("1 yes  2 no", 240), (phone.said, phone.shown)
            assert b"1.1" in phone.shown
            after = Air(radio)
            phone.press("2")
            assert phone.shows("Not now.")
            beats = len(after.states)
            assert until(lambda: len(Air(radio).states) > beats + 8)
            assert phone.shown.count(b"1 yes  2 no") == 1, "a no was not respected"
            assert b"left its memory" not in phone.said, "somebody was asked to leave before the user said yes"
            verb("terminal", "remind", "phone-1", "--data", site.place / "data")
            assert phone.shows("1 yes  2 no", 240, times=2), phone.shown
            phone.press("1")
            assert phone.says("update: confirmed", 240), phone.said
            assert site.holds(phone.off(), "1.1")
            whole = Air(radio)
    plan = max(state.sync for state in whole.states)
    # Every piece once; what the power cut took was still on its way.
    first = whole.pieces[0]
    assert before.pieces == list(range(len(before.pieces)))
    assert len(before.pieces) - 1 <= first <= len(before.pieces) if durable else first == 0, (first, before.pieces)
    assert whole.pieces == list(range(first, plan)), "a piece was sent again"
    for air in (before, whole):
        # One answer for each heartbeat, whatever rides on it, and not one packet more: no file was ever fetched.
        assert len(air.states) - 2 <= len(air.replies) <= len(air.states)
        assert {message.all(coap.URI_PATH)[0].decode() for message in air.requests} <= {
            coap.CHECK,
            coap.HEARTBEAT,
            coap.REPORT,
        }


def test_cuts_while_it_gathers_cost_a_piece_each_and_a_cut_in_the_rewrite_needs_no_link(tmp_path: Path, seed: int) -> None:
    phones = kit("sx1", 60_000, "beat")
    bank = phones.model.layout.bank[0]
    dice = random.Random(seed)
    taken: list[int] = []
    with home(phones, tmp_path) as site:
        flash = site.flash
        for tear in dice.sample(TEARS, 3):
            with site.on(flash) as (phone, radio):
                assert until(lambda: len(Air(radio).pieces) >= 3), phone.said
                phone.disk.cut_at(Cut(dice.randint(1, 60), tear, dice.randrange(1 << 30)))
                assert phone.disk.cut.wait(240)
                flash = phone.off()
                taken += Air(radio).pieces
        with site.on(flash) as (phone, radio):
            assert phone.shows("1 yes  2 no", 240), (phone.said, phone.shown)
            taken += Air(radio).pieces
            assert sorted(set(taken)) == list(range(max(taken) + 1))
            # The piece that was torn, and the one that was on its way.
            assert len(taken) - len(set(taken)) <= 2 * 3, taken
            at = len(phone.disk.operations)
            phone.press("1")
            assert until(lambda: any(bank.base <= o.at < bank.end for o in phone.disk.operations[at:])), phone.said
            phone.disk.cut_at(Cut(dice.randint(1, 100), dice.choice(TEARS)))
            assert phone.disk.cut.wait(240)
            torn = phone.off()
            assert phone.disk.illegal == 0
        with site.on(torn) as (phone, radio):
            radio.area.clear()
            assert phone.says("application 1.1", 240), phone.said
            radio.area.set()
            assert phone.says("update: confirmed", 240), phone.said
            assert site.holds(phone.off(), "1.1")
