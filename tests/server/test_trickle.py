"""What the server lets ride on heartbeats: the stream's pieces from the terminal's own sync point, as many as the line takes,
one program at a time, and nothing to terminals that cannot stage them."""

from __future__ import annotations

import hashlib

import pytest

from neurath.errors import NothingToDo, UsageError
from neurath.server.delivery.trickle import PIECE, Trickle
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.progress import Entry
from neurath.server.software import catalog
from neurath.server.software.catalog import Release, Upload
from neurath.terminal.staging.place import Ram
from neurath.terminal.staging.trickle import Session
from neurath.wire import trickle
from neurath.wire.report import Phase, Report, Verdict
from neurath.wire.trickle import NOTHING, Ask, Plan, Reply, State
from tests.server.test_delivery import signed
from tests.server.world import World, image

OLD, NEW, NEWER = image(1), image(2), image(3)


class Site:
    """One terminal with durable room, and a heartbeat of its own whenever it is told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.release("1.0", OLD, 1)
        self.new = world.release("1.1", NEW, 2)
        self.terminal = world.terminal()
        self.riding = Trickle(world.delivery)
        self.checks_in(self.terminal)

    def checks_in(self, terminal: Terminal, bank: bytes = OLD, **more: object) -> None:
        self.world.delivery.record(terminal, self.world.says(bank, **({"stage": 1 << 20} | more)), self.world.now)

    def beat(self, state: State | None = None, terminal: Terminal | None = None, after: float = 60.0) -> Reply:
        self.world.now += after
        data = self.riding.answer(terminal or self.terminal, state or State(), trickle.MAX_ROOM, self.world.now)
        return trickle.decode_reply(data)

    def entry(self) -> Entry:
        self.riding.flush()
        found = self.world.entry(self.terminal, self.new)
        assert found is not None
        return found

    def gather(self, program: bytes, sync: int = 0, link: int = 0) -> list[Reply]:
        """Every answer from a sync point to the end, none lost."""
        came = []
        while not came or not came[-1].last:
            came.append(self.beat(State(Ask.PIECES, program, sync, link=link)))
            assert came[-1].first == sync
            assert came[-1].pieces
            sync += len(came[-1].pieces)
        return came


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def split(stream: bytes) -> tuple[Plan, bytes]:
    where = trickle.plan(stream, PIECE)
    return where, stream[where.begin * PIECE :]


def test_a_worker_that_heard_a_terminal_earlier_does_not_take_its_sync_point_back(site: Site) -> None:
    """Heartbeats of one terminal come to any worker, and each writes what it heard when it comes to it."""
    site.world.start(site.new)
    program = site.beat().program
    late, first = site.riding, Trickle(site.world.delivery)
    held = []
    for worker, sync in ((late, 2), (first, 5)):
        site.riding = worker
        assert site.beat(State(Ask.PIECES, program, sync)).first == sync
        held.append(worker.stream_of(1).plan.held(sync))
    first.flush()
    late.flush()
    entry = site.world.entry(site.terminal, site.new)
    assert held[0] < held[1]
    assert (entry.sync, entry.moved) == (held[1], site.world.now)
    site.riding = late
    site.beat(State(Ask.PIECES, program, 3))  # it lost some: its own word, and later
    assert site.entry().sync == late.stream_of(1).plan.held(3)


def test_without_anything_new_the_answer_is_8_bytes(site: Site) -> None:
    assert site.beat() == Reply()
    assert len(site.riding.answer(site.terminal, State(), 1000, site.world.now)) == 8


def test_the_pieces_make_a_header_for_everybody_and_then_the_file(site: Site) -> None:
    site.world.start(site.new)
    first = site.beat()
    assert (first.first, first.size, len(first.pieces)) == (0, PIECE, 1)
    stream = b"".join(b"".join(reply.pieces) for reply in site.gather(first.program))
    where, file = split(stream)
    about = trickle.about(stream[: where.begin * PIECE])
    assert hashlib.sha256(file).digest() == about.file
    assert about.file[:4] == first.program
    assert about.envelope == site.new.envelope
    assert about.version == "1.1"
    assert about.blocks == b"".join(hashlib.sha256(file[at : at + 4096]).digest()[:16] for at in range(0, len(file), 4096))
    offer = site.world.delivery.check(site.terminal, site.world.says(OLD, stage=1 << 20), site.world.now)
    assert offer is not None
    assert (offer.file, offer.size) == (about.file, about.size)
    assert offer.ticket not in stream


def test_the_ledger_follows_the_terminals_own_sync_point_up_and_down(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    where, _ = split(b"".join(b"".join(reply.pieces) for reply in site.gather(program)))
    for sync in (where.begin, where.begin + 7, where.begin + 3, 0, where.count):
        site.beat(State(Ask.PIECES, program, sync))
        assert site.entry().sync == where.held(sync)
    assert site.entry().phase == "downloading"
    assert site.entry().verdict == "pending"
    assert site.entry().distributed is not None


def test_a_server_that_forgot_everything_goes_on_where_the_terminal_is(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    before = site.beat(State(Ask.PIECES, program, 9))
    site.riding = Trickle(site.world.delivery)
    assert site.beat(State(Ask.PIECES, program, 9)) == before


def test_a_terminal_that_has_all_of_it_is_told_so_and_sent_nothing(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    where, _ = split(b"".join(b"".join(reply.pieces) for reply in site.gather(program)))
    assert site.beat(State(Ask.PIECES, program, where.count)) == Reply(program)
    assert site.beat(State(Ask.PIECES, program, 0xFFFFFF)) == Reply(program)


def test_nothing_rides_to_a_terminal_without_durable_room_for_all_of_it(site: Site) -> None:
    site.world.start(site.new)
    size = len(NEW) // 8
    for room, rides in ((0, False), (size - 1, False), (size, True)):
        site.checks_in(site.terminal, stage=room)
        assert bool(site.beat().pieces) is rides


def test_nothing_rides_before_the_terminal_has_shown_its_bank(site: Site) -> None:
    site.world.start(site.new)
    stranger = site.world.terminal("t2")
    assert site.beat(terminal=stranger) == Reply()


def test_a_program_that_is_not_this_terminals_is_never_sent(site: Site) -> None:
    site.world.start(site.new, site.terminal)
    program = site.beat().program
    other = site.world.terminal("t2")
    site.checks_in(other)
    assert site.beat(State(Ask.PIECES, program, 3), terminal=other) == Reply()


def test_a_rollout_that_is_stopped_stops_the_pieces(site: Site) -> None:
    made = site.world.start(site.new)
    program = site.beat().program
    site.world.move(made, "abort")
    assert site.beat(State(Ask.PIECES, program, 3)) == Reply()


def test_a_newer_release_is_named_instead_of_the_one_asked_for(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    site.world.start(site.world.release("1.2", NEWER, 3))
    named = site.beat(State(Ask.PIECES, program, 3))
    assert named == Reply(named.program)
    assert named.program not in (program, NOTHING)
    assert site.beat(State(Ask.PIECES, named.program, 0)).pieces


def radio(site: Site, priority: int = 0) -> Release:
    """A smaller program for another component of the same terminal."""
    old, new = image(7, 9_000), image(8, 9_000)
    for number, data in enumerate((old, new), 1):
        envelope = signed(data, number)
        upload = Upload(data, "phone", f"r{number}", component="radio", envelope=envelope, priority=priority)
        found = catalog.add(site.world.store, upload, site.world.now)
    site.world.start(found)
    site.checks_in(site.terminal, old, component="radio")
    return found


def prefer(site: Site, release: Release, priority: int) -> None:
    with site.world.store.write() as db:
        catalog.set_priority(db, release.name, priority)


def test_a_priority_goes_before_what_is_nearer_to_its_end_and_a_switch_midway_loses_nothing(site: Site) -> None:
    site.world.start(site.new)
    small = radio(site)
    session, order, pieces = Session(Ram(1 << 20)), [], 0
    sent: list[tuple[bytes, int]] = []
    for beat in range(400):
        if beat in (3, 23):
            prefer(site, site.new, 5 if beat == 3 else -5)
        if beat == 13:
            prefer(site, small, 9)
        reply = site.beat(session.state(1000))
        if reply.pieces:
            order.append(reply.program)
            sent += [(reply.program, index) for index in range(reply.first, reply.first + len(reply.pieces))]
        heard = session.accept(trickle.encode_reply(reply))
        assert not heard.dropped
        pieces += heard.new
        if reply == Reply(reply.program) and beat > 100:
            break
    turns = [name for at, name in enumerate(order) if not at or order[at - 1] != name]
    first, second = turns[:2]
    assert turns[:4] == [first, second, first, second], "nearest to its end, priority 5, priority 9, what is left"
    assert len(sent) == len(set(sent)) == pieces, "a piece came twice"
    done = {one.program for one in session._known.values() if one.done}
    assert done == {first, second}


def test_priorities_have_bounds_and_the_same_again_is_nothing_to_do(site: Site) -> None:
    for priority in (-10, 10):
        with pytest.raises(UsageError):
            prefer(site, site.new, priority)
    with pytest.raises(NothingToDo):
        prefer(site, site.new, 0)


def test_what_was_complete_and_is_lost_is_found_out_whatever_has_priority(site: Site) -> None:
    """A terminal whose RAM lost everything asks for news; its smaller program was complete by all that is known here."""
    site.world.start(site.new)
    small = radio(site)
    program = site.beat().program
    came = site.gather(program)
    site.beat(State(Ask.PIECES, program, came[-1].first + len(came[-1].pieces)))
    prefer(site, site.new, 9)
    again = site.beat()
    assert (again.program, again.first, bool(again.pieces)) == (program, 0, True)
    assert site.beat(State(Ask.PIECES, program, 1)).program != program
    prefer(site, small, 9)
    assert site.beat(State(Ask.PIECES, program, 1)).first == 1


def test_symbols_and_gateways_follow_the_priority_too(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    radio(site)
    assert blind(site).program != program
    ahead = site.riding.ahead(site.terminal, None, 0, site.world.now)
    assert ahead is not None
    assert ahead.program != program
    prefer(site, site.new, 1)
    assert blind(site).program == program
    ahead = site.riding.ahead(site.terminal, None, 0, site.world.now)
    assert ahead is not None
    assert ahead.program == program


def test_of_several_programs_the_one_nearest_to_its_end_goes_first(site: Site) -> None:
    site.world.start(site.new)
    large = site.beat().program
    radio(site)
    named = site.beat(State(Ask.PIECES, large, 0))
    assert named == Reply(named.program)
    assert named.program != large
    came = site.gather(named.program)
    done = State(Ask.PIECES, named.program, came[-1].first + len(came[-1].pieces))
    assert site.beat(done) == Reply(large)
    assert site.beat(State(Ask.PIECES, large, 0)).program == large


@pytest.mark.parametrize("room", [0, 8, 207])
def test_an_answer_without_room_for_a_piece_names_the_program_only(site: Site, room: int) -> None:
    site.world.start(site.new)
    reply = site.beat(State(room=room))
    assert reply == Reply(reply.program)
    assert reply.program != NOTHING


def test_the_number_of_pieces_follows_the_rate_the_period_and_the_room(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    counts = {}
    for rate in (0, 1_000, 20_000, 1_000_000):
        state = State(Ask.PIECES, program, 0, link=trickle.link_class(rate))
        counts[rate] = len(site.beat(state).pieces)
    assert counts[0] == 1
    assert 13 <= counts[1_000] <= 17  # 5 % of 1,000 bytes a second in 60 s are 3,000 bytes
    assert counts[20_000] > counts[1_000]
    small = State(Ask.PIECES, program, 0, room=8 + 3 * PIECE + 199, link=255)
    assert len(site.beat(small).pieces) == 3


def test_the_share_of_the_line_is_never_above_a_twentieth_once_a_piece_fits_it() -> None:
    for spare in (0.0, 100.0, 3_999.0, 4_000.0, 1e6):
        count = trickle.ride(spare, 60_000, 200)
        assert count == 1 or count * 200 <= 0.05 * spare
    assert trickle.ride(1e9, 199, 200) == 0
    assert trickle.ride(1e9, 60_000, 200) == 300


def test_a_verdict_ends_the_pieces(site: Site) -> None:
    site.world.start(site.new)
    program = site.beat().program
    entry = site.entry()
    with site.world.store.read() as db:
        from neurath.server.fleet import actions

        action = actions.by_id(db, entry.action or 0)
    site.world.delivery.reported(action, Report(str(action.id), Phase.FAILED, Verdict.REFUSED, reason="no"), site.world.now)
    assert site.beat(State(Ask.PIECES, program, 3), after=1.0) == Reply()


def test_a_store_that_is_busy_costs_pieces_and_no_heartbeat(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurath.errors import RefusedError

    def busy(*_: object) -> None:
        raise RefusedError("the store is busy", "", "")

    site.world.start(site.new)
    program = site.beat().program
    monkeypatch.setattr(site.world.delivery, "decide_all", busy)
    assert site.beat(State(Ask.PIECES, program, 3)) == Reply(program)
    assert site.beat() == Reply()


# ---- carriers whose requests cannot vary -----------------------------------------------------------------------------------


def blind(site: Site, room: int = 1000, after: float = 60.0) -> Reply:
    site.world.now += after
    return trickle.decode_reply(site.riding.answer(site.terminal, None, room, site.world.now))


def test_a_terminal_that_cannot_say_what_it_lacks_gets_symbols_that_make_the_file(site: Site) -> None:
    site.world.start(site.new)
    session, complete = Session(Ram(1 << 20)), None
    for beat in range(400):
        reply = blind(site)
        assert reply.coded
        if beat % 5:  # a fifth of them is lost
            complete = session.accept(trickle.encode_reply(reply)).complete
        if complete is not None:
            break
    assert complete is not None
    offer = site.world.delivery.check(site.terminal, site.world.says(OLD, stage=1 << 20), site.world.now)
    assert offer is not None
    assert (offer.file, offer.size) == (complete.file, complete.size)
    assert site.entry().sync == 0, "nothing was confirmed"
    assert site.entry().bytes > 0


def test_no_symbol_is_sent_twice_also_by_a_server_that_was_killed(site: Site) -> None:
    site.world.start(site.new)
    seen: set[bytes] = set()
    for life in range(6):
        for _ in range(10):
            for symbol in blind(site).pieces:
                assert symbol[:4] not in seen
                seen.add(symbol[:4])
        site.riding.flush()
        site.checks_in(site.terminal)  # its course is read again
        if life % 2:
            site.riding = Trickle(site.world.delivery)


def test_symbols_stop_with_the_rollout_and_respect_the_room(site: Site) -> None:
    made = site.world.start(site.new)
    blind(site)
    assert not blind(site, 8 + 4 + PIECE - 1).pieces
    assert len(blind(site, 8 + 4 + PIECE).pieces) == 1
    assert len(blind(site, after=1800.0).pieces) == 4, "a rare packet is filled"
    site.world.move(made, "abort")
    assert blind(site) == Reply()


def test_a_piece_larger_than_the_carriers_room_is_named_and_never_cut(site: Site) -> None:
    """B9: the size is one for a file; the others are tests/server/test_pieces.py."""
    site.riding = Trickle(site.world.delivery, 1024)
    site.world.start(site.new)
    reply = site.beat(State(room=1000))
    assert (reply, reply.program != NOTHING) == (Reply(reply.program), True)
    assert len(site.beat(State(Ask.PIECES, reply.program, 0, room=1032)).pieces[0]) == 1024
