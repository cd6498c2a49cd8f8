"""What every carrier with riding pieces promises, client half and server half together: a carrier's test module subclasses
RidesContract and puts a Shelf where the server half asks. The Shelf is a Riding of its own, a server's trickle in memory."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from neurath.carriers.base import Rides, Seen
from neurath.errors import LinkError, NeurathError
from neurath.ids import Version, digest
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import trickle
from neurath.wire.offer import Kind
from neurath.wire.rateless import SEGMENT, Segments, Source
from neurath.wire.trickle import About, Ask, Plan, Reply, State

FILE = random.Random(12).randbytes(9_000)
#: One piece fits every carrier there is.
PIECE = 200
ROOM = 1 << 20
NOTHING = trickle.encode_reply(Reply())


class Stream:
    """One file as the stream of pieces that a server makes of it."""

    def __init__(self, file: bytes, piece: int = PIECE) -> None:
        blocks = b"".join(digest(file[at : at + 4096])[:16] for at in range(0, len(file), 4096))
        head = trickle.header(About(Kind.DELTA, digest(file), len(file), b"e" * 100, blocks, Version("2")))
        self.file = file
        self.plan: Plan = trickle.plan(head, piece)
        self.bytes = head.ljust(self.plan.begin * piece, b"\0") + file
        self.program = digest(file)[:4]
        whole, step = self.bytes.ljust(self.plan.count * piece, b"\0"), SEGMENT * piece
        self.source = Source(Segments(self.plan.count, piece), lambda n: whole[n * step : (n + 1) * step])

    def reply(self, first: int, count: int) -> Reply:
        size = self.plan.piece
        cut = [self.bytes[at * size : (at + 1) * size] for at in range(first, first + count)]
        pieces = tuple(piece for piece in cut if piece)
        if not pieces:
            return Reply(self.program)
        return Reply(self.program, first, size, pieces, first + len(pieces) == self.plan.count)

    def coded(self, first: int, count: int) -> Reply:
        symbols = tuple(self.source.symbol(order) for order in range(first, first + count))
        return Reply(self.program, self.plan.count, self.plan.piece, symbols, coded=True)


@dataclass
class Shelf:
    """A Riding in memory: streams for anybody who asks, what was asked, and answers made worse on demand. A terminal whose
    packets carry no state gets the symbols of the first stream one after the other. `filler` is an answer of
    that many bytes to everything, to see what a carrier takes."""

    streams: list[Stream] = field(default_factory=list)
    most: int = 3
    filler: int = 0
    seen: list[Seen] = field(default_factory=list)
    states: list[bytes | None] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    _sent: int = 0

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        assert now > 0
        self.seen.append(seen)
        self.states.append(state)
        self.rooms.append(room)
        data = bytes(self.filler) if self.filler else self._answer(state, room)
        self.lengths.append(len(data))
        return data

    at_once = answer  # it never has to wait

    def _answer(self, state: bytes | None, room: int) -> bytes:
        if not self.streams:
            return b""
        if state is None:
            stream = self.streams[0]
            count = min(self.most, (room - trickle.REPLY_HEADER) // (stream.plan.piece + trickle.NAME))
            self._sent += max(0, count)
            return trickle.encode_reply(stream.coded(self._sent - count, count)) if count > 0 else b""
        asked = trickle.decode_state(state)
        stream = next((s for s in self.streams if s.program == asked.program), self.streams[0])
        if asked.ask is Ask.PIECES and stream.program != asked.program:
            return trickle.encode_reply(Reply(stream.program))
        if asked.sync >= stream.plan.count:
            return trickle.encode_reply(Reply(stream.program))
        count = min(self.most, (min(room, asked.room) - trickle.REPLY_HEADER) // stream.plan.piece)
        reply = stream.reply(asked.sync, count) if count > 0 else Reply(stream.program)
        return trickle.encode_reply(reply)


class RideSite(Protocol):
    """Both halves of a carrier, with one terminal, over whatever lies between them."""

    rides: Rides
    shelf: Shelf
    terminal: str
    #: Packets that one heartbeat costs, its answer not counted: 1, or 2 for LwM2M and MQTT.
    cost: int

    def packets(self) -> int:
        """Packets (requests of any kind) that the client half has sent so far, counted between the halves."""
        ...

    def cut(self) -> None:
        """The far end is dead."""
        ...

    def mend(self) -> None: ...

    def damage(self, on: bool) -> None:
        """From now on one byte of what rides on each answer arrives changed (where the carrier vouches for the other side:
        after it was vouched for)."""
        ...


def asks(state: State) -> bytes:
    return trickle.encode_state(state)


def gathered(site: RideSite, session: Session, beats: int = 400) -> About | None:
    """Heartbeats until the file is complete; lost ones are lost."""
    for _ in range(beats):
        try:
            data = site.rides.beat(asks(session.state(site.rides.descriptor.reply_room)))
        except NeurathError:
            continue
        complete = session.accept(data).complete
        if complete is not None:
            return complete
    return None


class RidesContract:
    """One terminal, one carrier, pieces on its answers."""

    @pytest.fixture
    def site(self) -> RideSite:
        raise NotImplementedError

    def test_who_was_heard_is_told(self, site: RideSite) -> None:
        site.rides.beat(asks(State()))
        seen = site.shelf.seen[-1]
        assert (seen.terminal, seen.tenant) == (site.terminal, "DEFAULT")
        assert seen.carrier
        assert seen.address

    def test_a_state_that_may_vary_arrives_unchanged(self, site: RideSite, seed: int) -> None:
        rng = random.Random(seed)
        varies = site.rides.descriptor.state == "dynamic"
        for _ in range(20):
            program = rng.randbytes(3) + b"\x01"
            state = State(Ask.PIECES, program, rng.randrange(1 << 24), rng.randrange(1 << 16), rng.randrange(256))
            site.rides.beat(asks(state))
            assert site.shelf.states[-1] == (asks(state) if varies else site.shelf.states[0])

    def test_where_there_is_nothing_nothing_rides(self, site: RideSite) -> None:
        data = site.rides.beat(asks(State()))
        assert data in (b"", NOTHING)

    def test_an_answer_of_any_length_arrives_as_it_was(self, site: RideSite) -> None:
        room = site.rides.descriptor.reply_room
        site.rides.beat(asks(State(room=room)))
        for length in {1, 8, 208, min(255, room), min(256, room), min(site.shelf.rooms[-1], room)}:
            site.shelf.filler = length
            assert site.rides.beat(asks(State(room=room))) == bytes(length)

    def test_an_answer_never_exceeds_the_room(self, site: RideSite) -> None:
        """The room a server half grants is one that its carrier has; what exceeds it is never sent, in whole or in part."""
        room = site.rides.descriptor.reply_room
        site.shelf.streams, site.shelf.most = [Stream(FILE)], 10_000
        data = site.rides.beat(asks(State(room=trickle.MAX_ROOM)))
        assert PIECE + 8 <= len(data) <= room
        assert site.shelf.rooms[-1] <= room
        site.shelf.filler = site.shelf.rooms[-1] + 1
        with contextlib.suppress(LinkError):  # refused as a whole, or nothing rides
            assert site.rides.beat(asks(State())) in (b"", NOTHING)

    def test_a_file_trickles_whole(self, site: RideSite) -> None:
        site.shelf.streams = [Stream(FILE)]
        session = Session(Ram(ROOM))
        complete = gathered(site, session)
        assert complete is not None
        assert complete.file == digest(FILE)
        assert session.active is not None
        assert session.active.file is not None
        assert session.active.file.read(0, len(FILE)) == FILE

    def test_a_dead_far_end_is_a_link_error_and_it_goes_on_afterwards(self, site: RideSite) -> None:
        site.shelf.streams = [Stream(FILE)]
        session = Session(Ram(ROOM))
        for _ in range(3):
            session.accept(site.rides.beat(asks(session.state(site.rides.descriptor.reply_room))))
        before = session.state(0xFFFF)
        site.cut()
        with pytest.raises(LinkError):
            site.rides.beat(asks(session.state(site.rides.descriptor.reply_room)))
        assert session.state(0xFFFF) == before
        site.mend()
        assert gathered(site, session) is not None

    def test_a_damaged_answer_is_refused(self, site: RideSite) -> None:
        """By the carrier, or by the block hashes: nothing false is ever called complete."""
        site.shelf.streams = [Stream(FILE)]
        session = Session(Ram(ROOM))
        for _ in range(5):
            session.accept(site.rides.beat(asks(session.state(site.rides.descriptor.reply_room))))
        site.damage(True)
        assert gathered(site, session, 60) is None
        site.damage(False)
        complete = gathered(site, session)
        assert complete is not None
        assert complete.file == digest(FILE)

    def test_nothing_more_is_sent_than_the_carrier_says(self, site: RideSite) -> None:
        """B1, between the halves: as many packets with a file on its way as without."""
        counts = []
        for streams in ([], [Stream(FILE)]):
            site.shelf.streams = streams
            session = Session(Ram(ROOM))
            site.rides.beat(asks(State()))  # what a carrier sends once is not what is counted
            before = site.packets()
            for _ in range(30):
                session.accept(site.rides.beat(asks(session.state(site.rides.descriptor.reply_room))))
            counts.append(site.packets() - before)
        assert counts[0] <= counts[1] <= 30 * site.cost
        assert counts[0] >= 30
