"""A file over a narrow air in series of blocks: the very C code of the boot core, on this host, against a server and an air in
simulated time. What it costs hangs on the dice of the air alone, not on this machine."""

from __future__ import annotations

import ctypes
import heapq
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from neurath.sim.radio import HEADERS
from neurath.wire import coap
from neurath.wire.coap import Block, Code, Message, Type
from tests.parts import need

ROOT = Path(__file__).parents[2]
STUB = """#include "air.h"
#include "board.h"
#include "boot.h"
uint32_t (*rig_millis)(void); void (*rig_send)(const uint8_t *, uint32_t); uint32_t (*rig_take)(uint8_t *, uint32_t);
void boot_poll(void) {}
int boot_wire_busy(void) { return 0; }
uint32_t fw_millis(void) { return rig_millis(); }
uint32_t fw_ticks(void) { return rig_millis(); }
void fw_air_send(const uint8_t *data, uint32_t len) { rig_send(data, len); }
uint32_t fw_air_take(uint8_t *data, uint32_t size) { return rig_take(data, size); }
"""
OK, MORE, GONE = 0, 1, -6
MILLIS = ctypes.CFUNCTYPE(ctypes.c_uint32)
SEND = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_uint32)
TAKE = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint8), ctypes.c_uint32)


class Series(ctypes.Structure):
    """struct fw_series of firmware/include/coap.h."""

    _fields_ = (
        ("path", ctypes.c_char_p * 3),
        ("token", ctypes.c_char_p),
        ("data", ctypes.POINTER(ctypes.c_uint8)),
        ("size", ctypes.c_uint32),
        ("held", ctypes.c_uint32),
        ("seen", ctypes.c_uint32),
        ("code", ctypes.c_uint8),
    )


def compiled(here: Path) -> Path:
    """The phone's CoAP as a library of this host, its air and its clock left open."""
    (here / "stub.c").write_text(STUB)
    words = [need("gcc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DBOARD_SX1"]
    include = [f"-I{ROOT / 'firmware/include'}", f"-I{ROOT / 'core/include'}"]
    sources = [str(ROOT / "firmware/coap.c"), str(here / "stub.c")]
    subprocess.run([*words, *include, *sources, "-o", str(here / "series.so")], check=True)
    return here / "series.so"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("series"))


class Air:
    """A server that has one file behind an air of so many bits a second, delay each way, and loss; time goes by when the phone
    looks for a datagram. `spent` are all bytes on the air, headers of IP and UDP counted; `blocks` are those that arrived."""

    def __init__(self, file: bytes, rate: int, delay: int, lost: Callable[[], bool]) -> None:
        self.file, self.rate, self.delay, self.lost = file, rate, delay, lost
        self.now = self.spent = self.requests = 0
        self.blocks: list[int] = []
        self._free = {True: 0.0, False: 0.0}
        self._coming: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._keep = (MILLIS(lambda: self.now), SEND(self._send), TAKE(self._take))

    def on(self, library: Path) -> ctypes.CDLL:
        """The firmware's code on this air."""
        code = ctypes.CDLL(str(library))
        for name, function in zip(("rig_millis", "rig_send", "rig_take"), self._keep, strict=True):
            ctypes.c_void_p.in_dll(code, name).value = ctypes.cast(function, ctypes.c_void_p).value
        return code

    def _enter(self, upward: bool, size: int, begun: float) -> float | None:
        self.spent += size + HEADERS
        self._free[upward] = max(self._free[upward], begun) + (size + HEADERS) * 8000 / self.rate
        return None if self.lost() else self._free[upward] + self.delay

    def _send(self, data: ctypes._Pointer[ctypes.c_uint8], length: int) -> None:
        request = coap.decode(bytes(data[:length]))
        self.requests += 1
        there = self._enter(True, length, self.now)
        if there is None:
            return
        assert request.type is Type.NON
        for block in coap.series(request.all(coap.Q_BLOCK2)):
            self._answer(request, block, there)

    def _answer(self, request: Message, block: Block, begun: float) -> None:
        data = self.file[block.number * 1024 :][:1024]
        if not data:
            return
        value = coap.block_value(Block(block.number, (block.number + 1) * 1024 < len(self.file)))
        answer = Message(Type.NON, Code.CONTENT, self._order & 0xFFFF, request.token, ((coap.Q_BLOCK2, value),), data)
        datagram = coap.encode(answer)
        there = self._enter(False, len(datagram), begun)
        self._order += 1
        if there is not None:
            heapq.heappush(self._coming, (there, self._order, datagram))

    def _take(self, data: ctypes._Pointer[ctypes.c_uint8], size: int) -> int:
        if not self._coming or self._coming[0][0] > self.now:
            self.now += 20
            return 0
        datagram = heapq.heappop(self._coming)[2]
        assert len(datagram) <= size
        ctypes.memmove(data, datagram, len(datagram))
        value = coap.decode(datagram).uint(coap.Q_BLOCK2)
        assert value is not None
        self.blocks.append(value >> 4)
        return len(datagram)


def fetched(air: Air, library: Path, most: int = 1000) -> bytes:
    """The file as the phone has it when it says so; a set that does not come is asked for again."""
    room = (ctypes.c_uint8 * len(air.file))()
    s = Series((ctypes.c_char_p * 3)(b"f", b"phone-1", b"0" * 32), b"t" * 22, room, len(air.file))
    code = air.on(library)
    for _ in range(most):
        if code.fw_coap_series(ctypes.byref(s)) == OK:
            return bytes(room)
    raise AssertionError(f"{s.held} of {s.size} bytes after {most} sets")


@pytest.mark.parametrize("size", [1, 1024, 10_240, 27_122, 100_000])
def test_on_a_narrow_air_nothing_that_arrived_is_asked_for_again(size: int, library: Path, seed: int) -> None:
    """9,600 bit/s, 600 ms each way; of any twenty datagrams in a row one is lost."""
    file = random.Random(size).randbytes(size)
    for turn in range(20):
        dice = random.Random(seed + turn)
        places: list[int] = []

        def lost(places: list[int] = places, dice: random.Random = dice) -> bool:
            if not places:
                places += [0] * 20
                places[dice.randrange(20)] = 1
            return bool(places.pop())

        air = Air(file, 9600, 600, lost)
        assert fetched(air, library) == file
        assert len(air.blocks) == len(set(air.blocks)), "a block came twice"
        if size >= 27_122:
            assert air.spent <= (1.16 if size < 100_000 else 1.135) * size, (air.spent / size, air.requests, seed + turn)


def test_a_series_comes_whole_over_an_air_that_loses_half(library: Path, seed: int) -> None:
    dice = random.Random(seed)
    file = dice.randbytes(40_000)
    air = Air(file, 64_000, 50, lambda: dice.random() < 0.5)
    assert fetched(air, library) == file
