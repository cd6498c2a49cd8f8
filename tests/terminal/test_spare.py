"""Updates that trickle into RAM that no tenant wants (B3, volatile): nobody leaves before the file is complete, a power cut
takes it and the terminal says so, and a file that is there is installed from where it lies."""

from __future__ import annotations

import random

import pytest

from neurath.terminal.staging.place import Ram
from neurath.terminal.staging.trickle import Session
from neurath.wire.report import Verdict
from neurath.wire.trickle import Ask, State
from tests.terminal.test_heart import SLOW, beats, riding
from tests.terminal.test_trickle import Far, asks, data, gather
from tests.terminal.world import NEW, World

SPARE = 1 << 16


def world() -> World:
    return World.fresh(period=60.0, policy=SLOW, spare=SPARE)


def finished(one: World, most: int = 400) -> bool:
    for _ in range(most):
        if one.far.told and one.far.told[-1].verdict is not Verdict.PENDING:
            return True
        one.agent.wait()
    return False


def test_an_update_trickles_into_spare_ram_and_is_installed_from_there() -> None:
    one = world()
    one.agent.power_up()
    beats(one, 1)
    far = riding(one, one.publish(), count=3)
    for _ in range(300):
        if one.far.told:
            break
        assert all(program.length == program.tenant.length for program in one.programs.values()), "somebody had to leave early"
        one.agent.wait()
    assert finished(one)
    assert one.far.told[-1].verdict is Verdict.CONFIRMED
    assert one.holds(NEW)
    assert set(far.sent.values()) == {1}
    assert one.far.served == 0, "nothing came in bulk"
    said = one.far.heard[0]
    assert (said.spare, said.stage, said.staged_bytes) == (SPARE, 0, 0)


def test_after_a_power_cut_it_says_zero_and_begins_anew(seed: int) -> None:
    rng = random.Random(seed)
    one = world()
    one.agent.power_up()
    offer = one.publish()
    far = riding(one, offer, count=3)
    for _ in range(4):
        beats(one, rng.randint(1, 8))
        one.power()
        one.agent.power_up()
        heart = one.agent.parts.heart
        assert heart is not None
        assert heart.session.state(500) == State(room=500), "it claims what the power cut took"
        assert one.agent.parts.transfer.staged() == (b"", 0)
    assert finished(one)
    assert one.holds(NEW)
    assert far.sent[far.plan.count - 1] >= 1


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_cut_in_the_rewrite_is_finished_without_the_ram_it_lost(cut: int) -> None:
    from neurath.flash.native import PowerCut

    one = world()
    one.agent.power_up()
    riding(one, one.publish(), count=9)
    one.nor.cut_at(cut, "before")
    for _ in range(12):
        try:
            if finished(one):
                break
        except PowerCut:
            one.power()
            one.agent.power_up()
    assert one.holds(NEW)


def test_ram_that_was_dropped_is_free_for_the_next_program() -> None:
    place = Ram(12_000)
    session = Session(place)
    for seed in range(5):
        far = Far(data(seed, 9_000))
        about = gather(session, far)
        staged = session.whole(about.file[:16])
        assert staged is not None
        assert staged.read(0, 9_000) == far.file
        staged.drop()
        assert session.whole(about.file[:16]) is None
        heads = session._known.pop(far.program)
        heads.head.drop()


def test_a_file_that_was_dropped_after_it_was_handed_on_comes_again() -> None:
    far, session = Far(data(1)), Session(Ram(SPARE))
    about = gather(session, far)
    staged = session.whole(about.file)
    assert staged is not None
    staged.drop()
    assert session.accept(far.answer(asks(session))).complete is None
    assert session.state(500).sync == far.plan.begin
    assert gather(session, far) == about


def test_full_ram_refuses_the_program_and_harms_nobody() -> None:
    session, small, large = Session(Ram(12_000)), Far(data(1, 9_000)), Far(data(2, 9_000))
    gather(session, small)
    for _ in range(60):
        session.accept(large.answer(asks(session)))
    staged = session.whole(small.program)
    assert staged is not None
    assert staged.read(0, 9_000) == small.file


def test_a_new_life_asks_for_news_again() -> None:
    far, session = Far(data(1)), Session(Ram(SPARE))
    for _ in range(20):
        session.accept(far.answer(asks(session)))
    assert session.state(500).ask is Ask.PIECES
    session.power_up()
    assert session.state(500) == State(room=500)
