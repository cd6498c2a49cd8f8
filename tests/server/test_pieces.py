"""B9: the size of pieces is one for a file from the first piece on, and fits the smallest carrier of those who are to have it:
what was seen of their heartbeats, or what an operator says for a rollout, a folder, the server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from neurath.carriers import coap, heartbeat, lwm2m, mqtt_rides
from neurath.carriers.base import Seen
from neurath.carriers.dhcp import clients
from neurath.errors import UsageError
from neurath.server.delivery.riding import ServerRiding
from neurath.server.delivery.trickle import Trickle
from neurath.server.fleet import pieces, rollout, underway
from neurath.server.fleet.access import Terminal
from neurath.server.software.catalog import Upload
from neurath.server.store import Store, database
from neurath.server.watch import arrival, folders
from neurath.terminal.staging.place import Ram
from neurath.terminal.staging.trickle import Session
from neurath.units import UnixTime
from neurath.wire import manifest, trickle
from neurath.wire.trickle import SIZES, Ask, Reply, State
from tests.server.world import KEY, MODEL, World, image

OLD, NEW = image(1), image(2)


class Group:
    """Terminals of one model on carriers of their own, before anything is offered to them."""

    def __init__(self, world: World, usual: int = pieces.USUAL, **rooms: int) -> None:
        self.world = world
        world.release("1.0", OLD, 1)
        self.new = world.release("1.1", NEW, 2)
        self.rooms = rooms
        self.terminals: dict[str, Terminal] = {}
        for name in rooms:
            self.terminals[name] = world.terminal(name)
            world.delivery.record(self.terminals[name], world.says(OLD, stage=1 << 20), world.now)
        self.restart(usual)
        for name in rooms:
            self.asks(name)

    def restart(self, usual: int = pieces.USUAL) -> None:
        """Another server on the same store."""
        self.riding = ServerRiding(Trickle(self.world.delivery, usual))

    def asks(self, name: str, state: State | None = None, *, blind: bool = False) -> Reply | None:
        self.world.now += 60
        room = self.rooms[name]
        sent = None if blind else trickle.encode_state(state or State(room=room))
        data = self.riding.answer(Seen(name, "test"), sent, room, self.world.now)
        return trickle.decode_reply(data) if data else None

    def size(self, name: str) -> int:
        reply = self.asks(name)
        assert reply is not None
        assert reply.pieces
        return reply.size

    def start(self, **more: str) -> None:
        with self.world.store.write() as db:
            made = rollout.create(db, rollout.Plan(self.new, None, 60.0, **more), self.world.now)
            rollout.move(db, made.id, "start", self.world.now)


@pytest.mark.parametrize(
    ("rooms", "size"),
    [({"wide": 1024}, 200), ({"wide": 1024, "dhcp": 208}, 200), ({"wide": 1024, "narrow": 207}, 128), ({"least": 72}, 64)],
)
def test_the_size_fits_the_smallest_room_that_was_seen(world: World, rooms: dict[str, int], size: int) -> None:
    group = Group(world, **rooms)
    group.start()
    assert {group.size(name) for name in rooms} == {size}


def test_a_carrier_whose_requests_do_not_vary_needs_room_for_a_symbols_name_too(world: World) -> None:
    group = Group(world, hook=8 + 200 + 3, wide=1024)
    group.asks("hook", blind=True)
    group.start()
    assert group.size("wide") == 128
    reply = group.asks("hook", blind=True)
    assert reply is not None
    assert (reply.coded, reply.size, len(reply.pieces)) == (True, 128, 1)


def test_a_size_that_was_begun_never_changes_whoever_comes_and_whatever_is_said(world: World) -> None:
    group = Group(world, wide=1024)
    group.start(pieces="512")
    session = Session(Ram(1 << 20))
    first = group.asks("wide")
    assert first is not None
    session.accept(trickle.encode_reply(first))
    late = world.terminal("late")
    world.delivery.record(late, world.says(OLD, stage=1 << 20), world.now)
    group.rooms["late"] = 100
    group.terminals["late"] = late
    group.restart(64)
    assert group.asks("late") == Reply(first.program), "named, and never cut"
    for beat in range(200):
        if beat == 3:
            group.start(pieces="64")
        if beat % 7 == 0:
            group.restart((64, 1024)[beat % 2])
        reply = group.asks("wide", session.state(1024))
        assert reply is not None
        if reply.pieces:
            assert (reply.size, reply.first) == (512, session.state(1024).sync)
        heard = session.accept(trickle.encode_reply(reply))
        assert not heard.dropped
        if heard.complete is not None:
            break
    assert heard.complete is not None
    world.delivery.flush()
    with world.store.read() as db:
        runs = {run.id: run for run in underway.runs(db, UnixTime(world.now))}
    assert {name: (run.piece, run.tight) for name, run in runs.items()} == {"wide": (512, False), "late": (512, True)}


@pytest.mark.parametrize(
    ("state", "room", "says"),
    [
        (State(room=500), 1024, 500),
        (State(room=2000), 1024, 1024),
        (State(Ask.PIECES, b"file", 7, room=8), 1024, 0),  # it measures
        (State(Ask.PIECES, b"file", 7, room=72), 1024, 0),  # it has a gap
        (State(Ask.PIECES, b"file", 7, room=1024), 504, 504),
        (None, 504, 500),
        (None, 2, 0),
    ],
)
def test_a_request_that_asks_for_less_than_its_carrier_has_says_nothing_of_the_carrier(
    state: State | None, room: int, says: int
) -> None:
    assert pieces.shown(state, room) == says


def test_a_sighting_without_a_room_keeps_the_one_that_was_seen(world: World) -> None:
    terminal = world.terminal("t")
    heard = world.delivery.heard
    for rooms, kept in (((300, 0), 300), ((0,), 300), ((0, 100, 0), 100)):
        for room in rooms:
            heard(terminal, "test", "", world.now, room)
        world.delivery.flush()
        with world.store.read() as db:
            assert db.exec_driver_sql("SELECT room FROM terminal").scalar_one() == kept


def test_of_two_servers_that_begin_a_file_the_first_is_right(world: World) -> None:
    new = world.release("1.1", NEW, 2)
    with world.store.write() as db:
        assert pieces.begin(db, new.image, 128, 1.0) == 128
    with world.store.write() as db:
        assert pieces.begin(db, new.image, 200, 2.0) == 128
        assert pieces.of(db, new.image) == 128


def test_the_rollouts_word_goes_before_the_servers_and_the_servers_before_none(world: World) -> None:
    group = Group(world, usual=1024, wide=4200)
    with world.store.read() as db:
        assert pieces.choose(db, "phone", "", 1024) == 1024
        assert pieces.choose(db, "phone", "256", 1024) == 256
        assert pieces.choose(db, "phone", "http", 64) == 512
        assert pieces.choose(db, "phone", "dhcp,http", 1024) == 256
        assert pieces.choose(db, "phone", "dhcp,mobileip", 1024) == 200
        assert pieces.choose(db, "nobody", "", 128) == 128
    group.start(pieces="http, dhcp")
    assert group.size("wide") == 256


def test_the_folders_word_is_its_rollouts(world: World, tmp_path: Path) -> None:
    group = Group(world, wide=1024)
    with world.store.write() as db:
        bound = folders.add(db, folders.Binding(tmp_path, "phone", "firmware", auto=True, pieces="dhcp"), 1.0)
    assert bound.pieces == "dhcp"
    data = image(9)
    arrival.arrive(world.store, Upload(data, "phone", "2.0", envelope=enveloped(data, 5)), world.now)
    with world.store.read() as db:
        assert rollout.all_rollouts(db)[0].pieces == "dhcp"
    assert group.size("wide") == 256


def enveloped(data: bytes, sequence: int) -> bytes:
    return manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version="2.0"), KEY)


def test_rooms_are_what_the_carriers_say_of_themselves() -> None:
    said = {"http": heartbeat.ROOM, "coap": coap.ROOM, "lwm2m": lwm2m.ROOM, "mqtt": mqtt_rides.ROOM, "dhcp": clients.ROOM}
    assert said.items() <= pieces.ROOMS.items()


@pytest.mark.parametrize("text", ["", "64", "4096", "http", "dhcp,http", "coap,dhcp,http,lwm2m,mobileip,mqtt,pair"])
def test_what_is_said_has_one_form(text: str) -> None:
    assert pieces.said(" , ".join(reversed(text.split(",")))) == text


@pytest.mark.parametrize("text", ["65", "-64", "0", "64,128", "carrier pigeon", "http,64", "64²"])
def test_what_names_no_size_and_no_carrier_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        pieces.said(text)


def test_every_room_takes_a_piece_of_what_fits_it() -> None:
    for room in range(72, 5000):
        size = pieces.fitting(room)
        assert size + 8 <= room
        assert size == SIZES[-1] or 8 + SIZES[SIZES.index(size) + 1] > room


def test_what_was_on_its_way_before_sizes_were_kept_stays_as_it_was_cut(world: World, tmp_path: Path) -> None:
    """A store of the migration before, with one file begun and one not."""
    place = tmp_path / "old"
    place.mkdir()
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    engine = create_engine(f"sqlite:///{place / 'neurath.db'}")
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    engine.dispose()
    with sqlite3.connect(place / "neurath.db") as db:
        db.execute("INSERT INTO model (name) VALUES ('m')")
        db.execute("INSERT INTO terminal (id, model) VALUES ('t', 'm')")
        for number, sent in ((1, 400), (2, 0)):
            db.execute("INSERT INTO file (digest) VALUES (?)", (f"f{number}",))
            db.execute("INSERT INTO release (model, version, image) VALUES ('m', ?, ?)", (str(number), f"f{number}"))
            row = (f"c{number}", number, f"f{number}")
            db.execute("INSERT INTO action (terminal, component, release, file, kind) VALUES (1, ?, ?, ?, 'full')", row)
            row = (f"c{number}", number, number, sent)
            db.execute("INSERT INTO ledger (terminal, component, release, action, bytes) VALUES (1, ?, ?, ?, ?)", row)
    db.close()
    store = Store(place)
    with store.read() as found:
        assert (pieces.of(found, "f1"), pieces.of(found, "f2")) == (200, None)
    store.close()
