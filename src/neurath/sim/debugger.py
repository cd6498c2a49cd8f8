"""A debugger's line to an emulated processor (GDB's remote serial protocol), by which a test damages RAM at exactly one place
of the program. It knows packets, registers and addresses; it must never know what lies at one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from neurath.errors import NeurathError, NotFound


def symbol(elf: Path, name: str) -> int:
    """The address of a function; NotFound."""
    with elf.open("rb") as source:
        table: Any = ELFFile(source).get_section_by_name(".symtab")
        for one in table.iter_symbols() if table is not None else ():
            if one.name == name and one["st_info"]["type"] == "STT_FUNC":
                return int(one["st_value"]) & ~1
    raise NotFound(f"no function {name}", f"{elf.name} does not name it", "build it with its symbols")


class Debugger:
    """The processor stands still from the beginning, and between the calls; `close` lets it go on."""

    def __init__(self, path: Path, seconds: float = 60.0) -> None:
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(seconds)
        self._link.connect(str(path))
        self._come = b""
        self._ask(b"?")

    def run_to(self, address: int, *, thumb: bool) -> None:
        """Goes on until the instruction at `address` is the next; from that very instruction, to when it is reached again."""
        place = b"0,%x,%d" % (address, 2 if thumb else 4)
        self._ask(b"s")
        self._ask(b"Z" + place)
        self._ask(b"c")
        self._ask(b"z" + place)

    def registers(self) -> tuple[int, ...]:
        """r0 to r15, little-endian words."""
        raw = bytes.fromhex(self._ask(b"g").decode())
        return tuple(int.from_bytes(raw[at : at + 4], "little") for at in range(0, 64, 4))

    def read(self, address: int, length: int) -> bytes:
        """Bytes of memory as the processor would read them."""
        return bytes.fromhex(self._ask(b"m%x,%x" % (address, length)).decode())

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def flip(self, address: int, bit: int) -> None:
        """One bit of RAM turns over."""
        self._ask(b"M%x,1:%02x" % (address, self.read(address, 1)[0] ^ (1 << bit)))

    def close(self) -> None:
        """The processor goes on, and nobody looks."""
        self._ask(b"D")
        self._link.close()

    def _ask(self, text: bytes) -> bytes:
        """The answer to this packet; that the processor stopped is also said unasked, when the line is opened."""
        self._link.sendall(b"$" + text + b"#%02x" % (sum(text) & 0xFF))
        stops = text in (b"?", b"s", b"c")
        answer = self._packet(text)
        while answer.startswith((b"T", b"S")) != stops:
            answer = self._packet(text)
        if answer.startswith(b"E"):
            why = f"{text.decode()}: {answer.decode()}"
            raise NeurathError("the debugger was refused", why, "see the address", id="NRT-154")
        return answer

    def _packet(self, text: bytes) -> bytes:
        while b"#" not in self._come or len(self._come.split(b"#", 1)[1]) < 2:
            data = self._link.recv(4096)
            if not data:
                raise NeurathError("the debugger's line is closed", text.decode(), "see emulator.log", id="NRT-154")
            self._come += data
        answer, rest = self._come.split(b"#", 1)
        self._come = rest[2:]
        self._link.sendall(b"+")
        return answer[answer.index(b"$") + 1 :]
