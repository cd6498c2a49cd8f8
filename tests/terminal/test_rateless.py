"""Coded symbols at the terminal: for carriers whose requests cannot vary, any loss, any order, any restart, and a change to a
carrier that can; whatever is false never completes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from neurath.ids import digest
from neurath.terminal.staging.durable import Folder, anything
from neurath.terminal.staging.place import Place, Ram
from neurath.terminal.staging.trickle import Heard, Session
from neurath.wire import rateless, trickle
from neurath.wire.rateless import Segments, Source
from neurath.wire.trickle import Reply
from tests.terminal.test_trickle import Far, asks, data

ROOM = 1 << 22
SCHEDULES = 1_000 if os.environ.get("NEURATH_ASSURANCE") == "1" else 25


class Blind:
    """A server's end that hears nothing: symbols by its own count."""

    def __init__(self, file: bytes, piece: int = 64, sent: int = 0) -> None:
        self.far = Far(file, piece)
        count = self.far.plan.count
        padded = self.far.stream.ljust(count * piece, b"\0")
        step = rateless.SEGMENT * piece
        self.source = Source(Segments(count, piece), lambda n: padded[n * step : (n + 1) * step])
        self.sent = sent

    def answer(self, count: int = 3) -> bytes:
        symbols = tuple(self.source.symbol(self.sent + n) for n in range(count))
        self.sent += count
        return trickle.encode_reply(Reply(self.far.program, self.far.plan.count, self.far.piece, symbols, coded=True))


@pytest.fixture(params=["durable", "volatile"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Folder(tmp_path, ROOM) if request.param == "durable" else Ram(ROOM)


def gather(session: Session, blind: Blind, lost: float, rng: random.Random, most: int = 4000) -> int:
    """Answers until the file is complete; how many symbols were sent for it."""
    for _ in range(most):
        got = blind.answer()
        if rng.random() < lost:
            continue
        heard = session.accept(got)
        if heard.complete is not None:
            assert heard.complete.file == digest(blind.far.file)
            return blind.sent
    raise AssertionError("never complete")


def test_without_loss_the_pieces_themselves_are_all_that_is_sent(place: Place) -> None:
    blind = Blind(data(1))
    assert gather(Session(place), blind, 0.0, random.Random(1)) <= blind.far.plan.count + 3


@pytest.mark.parametrize("lost", [0.05, 0.2, 0.5])
def test_any_loss_costs_what_was_lost_and_hardly_more(place: Place, lost: float, seed: int) -> None:
    blind = Blind(data(2))
    sent = gather(Session(place), blind, lost, random.Random(seed))
    count = blind.far.plan.count
    assert sent * (1 - lost) <= count * 1.5 + 60, f"{sent} symbols for {count} pieces"


def test_a_stream_of_several_segments_whose_first_answers_all_got_lost(place: Place, seed: int) -> None:
    blind = Blind(random.Random(4).randbytes(70_000))
    assert blind.source.segments.number == 3
    blind.sent = 900
    gather(Session(place), blind, 0.2, random.Random(seed))


def test_one_who_comes_late_to_a_multicast_gathers_the_same_file(place: Place, seed: int) -> None:
    """Begun anywhere in the order of sending: nothing but symbols beside the pieces may come."""
    blind = Blind(data(3), sent=10_000)
    assert gather(Session(place), blind, 0.1, random.Random(seed)) - 10_000 < 3 * blind.far.plan.count


def test_any_schedule_gives_the_identical_file(seed: int) -> None:
    """Symbols lost, twice, late, out of order."""
    for number in range(SCHEDULES):
        rng = random.Random(seed * 100_003 + number)
        file = rng.randbytes(rng.choice((1, 63, 64, 700, 4096, 9000, 40_000)))
        blind, session = Blind(file, rng.choice((64, 128, 200)), rng.choice((0, 7, 5000))), Session(Ram(ROOM))
        way: list[bytes] = []
        heard = Heard()
        for _ in range(8000):
            way.append(blind.answer(rng.randint(1, 4)))
            if rng.random() < 0.8:
                got = way.pop(rng.randrange(len(way)) if rng.random() < 0.3 else 0)
                if rng.random() < 0.2:
                    continue
                way += [got] if rng.random() < 0.05 else []
                heard = session.accept(got)
            if heard.complete is not None:
                break
        assert heard.complete is not None, f"schedule {number} never ended"
        assert session.active is not None
        assert session.active.file is not None
        assert session.active.file.read(0, len(file)) == file


def test_symbols_survive_any_restart_and_are_cleaned_up_at_the_end(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    blind, complete = Blind(data(5), sent=400), None
    for _ in range(1000):
        session = Session(Folder(tmp_path, ROOM))  # a new life at every answer
        assert anything(tmp_path)[0] in (b"", digest(blind.far.file)[:16])
        got = blind.answer()
        if rng.random() > 0.2:
            complete = session.accept(got).complete
        if complete is not None:
            break
    assert complete is not None
    assert blind.sent < 400 + 3 * blind.far.plan.count
    assert len(list(tmp_path.glob("*.map"))) == 2, "header and file; no symbols are left"


def test_a_download_changes_from_symbols_to_pieces_and_back(place: Place, seed: int) -> None:
    """T24: DHCP to CoAP half-way; what is here already is not sent again."""
    rng = random.Random(seed)
    blind, session = Blind(data(6)), Session(place)
    for _ in range(20):
        session.accept(blind.answer())
    held = session.state(500).sync
    assert held == 60
    far = blind.far
    for _ in range(15):
        session.accept(far.answer(asks(session)))
    assert min(far.sent) >= held
    blind.sent = 2000
    gather(session, blind, 0.2, rng)


def test_a_false_symbol_spoils_nothing_for_ever(place: Place, seed: int) -> None:
    rng = random.Random(seed)
    blind, session = Blind(data(7), sent=300), Session(place)
    for _ in range(2000):
        got = bytearray(blind.answer(1))
        if rng.random() < 0.05 and blind.sent < 600:
            got[-1] ^= 1
        complete = session.accept(bytes(got)).complete
        if complete is not None:
            break
    assert complete is not None
    assert complete.file == digest(blind.far.file)


def test_symbols_of_other_streams_and_nonsense_are_dropped(place: Place) -> None:
    blind, session = Blind(data(8)), Session(place)
    program, count = blind.far.program, blind.far.plan.count
    for symbol in (rateless.name(9, 0) + bytes(64), rateless.name(0, 1 << 23) + bytes(64)):
        session.accept(trickle.encode_reply(Reply(program, count, 64, (symbol,), coded=True)))
    session.accept(trickle.encode_reply(Reply(program, 5, 64, (rateless.name(0, 7) + bytes(64),), coded=True)))
    gather(session, blind, 0.1, random.Random(1))


def test_without_room_for_symbols_they_are_dropped_and_harm_nothing() -> None:
    blind, session = Blind(data(9), sent=500), Session(Ram(100))
    for _ in range(50):
        heard = session.accept(blind.answer())
        assert heard.new == 0
        assert heard.complete is None
