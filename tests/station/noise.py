"""Restorations through noise, counted: `python -m tests.station.noise [EACH]` writes docs/assurance/wire.md. The station is
the product's own, with its client library; the terminal is the core on a flash that counts; between them a line that turns
bits in both directions, and a clock that jumps where everybody waits. It knows what harm is; it must never turn a bit anywhere
else."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import smpclient.transport.serial.common as library

from neurath.station.line import Line
from neurath.station.machine import Verdict
from neurath.station.run import Bench
from neurath.station.stock import Stock
from neurath.wire import package
from tests.station.bench import MODEL, NEW, broken, stocked
from tests.station.device import Device, package_of

PAGE = Path(__file__).resolve().parents[2] / "docs/assurance/wire.md"
SEED = 1
RATES = (1e-4, 1e-5, 1e-6)
HEADER = package.read(package_of(NEW, MODEL, 6)).header
GROUP = MODEL.layout.group
#: Bytes programmed at once: what a wrong leaf would have put into the bank.
STEP = MODEL.layout.page


@dataclass
class Tally:
    """What happened in some restorations. `repeated` is the most groups that one restoration erased and programmed a second
    time, `again` the most bytes that one answer asked for again; `leaves`: how often what the frame's check had let through
    was found out by the signed leaf."""

    restored: int = 0
    bits: int = 0
    turned: int = 0
    wrong: int = 0
    repeated: int = 0
    again: int = 0
    leaves: int = 0
    ended: list[str] = field(default_factory=list)

    def harm(self, each: int) -> list[str]:
        """What must never be, of so many restorations, in words."""
        found = [f"{self.wrong} pages programmed that nobody signed"] if self.wrong else []
        found += [f"{self.repeated} groups programmed twice in one restoration"] if self.repeated > 1 else []
        found += [f"{self.again} bytes asked for again at once"] if self.again > GROUP else []
        found += [f"{self.restored} of {each} restored"] if self.restored != each else []
        return found + self.ended

    def add(self, other: Tally) -> None:
        for one in fields(Tally):
            mine, more = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, max(mine, more) if one.name in ("repeated", "again") else mine + more)


class Cable:
    """The line, in the place of pyserial's port: what is written is heard by the terminal at once, as the noise left it."""

    out_waiting = 0

    def __init__(self, device: Device, rate: float, seed: int, tally: Tally) -> None:
        self.device, self.rate, self.tally = device, rate, tally
        self.dice = random.Random(seed)
        self.port, self._heard = "", bytearray()
        self._to_next, self._furthest, self._operations = self._gap(), 0, device.nor.operations
        device._hear = self._answer  # type: ignore[method-assign]
        device.power_up()

    def __call__(self, **_settings: Any) -> Cable:
        return self

    def open(self) -> None: ...

    def close(self) -> None: ...

    def reset_input_buffer(self) -> None:
        self._heard.clear()

    def write(self, data: bytes) -> None:
        self.device.server.feed(self._noisy(data))
        self._look()

    def read_all(self) -> bytes:
        data, self._heard = bytes(self._heard), bytearray()
        return data

    def _answer(self, data: bytes) -> None:
        self._heard += self._noisy(data)

    def _gap(self) -> int:
        """Whole bits before the next one that turns."""
        return int(math.log(1.0 - self.dice.random()) / math.log1p(-self.rate))

    def _noisy(self, data: bytes) -> bytes:
        out, bits = bytearray(data), 8 * len(data)
        while self._to_next < bits:
            out[self._to_next // 8] ^= 1 << self._to_next % 8
            self._to_next += 1 + self._gap()
            self.tally.turned += 1
        self._to_next -= bits
        self.tally.bits += bits
        return bytes(out)

    def _look(self) -> None:
        """At the bank after each line that had it changed: every page is blank, the old image's or the signed one's."""
        off, _ = self.device.server.progress
        if off < self._furthest:
            self.tally.again = max(self.tally.again, self._furthest - off)
            self.tally.leaves += off >= HEADER
        self._furthest = off
        if self.device.nor.operations == self._operations:
            return
        self._operations = self.device.nor.operations
        bank, blank = self.device.bank(len(NEW)), b"\xff" * STEP
        for at in range(0, len(NEW), STEP):
            page = bank[at : at + STEP]
            end = at + len(page)
            if page not in (NEW[at:end], self.device.old[at:end], blank[: len(page)]):
                self.tally.wrong += 1


class Jumping(asyncio.SelectorEventLoop):
    """A clock that is wherever the next one waits for: a lost answer costs no time of ours."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        wait = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> Any:
            self._now += timeout or 0.0
            return wait(None if timeout is None else 0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


@contextmanager
def _instead(cable: Cable) -> Iterator[None]:
    """The client library opens this cable where it would open a serial port."""
    base = library._SerialTransportBase
    before = library.Serial, base._POLLING_INTERVAL_S
    library.Serial, base._POLLING_INTERVAL_S = cable, 0.25  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        library.Serial, base._POLLING_INTERVAL_S = before  # type: ignore[misc]


def restoration(stock: Stock, rate: float, seed: int) -> Tally:
    """One terminal restored by the station through so much noise."""
    tally, device = Tally(), broken()
    device.nor.forget()
    cable = Cable(device, rate, seed, tally)
    bench = Bench(stock, Line("/dev/null"), lambda _state, _pace: None)
    with _instead(cable), asyncio.Runner(loop_factory=Jumping) as runner:
        while bench.state.verdict is Verdict.NONE:
            runner.run(bench.run(once=True))
    layout = MODEL.layout
    erased = [device.nor.erases(layout.bank[0].base + at) for at in range(0, len(NEW), GROUP)]
    tally.repeated = sum(max(0, n - 1) for n in erased)
    whole = bench.state.verdict is Verdict.RESTORED and device.bank(len(NEW)) == NEW
    tally.restored = int(whole)
    tally.ended = [] if whole else [f"{bench.state.verdict.value}: {bench.state.reason}"]
    return tally


def count(stock: Stock, rate: float, each: int, seed: int) -> Tally:
    total = Tally()
    for n in range(each):
        total.add(restoration(stock, rate, seed + n))
        for record in stock.queued():
            record.unlink()
    return total


COLUMNS = (
    "bit error rate",
    "restorations",
    "ended whole",
    "bits on the line",
    "turned",
    "pages not signed",
    "groups programmed twice, most in one",
    "bytes one answer asked for again, most",
    "past the frame's check, found by the leaf",
)
HEAD = """# Noise on the wire

Restorations of {size:,} bytes, groups of {group:,}, by the station and its client library through a line that turns bits by
chance in both directions. After every line of a frame that had flash changed, each page of the bank is looked at: blank, the
old image's, or the signed one's. The clock jumps where everybody waits.

"""
TAIL = """
What a turned bit costs is one frame, sent again; what the frame's check (CRC16) lets through is found by the signed leaf
before it is programmed, and that leaf, of one group, is asked for again. The last column says how often chance got so far;
tests/station/test_bent.py bends frames so that the check holds: once and five times, and the same leaf is sent again; always,
and the restoration ends with what the leaf said.

Commit {commit}, {date}, seed {seed}, {seconds:,.0f} s of processor. Again: `python -m tests.station.noise {each}`; a few of
each are in every run of the tests, and all of them in `make assurance` (tests/station/test_noise.py). {mutants}
"""
MUTANTS = """With the frame's check taken out of the core
the test went red at 1e-4 and 1e-5, and with the check of the leaf taken out as well at each rate."""


def main(each: int) -> int:
    """Exit 1 where something was harmed."""
    began, rows, harm = time.process_time(), [], []
    with tempfile.TemporaryDirectory() as place:
        stock = stocked(Path(place))
        for rate in RATES:
            t = count(stock, rate, each, SEED)
            numbers = (each, t.restored, t.bits, t.turned, t.wrong, t.repeated, t.again, t.leaves)
            rows.append(f"| {rate:.0e} | " + " | ".join(f"{n:,}" for n in numbers) + " |")
            harm += t.harm(each)
            sys.stdout.write("\n".join([rows[-1], *t.harm(each), ""]))
            sys.stdout.flush()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    told = {"commit": commit, "date": time.strftime("%Y-%m-%d"), "seed": SEED, "seconds": time.process_time() - began}
    head = HEAD.format(size=len(NEW), group=GROUP) + f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    PAGE.write_text(head + "\n".join(rows) + "\n" + TAIL.format(**told, each=each, mutants=MUTANTS))
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
