"""The reference terminal in a CPU emulator: a whole machine whose code executes in place from one bank of NOR flash. It knows
how each board is started and how its serial lines are reached; it must never end a process that it did not start."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.pty import Pty
from neurath.errors import NeurathError, NotFound
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Model, model_from_toml
from neurath.flash.native import Core, Nor, write_bank
from neurath.flash.trust import Birth
from neurath.sim.nbd import Cut, FlashDisk


@dataclass(frozen=True, slots=True)
class Board:
    """How one emulated board is started. The flash file's size must be exact; `serials` are its serial ports: wire, air."""

    name: str
    emulator: str
    machine: tuple[str, ...]
    package: str = "qemu-system-arm"
    serials: int = 2


BOARDS = {
    board.name: board
    for board in (
        Board("sx1", "qemu-system-arm", ("-M", "sx1")),
        Board("vexpress-a9", "qemu-system-arm", ("-M", "vexpress-a9", "-m", "64M")),
        Board("virt-rv32", "qemu-system-riscv32", ("-M", "virt", "-m", "64M", "-bios", "none"), "qemu-system-misc", 1),
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
    """One power-up of an emulated board: `wire` is the pseudo-terminal a station opens, `air` the line to its modem, `said`
    everything that left by the wire so far."""

    def __init__(self, board: Board, flash: bytes, folder: Path, cut: Cut | None = None, *, sector: int) -> None:
        emulator = shutil.which(board.emulator)
        if emulator is None:
            raise NotFound(f"no {board.emulator}", "the phone runs in a CPU emulator", f"apt install {board.package}")
        self.disk = FlashDisk(folder / "flash.sock", flash, sector, cut)
        self.wire = folder / "wire"
        self.said = b""
        self.air: socket.socket | None = None
        self._off = threading.Event()
        doors = [_door(folder / f"{name}.sock") for name in ("wire", "air")[: board.serials]]
        lines = [word for name, _ in zip(("wire", "air"), doors, strict=False) for word in _line(name, folder)]
        self._errors = (folder / "emulator.log").open("wb")
        self._pty = Pty(self.wire)
        self.process = subprocess.Popen(
            [
                emulator, *board.machine, "-display", "none", "-monitor", "none", "-nodefaults", "-audiodev", "none,id=mute",
                "-drive", f"if=pflash,format=raw,file=nbd+unix:///?socket={self.disk.path}", *lines,
            ],
            stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors,
        )  # fmt: skip
        try:
            self._near, *air = [self._accept(door) for door in doors]
        except NeurathError:
            self.off()
            raise
        finally:
            for door in doors:
                door.close()
        self.air = air[0] if air else None
        threading.Thread(target=self._out, daemon=True).start()
        threading.Thread(target=self._in, daemon=True).start()

    def off(self) -> bytes:
        """The power goes; what the flash holds is given back. Harmless when it is off."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if not self._off.is_set():
            self._off.set()
            for link in (getattr(self, "_near", None), self.air):
                if link is not None:
                    with contextlib.suppress(OSError):
                        link.shutdown(socket.SHUT_RDWR)
                    link.close()
            self._pty.close()
            self._errors.close()
        self.disk.close()
        return bytes(self.disk.data)

    def says(self, text: str, seconds: float = 30.0) -> bool:
        """Waits until this text has left by the wire."""
        deadline = time.monotonic() + seconds
        while text.encode() not in self.said:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _accept(self, door: socket.socket) -> socket.socket:
        door.settimeout(20)
        try:
            return door.accept()[0]
        except TimeoutError:
            said = Path(self._errors.name).read_text(errors="replace").strip().splitlines()
            why = said[-1] if said else "it did not open its serial lines"
            raise NeurathError("the emulator did not start", why, "see emulator.log", id="NRT-154") from None

    def _out(self) -> None:
        with contextlib.suppress(OSError, NeurathError, ValueError):
            while data := self._near.recv(4096):
                self.said += data
                self._pty.write(data)

    def _in(self) -> None:
        with contextlib.suppress(OSError, NeurathError, ValueError):
            while not self._off.is_set():
                data = self._pty.read(0.05)
                if data:
                    self._near.sendall(data)


def _door(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen(1)
    return door


def _line(name: str, folder: Path) -> list[str]:
    return ["-chardev", f"socket,id={name},path={folder / name}.sock", "-serial", f"chardev:{name}"]
