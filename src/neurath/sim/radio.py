"""The modem of an emulated phone: frames of its serial air on one side, UDP to the server on the other, and a slow, lossy
network between. It knows SLIP and time; it must never look into a datagram."""

from __future__ import annotations

import binascii
import contextlib
import heapq
import itertools
import random
import select
import socket
import threading
import time
from dataclasses import dataclass

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
#: Bytes that IP and UDP add to a datagram on the air.
HEADERS = 28


#: A datagram on its way: when it is there, its place among equals, whether it goes up, its bytes.
Flying = tuple[float, int, bool, bytes]


@dataclass(frozen=True, slots=True)
class Air:
    """A network: `rate` bits a second (0: no limit) and `delay` seconds each way, `loss` of datagrams. `steady`: of each
    1/`loss` datagrams of a direction exactly one is lost, which one is drawn; so what an update costs hangs on no luck."""

    rate: float = 0.0
    delay: float = 0.0
    loss: float = 0.0
    seed: int = 0
    steady: bool = False


class Losses:
    """Which datagrams of one direction are lost."""

    def __init__(self, air: Air, dice: random.Random) -> None:
        self._air, self._dice = air, dice
        self._left = self._doomed = 0

    def next(self) -> bool:
        if not self._air.steady:
            return self._dice.random() < self._air.loss
        if not self._left:
            self._left = round(1 / self._air.loss)
            self._doomed = self._dice.randint(1, self._left)
        self._left -= 1
        return self._left + 1 == self._doomed


def frame(datagram: bytes) -> bytes:
    """A datagram as the phone's line carries it: SLIP, CRC-16 (CCITT, start FFFF) behind the bytes."""
    body = datagram + binascii.crc_hqx(datagram, 0xFFFF).to_bytes(2, "big")
    quoted = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + quoted + b"\xc0"


class Deframer:
    """Bytes of the line in, whole datagrams out; damaged ones are dropped."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._held += data
        *whole, rest = bytes(self._held).split(b"\xc0")
        self._held = bytearray(rest)
        found = []
        for part in whole:
            body = part.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            if len(body) > 2 and binascii.crc_hqx(body, 0xFFFF) == 0:
                found.append(body[:-2])
        return found


class Radio:
    """One attachment of a phone to its network. `near` is the phone's air line. `area` cleared: out of area. Counts what was
    on the air, headers included, and notes every datagram that arrived: whether it went up, its bytes."""

    def __init__(self, near: socket.socket, server: tuple[str, int], air: Air | None = None) -> None:
        self.air = air or Air()
        self.up = self.down = self.lost = 0
        self.arrived: list[tuple[bool, bytes]] = []
        self.area = threading.Event()
        self.area.set()
        self._near = near
        self._far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._far.connect(server)
        dice = random.Random(self.air.seed)
        self._losses = {True: Losses(self.air, dice), False: Losses(self.air, dice)}
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._off.set()
        self._thread.join(5)
        self._far.close()

    def _run(self) -> None:
        lines = Deframer()
        order = itertools.count()
        waiting: list[Flying] = []
        free = {True: 0.0, False: 0.0}
        while not self._off.is_set():
            pause = 0.05 if not waiting else max(0.0, min(0.05, waiting[0][0] - time.monotonic()))
            try:
                ready, _, _ = select.select([self._near, self._far], [], [], pause)
                came = [(True, d) for d in lines.feed(self._near.recv(4096))] if self._near in ready else []
            except (OSError, ValueError):
                return  # the phone is off
            if self._far in ready:
                with contextlib.suppress(OSError):  # nobody listens there yet
                    came.append((False, self._far.recv(65535)))
            for upward, datagram in came:
                free[upward] = self._enter(free[upward], upward, datagram, waiting, order)
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, upward, datagram = heapq.heappop(waiting)
                self._deliver(upward, datagram)

    def _enter(
        self,
        free: float,
        upward: bool,
        datagram: bytes,
        waiting: list[tuple[float, int, bool, bytes]],
        order: itertools.count[int],
    ) -> float:
        """Puts a datagram on the air; when its direction is free again."""
        size = len(datagram) + HEADERS
        if upward:
            self.up += size
        else:
            self.down += size
        sent = max(free, time.monotonic()) + (size * 8 / self.air.rate if self.air.rate else 0.0)
        if self._losses[upward].next() or not self.area.is_set():
            self.lost += 1
        else:
            heapq.heappush(waiting, (sent + self.air.delay, next(order), upward, datagram))
        return sent

    def _deliver(self, upward: bool, datagram: bytes) -> None:
        self.arrived.append((upward, datagram))
        with contextlib.suppress(OSError):
            if upward:
                self._far.send(datagram)
            else:
                self._near.sendall(frame(datagram))
