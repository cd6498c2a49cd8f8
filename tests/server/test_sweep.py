"""A sweep over many terminals: its pace, who is written down as told, who is told again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import event

from neurath.errors import RefusedError
from neurath.ids import TerminalId
from neurath.server.app import Server
from neurath.server.delivery.push import Turns
from neurath.server.delivery.streams import StreamPush
from neurath.server.delivery.sweep import Pace, Sweep
from neurath.server.device import Policy
from neurath.server.fleet import reach, rollout, telling
from neurath.server.fleet.reach import Told
from tests.server.world import image

QUICK = Pace(slice=10, pause=0.001, check_ins=100.0, write=0.02, batch=50, repeat=0.2, longest=0.8)


def told(count: int, release: int = 1) -> list[Told]:
    return [Told(n, TerminalId(f"DEFAULT/t{n}"), "firmware", release) for n in range(1, count + 1)]


class Carrier:
    """Reaches whom it is told to."""

    def __init__(self, reaches: Callable[[TerminalId], bool] = lambda _: True) -> None:
        self.reaches = reaches
        self.said: list[tuple[TerminalId, float]] = []

    under_way = 0

    def hears(self, terminal: TerminalId) -> bool:
        return terminal.endswith("77")

    def notify(self, terminals, within=0.0, reached=lambda _: None) -> int:
        names = list(terminals)
        self.said += [(one, within) for one in names]
        for one in filter(self.reaches, names):
            reached(one)
        return len(names)


class Book:
    """Who was told, as it is written down."""

    def __init__(self, everybody: Sequence[Told]) -> None:
        self.everybody = everybody
        self.noted: list[TerminalId] = []
        self.faults = 0
        self.asked = 0

    def note(self, batch: Sequence[Told]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert len(batch) <= QUICK.batch
        if self.faults:
            self.faults -= 1
            raise RefusedError("the store is busy", "locked", "later", id="NRT-310")
        self.noted += [one.channel for one in batch]

    def missing(self) -> list[Told]:
        self.asked += 1
        return [one for one in self.everybody if one.channel not in self.noted]


async def sweeping(sweep: Sweep, done: Callable[[], bool], limit: float = 10.0) -> None:
    running = asyncio.ensure_future(sweep.run())
    began = time.monotonic()
    try:
        while not done():
            assert time.monotonic() - began < limit
            await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_everybody_is_told_once_in_slices_and_written_down_in_batches() -> None:
    async def story() -> None:
        carrier, book = Carrier(), Book(told(500))
        sweep = Sweep([carrier], book.note, list, QUICK)
        sweep.tell(told(500))
        await sweeping(sweep, lambda: len(book.noted) == 500)
        assert sorted(name for name, _ in carrier.said) == sorted(one.channel for one in told(500))
        assert carrier.said[0][0] == "DEFAULT/t77"  # who listens comes first
        assert all(within == pytest.approx(5.0, abs=0.2) for _, within in carrier.said)  # 500 of them, 100 a second

    asyncio.run(story())


def test_other_work_goes_on_during_a_sweep() -> None:
    """Counted, not timed: a full collection in a worker that ran thousands of tests takes a second by itself."""

    async def story() -> None:
        carrier, pace = Carrier(lambda _: False), Pace(slice=100, pause=0.001)
        sweep = Sweep([carrier], lambda _: None, list, pace)
        sweep.tell(told(20_000))
        running, turns = asyncio.ensure_future(sweep.run()), 0
        while sweep.waiting:
            before = len(carrier.said)
            await asyncio.sleep(0)
            turns += 1
            assert len(carrier.said) - before <= pace.slice  # nothing waits for the whole of it
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(carrier.said) == 20_000
        assert turns >= 200

    asyncio.run(story())


def test_a_whole_fleet_is_put_in_line_a_part_at_a_time() -> None:
    """With a broker a rollout's start brings everybody at once: nobody else may wait for that."""

    async def story() -> None:
        looked = 0

        class Counting(Carrier):
            def hears(self, terminal: TerminalId) -> bool:
                nonlocal looked
                looked += 1
                return super().hears(terminal)

        sweep = Sweep([Counting()], lambda _: None, list, Pace(pause=0.0, batch=50))
        running = asyncio.ensure_future(sweep.run())
        await asyncio.sleep(0)
        sweep.tell(told(2_000))
        assert sweep.waiting == 2_000
        while looked < 2_000:
            before = looked
            await asyncio.sleep(0)
            assert looked - before <= 50
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_who_could_not_be_reached_is_told_again_and_nobody_else() -> None:
    async def story() -> None:
        back: set[str] = set()
        carrier = Carrier(lambda name: name not in ("DEFAULT/t3", "DEFAULT/t5") or name in back)
        book = Book(told(20))
        sweep = Sweep([carrier], book.note, book.missing, QUICK)
        sweep.tell(told(20))
        await sweeping(sweep, lambda: book.asked >= 1)
        again = [name for name, _ in carrier.said[20:]]
        assert set(again) <= {"DEFAULT/t3", "DEFAULT/t5"}
        back.update(("DEFAULT/t3", "DEFAULT/t5"))
        sweep.again()
        await sweeping(sweep, lambda: len(book.noted) == 20)
        assert len(set(book.noted)) == 20

    asyncio.run(story())


def test_a_busy_store_loses_nobody_who_was_told() -> None:
    async def story() -> None:
        book = Book(told(120))
        book.faults = 3
        sweep = Sweep([Carrier()], book.note, list, QUICK)
        sweep.tell(told(120))
        await sweeping(sweep, lambda: len(book.noted) == 120)
        assert len(set(book.noted)) == 120

    asyncio.run(story())


def test_turns_add_up_and_pass_with_time() -> None:
    turns = Turns(100.0)
    assert turns.within(50, 1000.0) == pytest.approx(0.5)
    assert turns.within(50, 1000.0) == pytest.approx(1.0)
    assert turns.within(1, 1060.0) == pytest.approx(0.01)


def test_the_ledger_knows_who_was_told_before_anything_was_offered(world) -> None:
    one, two = world.terminal("t1"), world.terminal("t2")
    new = world.release("2", image(2), 2)
    made = world.start(new)
    with world.store.write() as db:
        lacking = telling.lacking(db, made)
        assert [t.channel for t in lacking] == ["DEFAULT/t1", "DEFAULT/t2"] or len(lacking) == 2
        reach.notified(db, [t for t in lacking if t.n == one.n], 7.0)
    entry = world.entry(one, new)
    assert (entry.notified, entry.offered, entry.distributed, entry.phase) == (7.0, None, None, "idle")
    assert world.entry(two, new) is None
    with world.store.read() as db:
        assert [t.n for t in telling.unreached(db)] == [two.n]  # who was told is not told again ...
        assert {t.n for t in telling.lacking(db, made)} == {one.n, two.n}  # ... but by a new act
    offer = world.delivery.check(one, world.says(image(1)), world.now)
    assert offer is not None
    assert (world.entry(one, new).notified, world.entry(one, new).phase) == (7.0, "offered")


def test_only_those_who_listen_are_looked_for(world, monkeypatch) -> None:
    monkeypatch.setattr(reach, "_PART", 5)
    names = [f"t{n}" for n in range(14)]  # more than are looked for at once
    for name in names:
        world.terminal(name)
    made = world.start(world.release("2", image(2), 2))
    listening = [f"DEFAULT/{name}" for name in names[:12]]
    with world.store.write() as db:
        for found in (telling.lacking, telling.unreached):
            rest = (db, made) if found is telling.lacking else (db,)
            assert {one.channel for one in found(*rest, listening)} == set(listening)
            assert found(*rest, []) == found(*rest, ["other/t1", "DEFAULT/t1/x"]) == []
            assert len(found(*rest)) == 14
        mark = telling.notices_since(db, 0)[0]
        rollout.move(db, made.id, "pause", world.now)
        rollout.move(db, made.id, "resume", world.now)
        assert [one.channel for one in telling.notices_since(db, mark, ["DEFAULT/t7"])[1]] == ["DEFAULT/t7"]
    with world.store.read() as db:
        assert reach.holding(db, made.id, listening) == []


def test_everybody_is_read_a_part_at_a_time(world, monkeypatch) -> None:
    monkeypatch.setattr(reach, "_SPAN", 4)
    for n in range(14):
        world.terminal(f"t{n}")
    made = world.start(world.release("2", image(2), 2))
    rows: list[int] = []

    def counted(connection, cursor, statement, *_rest) -> None:
        if "AS draw" in statement:
            rows.append(len(connection.connection.cursor().execute(statement, _rest[0]).fetchall()))

    with world.store.read() as db:
        event.listen(db, "before_cursor_execute", counted)
        assert sorted(one.n for one in telling.lacking(db, made)) == list(range(1, 15))
        assert sorted(one.n for one in telling.unreached(db)) == list(range(1, 15))
    assert rows == [4, 4, 4, 2] * 2


def test_a_server_without_a_broker_looks_for_those_who_stream_here_and_with_one_for_everybody(world) -> None:
    streams = StreamPush()
    alone = Server(world.store, world.delivery.deltas, world.delivery, streams, Policy())
    assert alone.listening() == []

    async def one_enters() -> None:
        streams.enter(TerminalId("DEFAULT/t1"), first=True)

    asyncio.run(one_enters())
    assert alone.listening() == ["DEFAULT/t1"]
    beside = Server(world.store, world.delivery.deltas, world.delivery, streams, Policy(), [StreamPush()])
    assert beside.listening() is None


def test_who_came_by_himself_needs_no_notice(world) -> None:
    one = world.terminal("t1")
    made = world.start(world.release("2", image(2), 2))
    assert world.delivery.check(one, world.says(image(1)), world.now) is not None
    with world.store.read() as db:
        assert telling.unreached(db) == []
        assert len(telling.lacking(db, made)) == 1


def test_when_a_rollout_stops_those_who_hold_its_offer_are_told(world) -> None:
    one = world.terminal("t1")
    world.terminal("t2")
    made = world.start(world.release("2", image(2), 2))
    world.delivery.check(one, world.says(image(1)), world.now)
    with world.store.write() as db:
        mark, _ = telling.notices_since(db, 0)
        rollout.move(db, made.id, "pause", world.now)
        assert [t.n for t in telling.notices_since(db, mark)[1]] == [one.n]
