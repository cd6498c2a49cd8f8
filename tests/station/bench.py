"""A restoration station's bench in a test: its stock, terminals that have to be restored, and the lines they lie on."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName, Version
from neurath.station.desk import Desk
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock
from neurath.wire import keys, manifest, smp
from neurath.wire.smp import Deframer
from tests.station.device import KEY, Device, envelope_of, image_of
from tests.station.rig import Rig

MODEL = Model(ModelName("phone"), simple_layout(40960, sector=4096, group=4096, leaf=4096), ram=65536)
OTHER = Model(ModelName("radio"), simple_layout(40960, sector=4096, group=4096, leaf=4096), ram=65536)
NEW = image_of(2, 40000)


class Wire:
    """What comes on one line, and when it stops coming: `held` names the step in which nothing more arrives. One bit of
    every `noise` bytes is turned."""

    def __init__(self, device: Device, port: Path, noise: int = 0) -> None:
        self.device, self.port, self.noise = device, port, noise
        self.held = ""
        self._deframer, self._count = Deframer(), 0
        self.rig = self.plug()

    def plug(self) -> Rig:
        self.rig = Rig(self.device, self.port, self._mangle)
        return self.rig

    def pull(self) -> None:
        self.rig.close()

    def _mangle(self, data: bytes) -> bytes:
        for message in self._deframer.feed(data):
            if self.held == "identify" and message.group == smp.GROUP:
                return b""
            taken, _ = self.device.server.progress
            if self.held == "write" and message.group == 1 and taken >= 8192:
                return b""
            # Also after the restart that follows the last byte, when nothing is counted any more.
            if self.held == "judge" and message.group == smp.GROUP and self.device.bank(len(NEW)) == NEW:
                return b""
        out = bytearray(data)
        for at in range(len(out)):
            self._count += 1
            if self.noise and self._count % self.noise == 0:
                out[at] ^= 4
        return bytes(out)


@contextmanager
def at_work(desk: Desk) -> Iterator[None]:
    """The desk serves its ports, beside the test."""
    over = threading.Event()

    async def work() -> None:
        serving = asyncio.create_task(desk.run())
        while not over.is_set():
            await asyncio.sleep(0.02)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def stocked(place: Path, model: Model = MODEL, image: bytes = NEW) -> Stock:
    """A stock that holds one release for this model."""
    found = Stock(place)
    raw = envelope_of(image, model, 6)
    named = manifest.verify(raw, [KEY.public]).digest.hex()
    entry = Entry(model.name, Version("1.6"), hashlib.sha256(image).hexdigest(), len(image), raw, named, 6, 0)
    found.keep(Index((entry,), ((model.name, keys.public_pem(KEY.public).decode()),), (), 1.0))
    found.put(entry, image)
    return found


def broken(name: str = "lab-07", model: Model = MODEL) -> Device:
    device = Device(model, buffer=1024, name=name)
    device.break_it()
    return device
