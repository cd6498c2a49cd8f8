"""What is on its way to terminals, as operators see it; and reminders, from the operator's word to the terminal's ear."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.carriers.memory import Memory, Shelf
from neurath.errors import NothingToDo
from neurath.server.fleet import access, remind, underway
from neurath.server.fleet.underway import Run
from neurath.terminal.heart import Heart
from neurath.terminal.machine import events as ev
from neurath.terminal.staging.durable import Folder
from neurath.terminal.staging.place import Ram
from neurath.terminal.staging.shown import under_way
from neurath.terminal.staging.trickle import Session
from neurath.units import UnixTime
from neurath.wire import trickle
from neurath.wire.trickle import Ask, State
from tests.server.test_trickle import OLD, Site, blind
from tests.server.world import World
from tests.terminal.test_trickle import FILE, Far, asks


@pytest.fixture
def site(world: World) -> Site:
    made = Site(world)
    world.start(made.new)
    return made


def seen(site: Site) -> Run:
    site.riding.flush()
    site.world.delivery.flush()
    with site.world.store.read() as db:
        (run,) = underway.runs(db, UnixTime(site.world.now))
    return run


def gathered(site: Site, session: Session, beats: int) -> None:
    for _ in range(beats):
        site.world.now += 60
        site.world.delivery.heard(site.terminal, "dhcp", "10.0.0.7 via 192.0.2.1", site.world.now)
        session.accept(site.riding.answer(site.terminal, session.state(2000), 2000, site.world.now))


def test_pieces_bytes_carrier_network_and_the_expected_day_are_what_the_terminal_confirmed(site: Site) -> None:
    session = Session(Ram(1 << 20))
    gathered(site, session, 12)
    run = seen(site)
    held = 0 if session.active is None else session.active.plan.held(session.active.sync)
    assert run.held <= held <= run.held + 200, "what was confirmed, not what was sent"
    assert (run.pieces, run.total) == (-(-run.held // 200), -(-run.size // 200))
    assert (run.carrier, run.address, run.heard) == ("dhcp", "10.0.0.7 via 192.0.2.1", site.world.now)
    assert (run.version, run.component, run.program) == ("1.1", "firmware", session.state(500).program.hex())
    assert not run.stalled
    assert run.expected is not None
    gathered(site, session, 60)
    whole = seen(site)
    assert whole.whole
    assert abs(run.expected - (whole.since + (run.size / 200 + 4) * 60)) < 30 * 60, "the expected moment is far off"
    with site.world.store.read() as db:
        (program,) = underway.programs(underway.runs(db, UnixTime(site.world.now)))
    assert (program.terminals, program.whole, program.pieces, program.total) == (1, 1, whole.total, whole.total)


def test_what_does_not_move_is_stalled_and_what_is_silent_too(site: Site) -> None:
    session = Session(Ram(1 << 20))
    gathered(site, session, 12)
    stuck = session.state(2000)
    for _ in range(70):
        site.beat(stuck)
        site.riding.flush()  # as a server does, every other second
        site.world.delivery.heard(site.terminal, "http", "", site.world.now)
    assert seen(site).stalled, "heard, and nothing moves"
    gathered(site, session, 2)
    assert not seen(site).stalled
    site.world.now += 2 * underway.STALLED
    assert seen(site).stalled, "not heard"


def test_a_terminal_that_confirms_nothing_is_shown_by_what_was_sent(site: Site) -> None:
    for _ in range(10):
        site.world.delivery.heard(site.terminal, "dhcp", "", site.world.now)
        blind(site)
    run = seen(site)
    assert run.blind
    assert (run.held, run.expected) == (0, None)
    assert run.sent >= 10 * 200
    assert not run.stalled


def test_a_reminder_calls_the_terminal_once_and_comes_with_its_next_offer(site: Site) -> None:
    reply = site.beat()
    site.beat(State(Ask.PIECES, reply.program, 1))
    with site.world.store.write() as db:
        said = remind.remind(db, site.terminal, "Bitte\nneu starten", site.world.now)
    assert said == "Bitte neu starten"
    called = site.beat(State(Ask.PIECES, reply.program, 2))
    assert called.call
    assert called.program == reply.program
    assert site.beat(State(Ask.PIECES, reply.program, 2)).pieces, "one that does not heed the call gets on all the same"
    offer = site.world.delivery.check(site.terminal, site.world.says(OLD, stage=1 << 20), site.world.now)
    assert offer is not None
    assert offer.remind == "Bitte neu starten"
    again = site.world.delivery.check(site.terminal, site.world.says(OLD, stage=1 << 20), site.world.now)
    assert again is not None
    assert again.remind == ""
    assert not any(site.beat(State(Ask.PIECES, reply.program, 2)).call for _ in range(20))
    assert seen(site).reminded is not None


def test_nobody_is_reminded_of_nothing(world: World) -> None:
    idle = world.terminal("idle")
    with world.store.write() as db, pytest.raises(NothingToDo):
        remind.remind(db, access.find(db, idle.id), "", 1.0)


def test_a_call_makes_the_terminal_check_in_at_once() -> None:
    session = Session(Ram(1 << 20))
    far = Far(FILE)
    session.accept(far.answer(asks(session)))
    before = session.state(500)
    heart = Heart(Memory(Shelf(ride=lambda _: trickle.encode_reply(trickle.Reply(far.program, call=True)))), session, 60.0)
    notice, _ = heart.beat(1.0)
    assert notice == ev.Notice()
    assert session.state(500) == before


def test_a_terminals_own_list_is_read_from_its_files_alone(tmp_path: Path) -> None:
    assert under_way(tmp_path / "none") == []
    far = Far(FILE)
    session = Session(Folder(tmp_path, 1 << 20))
    for _ in range(20):
        session.accept(far.answer(asks(session)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (one,) = under_way(tmp_path)
    assert (one.program, one.version, one.pieces, one.total) == (far.program.hex(), "2", 60, far.plan.count)
    assert (one.held, one.size, one.whole) == (far.plan.held(60), len(FILE), False)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
    while session.accept(far.answer(asks(session))).complete is None:
        pass
    assert under_way(tmp_path)[0].whole
