"""A terminal on a real line: the C responder behind a pseudo-terminal, in a thread, with a cable that can be pulled and a
power switch. The station and stock tools see a serial port."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from neurath.carriers.pty import Pty
from neurath.carriers.serial import serve
from neurath.errors import LinkError
from neurath.flash.bank import Fate
from neurath.flash.native import PowerCut
from neurath.flash.wire import SmpServer
from tests.station.device import Device


class Rig:
    """`device` on a line called `port`. `pull_at(n)` pulls the cable when the package has been taken up to byte n."""

    def __init__(self, device: Device, port: Path, mangle: Callable[[bytes], bytes] = bytes) -> None:
        self.device = device
        self.port = port
        self.mangle = mangle
        self.cut = 1 << 62
        self.cuts = 0
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def pull_at(self, byte: int) -> None:
        self.cut = byte

    def close(self) -> None:
        self._off.set()
        self._thread.join(10)

    def _live(self) -> None:
        while not self._off.is_set():
            line = Pty(self.port)
            try:
                while self._power(line):
                    pass
            except (PowerCut, LinkError):
                self.cuts += 1
                self.device.nor.power(self.cuts)
            finally:
                line.close()

    def make(self, line: Pty) -> SmpServer:
        """The responder of one power-up."""
        device = self.device
        device.power_up()
        return SmpServer(device.core, device.core.birth(), line.write, device.fate, buffer=device.buffer)

    def _power(self, line: Pty) -> bool:
        """From power-up to a reset (True: the line stays), a power cut or a pulled cable."""
        self.device.server = server = self.make(line)

        def until() -> bool:
            return self._off.is_set() or server.reset or server.progress[0] >= self.cut

        serve(line, _Noisy(server, self.mangle), until, 0.01)
        if server.progress[0] >= self.cut:
            self.cut, self.cuts = 1 << 62, self.cuts + 1
            return False
        return server.reset and not self._off.is_set()


class _Noisy:
    """What comes on the line, as the noise left it."""

    def __init__(self, server: SmpServer, mangle: Callable[[bytes], bytes]) -> None:
        self.server = server
        self.mangle = mangle

    def feed(self, data: bytes) -> None:
        self.server.feed(self.mangle(data))


def boots(device: Device) -> bool:
    """What a power-up would do now."""
    return device.power_up() is Fate.BOOT
