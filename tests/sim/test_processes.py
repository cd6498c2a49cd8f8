"""What processes that are started share with everything else on the machine."""

from __future__ import annotations

import socket

from neurath.sim.processes import LOCAL_PORTS, free_port


def test_a_free_port_is_another_one_each_time_and_none_that_the_kernel_gives_away() -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100
    low, _ = map(int, LOCAL_PORTS.read_text().split())
    assert low < 12_000 or max(ports) < low
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as held:
            held.bind(("127.0.0.1", ports[0]))
