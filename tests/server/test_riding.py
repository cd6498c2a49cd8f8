"""The server's riding, and the HTTP heartbeat through the real device plane under the contract of all riding carriers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from neurath.carriers.base import Seen
from neurath.carriers.heartbeat import HttpHeartbeat
from neurath.carriers.http import Place
from neurath.errors import NeurathError
from neurath.server.ddi import DevicePlane
from neurath.server.delivery.riding import ServerRiding
from neurath.server.delivery.streams import StreamPush
from neurath.server.delivery.trickle import Trickle
from neurath.server.device import Policy
from neurath.server.door import Door
from neurath.server.fleet import access
from neurath.server.fleet.access import Enrolment
from neurath.sim.link import CuttingLink
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply, State
from tests.contracts.riding import RidesContract, RideSite, Shelf
from tests.server.world import World, image, open_world

OLD, NEW = image(1), image(2)


class Counted(HttpHeartbeat):
    """The carrier, its requests counted where they leave it, its answers damaged on demand."""

    sent = 0
    damaged = False

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> None:
        self.sent += 1
        super()._send(method, target, headers, body)

    def beat(self, state: bytes) -> bytes:
        data = bytearray(super().beat(state))
        if self.damaged and data:
            data[-1] ^= 1
        return bytes(data)


class HttpSite:
    terminal = "unit"
    cost = 1

    def __init__(self, link: CuttingLink, token: str, shelf: Shelf) -> None:
        self.link = link
        self.shelf = shelf
        self.rides = Counted(Place(link.url, self.terminal, token, message_limit=5))

    def packets(self) -> int:
        return self.rides.sent

    def cut(self) -> None:
        self.link.allow(0)
        self.rides.close()

    def mend(self) -> None:
        self.link.mend()

    def damage(self, on: bool) -> None:
        self.rides.damaged = on


@contextlib.contextmanager
def plane(world: World, shelf: Shelf) -> Iterator[int]:
    routes = DevicePlane(world.delivery, shelf, StreamPush(), Policy()).routes()
    listener = socket.create_server(("127.0.0.1", 0))
    loop = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), http=Door, log_config=None, ws="none", lifespan="off"))
    thread = threading.Thread(target=loop.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not loop.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        loop.should_exit = True
        thread.join(20)


class TestHttpHeartbeat(RidesContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[RideSite]:
        world, shelf = open_world(tmp_path / "data"), Shelf()
        with world.store.write() as db:
            token = access.register(db, Enrolment("unit", "phone"), 1.0)
        with plane(world, shelf) as port, CuttingLink(("127.0.0.1", port)) as link:
            site = HttpSite(link, token, shelf)
            yield site
            site.rides.close()
        world.store.close()


# ---- the server's own riding ---------------------------------------------------------------------------------------------


@pytest.fixture
def riding(world: World) -> ServerRiding:
    world.release("1.0", OLD, 1)
    terminal = world.terminal()
    world.delivery.record(terminal, world.says(OLD, stage=1 << 20), world.now)
    return ServerRiding(Trickle(world.delivery))


def ask(riding: ServerRiding, world: World, state: bytes | None, room: int = 1000, who: str = "t1") -> bytes:
    world.now += 60
    return riding.answer(Seen(who, "toy", "10.0.0.9 via 192.0.2.1"), state, room, world.now)


def test_it_gives_what_the_trickle_gives_and_notes_who_was_heard_where(riding: ServerRiding, world: World) -> None:
    assert ask(riding, world, trickle.encode_state(State())) == b""
    world.start(world.release("1.1", NEW, 2))
    first = trickle.decode_reply(ask(riding, world, trickle.encode_state(State())))
    second = ask(riding, world, trickle.encode_state(State(Ask.PIECES, first.program, 1)))
    assert trickle.decode_reply(second).first == 1
    world.delivery.flush()
    with world.store.read() as db:
        found = access.find(db, "t1")
    assert (found.carrier, found.address, found.heard) == ("toy", "10.0.0.9 via 192.0.2.1", world.now)


def test_a_terminal_that_asks_for_what_is_gone_is_told_so(riding: ServerRiding, world: World) -> None:
    gone = ask(riding, world, trickle.encode_state(State(Ask.PIECES, b"gone", 7)))
    assert trickle.decode_reply(gone) == Reply()


def test_a_packet_without_state_gets_symbols_where_there_are_some_and_else_nothing(riding: ServerRiding, world: World) -> None:
    assert ask(riding, world, None) == b""
    world.start(world.release("1.1", NEW, 2))
    assert trickle.decode_reply(ask(riding, world, None)).coded
    assert ask(riding, world, None, 20) == b""


@pytest.mark.parametrize("state", [b"", b"\x40", bytes(12), b"\xff" * 12, bytes(500)])
def test_a_state_that_makes_no_sense_gets_nothing(riding: ServerRiding, world: World, state: bytes) -> None:
    world.start(world.release("1.1", NEW, 2))
    assert ask(riding, world, state) == b""


def test_a_stranger_gets_nothing_until_it_is_registered(riding: ServerRiding, world: World) -> None:
    world.start(world.release("1.1", NEW, 2))
    state = trickle.encode_state(State())
    assert ask(riding, world, state, who="t2") == b""
    other = world.terminal("t2")
    world.delivery.record(other, world.says(OLD, stage=1 << 20), world.now)
    assert trickle.decode_reply(ask(riding, world, state, who="t2")).pieces


@pytest.mark.parametrize("room", [0, 7, 8, 207, 208, 1000])
def test_it_never_gives_more_than_the_carriers_room(riding: ServerRiding, world: World, room: int) -> None:
    world.start(world.release("1.1", NEW, 2))
    assert len(ask(riding, world, trickle.encode_state(State(room=0xFFFF)), room)) <= room


@pytest.mark.parametrize("fault", [NeurathError("gone", "", ""), OSError(5, "broken"), ValueError("ours")])
def test_it_never_raises(riding: ServerRiding, world: World, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise fault

    monkeypatch.setattr(world.delivery, "decide_all", broken)
    world.start(world.release("1.1", NEW, 2))
    data = ask(riding, world, trickle.encode_state(State(Ask.PIECES, b"abcd", 7)))
    assert data == b"" or not trickle.decode_reply(data).pieces
    monkeypatch.setattr(world.delivery.store, "read", broken)
    assert ask(riding, world, trickle.encode_state(State()), who="t9") == b""
