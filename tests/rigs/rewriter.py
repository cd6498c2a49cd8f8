"""core/test/rewriter.c: a job for it, and the program for this processor or another. It knows which compiler makes it; it must
never decide what a run should end in."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from neurath import delta
from neurath.delta import native
from neurath.delta.simulate import target
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Layout
from neurath.flash.native import Core, Nor, ffi, write_bank
from neurath.flash.structs import c_layout, c_target
from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core"


@dataclass(frozen=True)
class Job:
    """An update of `old` to `new`, as a rewriter takes it."""

    layout: Layout
    old: bytes
    new: bytes
    file: bytes
    ram: int

    def bytes(self) -> bytes:
        goal = c_target(target(self.new, self.file, self.layout))
        words = struct.pack("<III", self.ram, len(self.file), 0)
        return bytes(ffi.buffer(c_layout(self.layout))) + bytes(ffi.buffer(goal)) + words + self.file

    def provision(self, nor: Nor) -> None:
        """The factory: `old` in the bank, and a log that knows it."""
        write_bank(nor, self.old)
        Core(self.layout, nor).provision(ImageRecord(image=hashlib.sha256(self.old).digest(), size=len(self.old)))


def job(old: bytes, new: bytes, layout: Layout) -> Job:
    file = delta.build(old, new, layout).data
    ram = native.need(layout, len(new), len(file), native.header(file, layout).workspace, staged_in_ram=False)
    return Job(layout, old, new, file, ram)


def build(out: Path, compiler: str = "gcc", *, static: bool = False) -> Path:
    """The program, made with our own warnings as errors."""
    sources = [CORE / "test" / "rewriter.c", *sorted((CORE / "src").glob("*.c"))]
    sources += [CORE / "ports" / f"{name}.c" for name in ("nor", "device", "calls")]
    words = (
        "-std=c11 -O2 -Wall -Wextra -Wpedantic -Wshadow -Werror -Wno-unused-parameter -ffunction-sections -Wl,--gc-sections"
    )
    flags = [*words.split(), *(["-static"] if static else [])]
    places = [f"-I{CORE / name}" for name in ("include", "ports", "src")]
    made = [need(compiler), *flags, *places, "-o", str(out), *(str(one) for one in sources)]
    subprocess.run(made, check=True, timeout=300)
    return out
