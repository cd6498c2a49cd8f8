"""The reference terminal in a CPU emulator: a whole machine whose code executes in place from one bank of NOR flash. It knows
how each board is started and how its serial lines are reached; it must never end a process that it did not start."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from neurath.carriers.pty import Pty
from neurath.errors import NeurathError, NotFound
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Model, model_from_toml
from neurath.flash.native import Core, Nor, write_bank
from neurath.flash.trust import Birth
from neurath.sim.debugger import Debugger
from neurath.sim.nbd import Cut, FlashDisk

#: Bytes of RAM that the boot core keeps for itself (firmware/include/board.h).
BOOT_RAM = 0x10000


@dataclass(frozen=True, slots=True)
class Board:
    """How one emulated board is started. The flash file's size must be exact; `serials` are its serial ports: wire, air, and
    the user's screen and keys; `ram` is where its RAM begins."""

    name: str
    emulator: str
    machine: tuple[str, ...]
    ram: int
    package: str = "qemu-system-arm"
    serials: int = 3


BOARDS = {
    board.name: board
    for board in (
        Board("sx1", "qemu-system-arm", ("-M", "sx1"), 0x10000000),
        Board("sx1-resume", "qemu-system-arm", ("-M", "sx1"), 0x10000000),
        Board("vexpress-a9", "qemu-system-arm", ("-M", "vexpress-a9", "-m", "64M"), 0x60000000),
        Board(
            "virt-rv32", "qemu-system-riscv32", ("-M", "virt", "-m", "64M", "-bios", "none"), 0x80000000, "qemu-system-misc", 1
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Factory:
    """What a factory puts into a phone: the model, the boot core, and the first image with what is known about it."""

    model: Model
    boot: bytes
    birth: Birth
    image: bytes = b""
    record: ImageRecord | None = None

    def flash(self, path: Path) -> bytes:
        """The contents of a new phone's flash, made at `path`: birth record, image, state log, boot core."""
        nor = Nor.file(self.model.layout, path, create=True)
        try:
            core = Core(self.model.layout, nor)
            core.write_birth(self.birth)
            if self.image:
                write_bank(nor, self.image)
            core.provision(self.record)
        finally:
            nor.close()
        data = bytearray(path.read_bytes()[: self.model.layout.size])
        data[: len(self.boot)] = self.boot
        path.write_bytes(data)
        return bytes(data)


def model_of(folder: Path, board: str) -> Model:
    """The memory map of a reference board, out of its folder of models."""
    return model_from_toml((folder / f"{board}.toml").read_text())


class Phone:
    """A board with the power on, through any number of restarts: `wire` is the pseudo-terminal a station opens, `air` the line
    to its modem, `said` everything that left by the wire so far, `shown` what its user saw on the screen.

    A restart of the machine is a new emulator with the same flash and the boot core's RAM as it was: an emulator goes on
    with code it translated before that code was rewritten, where a processor that restarts has nothing in its cache.
    """

    def __init__(self, board: Board, flash: bytes, folder: Path, cut: Cut | None = None, *, sector: int) -> None:
        self.wire = folder / "wire"
        self.said = b""
        self.shown = b""
        self.disk = FlashDisk(folder / "flash.sock", flash, sector, cut)
        self.air, self._modem = socket.socketpair()
        self._board = board
        self._folder = folder
        self._off = threading.Event()
        self._pty = Pty(self.wire)
        try:
            self._machine = Machine(board, folder, self.disk.path)
        except NeurathError:
            self._off.set()
            self._pty.close()
            self.disk.close()
            raise
        for work in (self._live, self._in, self._up):
            threading.Thread(target=work, daemon=True).start()

    def off(self) -> bytes:
        """The power goes; what the flash holds is given back. Harmless when it is off."""
        if not self._off.is_set():
            self._off.set()
            self._machine.end()
            for link in (self.air, self._modem):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
                link.close()
            self._pty.close()
        self.disk.close()
        return bytes(self.disk.data)

    def says(self, text: str, seconds: float = 120.0) -> bool:
        """Waits until this text has left by the wire."""
        return until(lambda: text.encode() in self.said, seconds)

    def shows(self, text: str, seconds: float = 120.0, times: int = 1) -> bool:
        """Waits until this text was on the screen, so many times."""
        return until(lambda: self.shown.count(text.encode()) >= times, seconds)

    def press(self, keys: str) -> None:
        """Keys of the phone, as its user presses them."""
        with contextlib.suppress(OSError):
            if self._machine.desk is not None:
                self._machine.desk.sendall(keys.encode())

    def debugger(self) -> Debugger:
        """Stops the processor and looks into it."""
        return self._machine.debugger()

    # ---- lines and restarts --------------------------------------------------------------------------------------------

    def _live(self) -> None:
        """One machine after the other: what it says, until it restarts."""
        with contextlib.suppress(OSError, NeurathError, ValueError):
            while not self._off.is_set():
                machine = self._machine
                threading.Thread(target=self._down, args=(machine,), daemon=True).start()
                threading.Thread(target=self._screen, args=(machine,), daemon=True).start()
                while data := _received(machine.wire):
                    self.said += data
                    self._pty.write(data)
                if self._off.is_set() or not machine.restarting.wait(5):
                    return
                self._machine = Machine(self._board, self._folder, self.disk.path, machine.ram)
                if self._off.is_set():
                    self._machine.end()  # the power went meanwhile

    def _in(self) -> None:
        while not self._off.is_set():
            with contextlib.suppress(OSError, NeurathError, ValueError):
                data = self._pty.read(0.05)
                if data:
                    self._machine.wire.sendall(data)

    def _up(self) -> None:
        """From the modem to the phone; what comes while it restarts is lost, as on a real line."""
        with contextlib.suppress(OSError, ValueError):
            while data := self._modem.recv(4096):
                with contextlib.suppress(OSError):
                    if self._machine.air is not None:
                        self._machine.air.sendall(data)

    def _down(self, machine: Machine) -> None:
        if machine.air is None:
            return
        with contextlib.suppress(OSError, ValueError):
            while data := machine.air.recv(4096):
                self._modem.sendall(data)

    def _screen(self, machine: Machine) -> None:
        if machine.desk is None:
            return
        with contextlib.suppress(OSError, ValueError):
            while data := machine.desk.recv(4096):
                self.shown += data


def _received(link: socket.socket) -> bytes:
    """What comes; nothing any more once the machine ended, also where it ended with bytes it had not taken."""
    try:
        return link.recv(4096)
    except ConnectionResetError:
        return b""


class Machine:
    """One run of the emulator, from reset to reset. `restarting` is set once it has asked for a restart; `ram` is then what
    the boot core's RAM held."""

    def __init__(self, board: Board, folder: Path, flash: Path, ram: bytes = b"") -> None:
        emulator = shutil.which(board.emulator)
        if emulator is None:
            raise NotFound(f"no {board.emulator}", "the phone runs in a CPU emulator", f"apt install {board.package}")
        self.ram = b""
        self.restarting = threading.Event()
        self._kept = folder / "ram.bin"
        self._board = board
        names = ("monitor", "wire", "air", "desk")[: board.serials + 1]
        doors = [_door(folder / f"{name}.sock") for name in names]
        lines = [word for name in names[1:] for word in _line(name, folder)]
        if ram:
            self._kept.write_bytes(ram)
            lines += ["-device", f"loader,file={self._kept},addr=0x{board.ram:x},force-raw=on"]
        with (folder / "emulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    emulator, *board.machine, "-display", "none", "-nodefaults", "-audiodev", "none,id=mute",
                    "-action", "reboot=shutdown,shutdown=pause", "-qmp", f"unix:{folder / 'monitor.sock'}",
                    "-drive", f"if=pflash,format=raw,file=nbd+unix:///?socket={flash}", *lines,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self._monitor, self.wire, *others = [_accept(door, folder) for door in doors]
        except NeurathError:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            for door in doors:
                door.close()
        self.air: socket.socket | None = others[0] if others else None
        self.desk: socket.socket | None = others[1] if others[1:] else None
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """Ends it, by its own id. Harmless when it has ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def debugger(self) -> Debugger:
        """Its processor, stopped. The answer of the monitor is read where all of them are, and not waited for."""
        path = self._kept.with_name("debugger.sock")
        line = f"gdbserver unix:{path},server=on,wait=off"
        asked = {"execute": "human-monitor-command", "arguments": {"command-line": line}}
        self._monitor.sendall(json.dumps(asked).encode() + b"\n")
        if not until(path.exists, 20):
            raise NeurathError("the emulator opens no line for a debugger", line, "see emulator.log", id="NRT-154")
        return Debugger(path)

    def _watch(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._monitor.makefile("rw") as talk:
            self._tell(talk, "qmp_capabilities")
            for line in talk:
                if json.loads(line).get("event") == "SHUTDOWN":
                    self._keep(talk)
                    self.restarting.set()
                    break
        self.end()

    def _keep(self, talk: TextIO) -> None:
        """The boot core's RAM, which no restart clears."""
        asked = {"val": self._board.ram, "size": BOOT_RAM, "filename": str(self._kept)}
        self._tell(talk, "pmemsave", asked)
        for line in talk:
            if "return" in json.loads(line):
                break
        self.ram = self._kept.read_bytes()

    def _tell(self, talk: TextIO, command: str, asked: dict[str, object] | None = None) -> None:
        talk.write(json.dumps({"execute": command, "arguments": asked or {}}) + "\n")
        talk.flush()


def until(true: Callable[[], bool], seconds: float = 240.0) -> bool:
    """Waits for it to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _accept(door: socket.socket, folder: Path) -> socket.socket:
    door.settimeout(20)
    try:
        link = door.accept()[0]
    except TimeoutError:
        said = (folder / "emulator.log").read_text(errors="replace").strip().splitlines()
        why = said[-1] if said else "it did not open its serial lines"
        raise NeurathError("the emulator did not start", why, "see emulator.log", id="NRT-154") from None
    link.setblocking(True)
    return link


def _door(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen(1)
    return door


def _line(name: str, folder: Path) -> list[str]:
    return ["-chardev", f"socket,id={name},path={folder / name}.sock", "-serial", f"chardev:{name}"]
