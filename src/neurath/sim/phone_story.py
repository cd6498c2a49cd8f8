"""The story of one phone: an update over a narrow air, a power cut in the rewrite, rescue by air, a release that hangs and is
left again by air, a wiped flash and the wire. It knows what the phone says and when it is over; it must never touch flash
while there is power."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from neurath.errors import NeurathError
from neurath.sim.ground import Say
from neurath.sim.nbd import Cut, Operation
from neurath.sim.phone import Phone
from neurath.sim.phone_home import PhoneHome
from neurath.sim.processes import verb
from neurath.sim.radio import Air, Radio
from neurath.sim.trace import draw, tenants

#: Seconds one step of the story may take.
PATIENCE = 900.0
#: Seconds without power.
DARK = 2.0


@dataclass
class PhoneStory:
    """`cut`: the operation of the rewrite in which the power goes, counted from its first erase of the bank; 0: none by
    itself. `pull` says whether somebody pulled the plug this moment."""

    home: PhoneHome
    air: Air
    cut: int
    say: Say
    pull: Callable[[], bool] = lambda: False
    flash: bytes = b""
    cuts: int = 0
    #: Where a picture of the first update is put.
    trace: Path | None = None
    _lines: list[tuple[float, str]] = field(default_factory=list)
    _operations: list[Operation] = field(default_factory=list)
    _phone: Phone | None = None
    _radio: Radio | None = None
    _told: int = 0
    _due: int = 0
    _spent: list[int] = field(default_factory=lambda: [0, 0])

    def tell(self, *, short: bool = False) -> bool:
        """The whole story, or up to the first confirmation; whether the phone ended as it should."""
        _, new, hanging = self.home.releases
        self.home.roll_out(new)
        self.say(f"rollout of {new} to everybody; the phone hears of it when it checks in")
        self._on()
        self._due = self.cut
        if not self._until("update: confirmed"):
            return self._lost()
        up, down = self._on_air()
        self.say(
            f"{new} is confirmed: {up:,} bytes went up and {down:,} came down since power-on, headers of IP and UDP counted"
        )
        self.say(f"the server says: {self.home.why()}")
        self._draw(new)
        if short:
            return self._end(new)
        self.home.roll_out(hanging)
        self.say(f"rollout of {hanging}: signed, and wrong; it hangs where it should reach its server")
        self._off()
        self.say("somebody switches the phone off and on: it checks in at once")
        self._on()
        if not self._until("asking for the way back"):
            return self._lost()
        self.say("its boot core gave it up, and asks the server for the file that leads back")
        if not self._until("update: confirmed"):
            return self._lost()
        self.say(f"back by air, with nobody near; the server says: {self.home.why()}")
        self._off()
        self._wipe()
        self.say("a workshop wiped its flash, bank and state log: no air can help what holds nothing")
        self._on()
        if not self._until("the wire is open") or not self._restore(new):
            return self._lost()
        return self._end(new)

    def off(self) -> None:
        """The power goes for good."""
        self._off()

    # ---- power ---------------------------------------------------------------------------------------------------------

    def _on(self) -> None:
        home = self.home
        sector = home.model.layout.regions[0].size
        self._phone = Phone(home.machine, self.flash, home.root, sector=sector)
        self._radio = Radio(self._phone.air, ("127.0.0.1", home.coap), self.air)
        self._told = 0
        self.say("power is on")

    def _off(self) -> None:
        if self._phone is not None and self._radio is not None:
            self._operations += self._phone.disk.operations
            self.flash = self._phone.off()
            self._radio.close()
            self._spent[0] += self._radio.up
            self._spent[1] += self._radio.down
        self._phone = self._radio = None

    def _power_fails(self) -> None:
        assert self._phone is not None
        self.cuts += 1
        at, operations = self.home.model.layout.bank[0], self._phone.disk.operations
        last = operations[-1] if operations else None
        where = f" in the {last.kind} of 0x{last.at:x}" if last and self._phone.disk.cut.is_set() else ""
        self._off()
        inside = "in the only bank it has" if last and at.base <= last.at < at.end else "outside the bank"
        self.say(f"POWER CUT{where}, {inside}; {self._holds()}")
        time.sleep(DARK)
        self._on()

    def _holds(self) -> str:
        for version in self.home.releases:
            if self.home.holds(self.flash, version):
                return f"the bank holds {version}"
        return "the bank holds neither the old image nor the new one"

    def _wipe(self) -> None:
        layout, data = self.home.model.layout, bytearray(self.flash)
        for span in (*layout.bank, *layout.log):
            data[span.base : span.end] = bytes((layout.erased,)) * span.length
        self.flash = bytes(data)

    # ---- steps ---------------------------------------------------------------------------------------------------------

    def _until(self, text: str) -> bool:
        """Tells what the phone says until it says this; power goes and comes meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._phone is not None
            phone = self._phone
            if self._due and any(self._in_bank(o.at) for o in phone.disk.operations[-64:]):
                phone.disk.cut_at(Cut(self._due, "early"))
                self._due = 0
            if self.pull() or phone.disk.cut.is_set():
                self._power_fails()
                continue
            if self._hear(text):
                return True
            time.sleep(0.01)
        return False

    def _in_bank(self, at: int) -> bool:
        return any(span.base <= at < span.base + span.length for span in self.home.model.layout.bank)

    def _hear(self, text: str) -> bool:
        """What it said since: lines for people; frames of the wire are not."""
        assert self._phone is not None
        found = False
        lines = self._phone.said[self._told :].split(b"\r\n")
        for line in lines[:-1]:
            self._told += len(line) + 2
            if line.isascii() and line.decode().isprintable() and line:
                self.say(f"phone: {line.decode()}")
                self._lines.append((time.monotonic(), line.decode()))
                found = found or text in line.decode()
        return found

    def _restore(self, version: str) -> bool:
        """The technician, with a stock taken while there was a network, and a cable."""
        assert self._phone is not None
        home, stock = self.home, self.home.root / "stock"
        verb("station", "sync", "--server", home.url, "--stock", stock)
        self.say(f"station: stock taken from the server, then offline; plugged into the phone at {self._phone.wire}")
        reason = ("--release", version, "--reason", "its flash was wiped")
        with contextlib.suppress(NeurathError):
            verb("station", "run", "--port", self._phone.wire, "--stock", stock, "--once", *reason)
            self.say(f"station: restored to {version}; it is safe to unplug")
            verb("station", "sync", "--server", home.url, "--stock", stock)
            return self._until(f"application {version}")
        return False

    def _draw(self, version: str) -> None:
        """The first update, from the moment memory was asked for."""
        assert self._phone is not None
        if self.trace is None:
            return
        operations = [*self._operations, *self._phone.disk.operations]
        if not operations:
            return
        begin, end = self._lines[0][0], max(operations[-1].when, self._lines[-1][0])
        title = f"One update to {version} on the phone {self.home.board}, {len(operations)} operations of its flash"
        self.trace.write_text(draw(title, self.home.model.layout, operations, tenants(self._lines, begin, end)))
        self.say(f"a picture of it: {self.trace}")

    def _on_air(self) -> tuple[int, int]:
        assert self._radio is not None
        return self._spent[0] + self._radio.up, self._spent[1] + self._radio.down

    def _end(self, version: str) -> bool:
        self._off()
        whole = self.home.holds(self.flash, version)
        self.say(f"its bank {'holds' if whole else 'does NOT hold'} {version}, byte for byte; power was cut {self.cuts} times")
        return whole

    def _lost(self) -> bool:
        self.say(f"the phone did NOT come through; the server says: {self.home.why()}; logs: {self.home.root}")
        return False
