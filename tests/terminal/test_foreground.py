"""How other traffic fares, read from the kernel: real TCP connections, and nothing sent for it."""

from __future__ import annotations

import socket
import struct

import pytest

from neurath.terminal.foreground import Tcp, Trip, Unseen


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        for _ in range(20):
            near.sendall(b"x" * 100)
            far.recv(100)
            far.sendall(b"y" * 100)
            near.recv(100)
        yield near, far
        near.close()
        far.close()


def test_the_kernels_round_trips_of_real_connections_are_read(pair) -> None:
    near, _ = pair
    own = struct.unpack_from("=I", near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 68)[0] / 1e6
    found = Tcp(here=True).trips()
    assert any(abs(trip.smooth - own) < 1e-9 and trip.local for trip in found), "the connection is not among them"
    assert all(0 < trip.least <= trip.smooth * 8 for trip in found)


def test_connections_that_never_leave_the_machine_and_idle_ones_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = [Trip(True, 9.0, 0.1, 0), Trip(False, 9.0, 0.1, 60_000)]
    monkeypatch.setattr(Tcp, "trips", lambda self: trips)
    assert Tcp().rise() == 1.0
    trips.append(Trip(False, 0.63, 0.6, 100))
    assert Tcp().rise() == pytest.approx(0.63 / 0.605)
    assert Unseen().rise() == 1.0


def test_where_the_kernel_says_nothing_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refused)
    assert Tcp().trips() == []
    assert Tcp().rise() == 1.0
