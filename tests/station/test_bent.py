"""Frames that noise bends so that the frame's own check holds: the signed leaf finds them, and the station sends it again. And
the names of what the core answers, which nobody counts by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cbor2
import pytest

from neurath.flash._core import lib
from neurath.flash.results import Result
from neurath.station.line import WHY, Line
from neurath.station.machine import STALLS, Verdict
from neurath.station.run import Bench
from neurath.wire import smp
from neurath.wire.smp import Deframer, Message
from tests.station.bench import MODEL, NEW, stocked
from tests.station.device import Device, package_of
from tests.station.rig import Rig

PACKAGE = package_of(NEW, MODEL, 6)
#: A byte of the package inside its third leaf.
WHERE = len(PACKAGE) - len(NEW) + 2 * MODEL.layout.leaf + 100


class Bender:
    """A line that turns one bit of the package's byte WHERE, `times` times, each in a frame whose check holds."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.bent = 0
        self.deframer = Deframer()

    def __call__(self, data: bytes) -> bytes:
        return b"".join(smp.frame(self._bend(message)) for message in self.deframer.feed(data))

    def _bend(self, message: Message) -> Message:
        if (message.op, message.group, message.command) != (2, 1, 1) or self.bent == self.times:
            return message
        body = cbor2.loads(message.body)
        at = WHERE - body["off"]
        if not 0 <= at < len(body["data"]):
            return message
        self.bent += 1
        body["data"] = body["data"][:at] + bytes([body["data"][at] ^ 4]) + body["data"][at + 1 :]
        return Message(message.op, message.group, message.command, cbor2.dumps(body), message.sequence, message.version)


def restored(tmp_path: Path, bender: Bender) -> tuple[Bench, Device]:
    device = Device(MODEL, buffer=1024)
    device.break_it()
    rig = Rig(device, tmp_path / "tty", bender)
    bench = Bench(stocked(tmp_path / "stock"), Line(str(tmp_path / "tty")), lambda _state, _pace: None)
    try:
        asyncio.run(asyncio.wait_for(bench.run(once=True), 60))
    finally:
        rig.close()
    return bench, device


@pytest.mark.parametrize("times", [1, STALLS])
def test_a_leaf_that_came_bent_past_the_frames_check_is_asked_for_again(tmp_path: Path, times: int) -> None:
    bender = Bender(times)
    bench, device = restored(tmp_path, bender)
    assert bender.bent == times
    assert (bench.state.verdict, bench.state.reason) == (Verdict.RESTORED, "")
    assert device.bank(len(NEW)) == NEW
    assert bench.pace.sent <= len(PACKAGE) + times * MODEL.layout.leaf


def test_a_leaf_that_always_comes_bent_ends_in_words(tmp_path: Path) -> None:
    bench, device = restored(tmp_path, Bender(1000))
    assert (bench.state.verdict, bench.state.reason) == (Verdict.REFUSED, WHY[Result.DIGEST])
    assert device.bank(len(NEW)) != NEW


def test_every_refusal_of_the_core_has_its_name_and_words_at_the_station() -> None:
    core = {name.removeprefix("NRT_E_"): -getattr(lib, name) for name in dir(lib) if name.startswith("NRT_E_")}
    assert {result.name: result.value for result in Result} == core
    assert set(WHY) == set(Result)
