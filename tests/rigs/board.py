"""An ARM board in QEMU (i.MX6 Sabre Lite) that runs Debian's own kernel over a 2 MiB NOR chip on SPI, which Linux shows as
/dev/mtd0; the chip's contents are a file here. It knows how to boot it and how to take its power; it must never look at
what is in the chip."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from neurath.sim.corpus import cache
from tests.parts import absent, need

ROOT = Path(__file__).resolve().parents[2]
CHIP = 2 << 20
SECTOR = 4096
MODULES = ("gpio-mxc", "spi-nor", "spi-imx")
#: Waits end by what they wait for; a board under emulation on a busy machine takes its time.
PATIENCE = 240.0


def kernel() -> Path:
    """The folder with kernel, modules and device tree, fetched once."""
    need("qemu-system-arm")
    place = cache() / "kernel-armhf"
    done = subprocess.run(["bash", ROOT / "tools/kernel.sh", place], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        absent(f"Debian's kernel for ARM boards cannot be had: {done.stderr.strip()}")
    return place


def archive(out: Path, files: dict[str, bytes]) -> Path:
    """An initial file system (cpio, "newc") of these files, all in its root and executable."""
    made = bytearray()
    for number, (name, data) in enumerate([*files.items(), ("TRAILER!!!", b"")], 1):
        words = (number, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        made += b"070701" + "".join(f"{word:08x}" for word in words).encode() + name.encode() + b"\0"
        made += bytes(-len(made) % 4) + data
        made += bytes(-len(made) % 4)
    out.write_bytes(made)
    return out


def machine(folder: Path, init: Path, job: bytes) -> tuple[Path, Path]:
    """(device tree, initial file system) for a board whose process 1 is `init`."""
    parts = kernel()
    files = {"init": init.read_bytes(), "job": job}
    files |= {f"{name}.ko": (parts / f"{name}.ko").read_bytes() for name in MODULES}
    files["modules"] = "".join(f"/{name}.ko\n" for name in MODULES).encode()
    return device_tree(folder), archive(folder / "initrd", files)


def device_tree(folder: Path) -> Path:
    """The board's, with what the emulated one has not left out."""
    tree = (kernel() / "board.dtb").read_bytes()
    # It has no SDMA firmware; without the property the driver moves bytes itself.
    assert tree.count(b"\0dmas\0") == 1
    dtb = folder / "board.dtb"
    dtb.write_bytes(tree.replace(b"\0dmas\0", b"\0none\0"))
    return dtb


class Board:
    """One power-up, from `with` to its end; `cut` takes the power at any moment."""

    def __init__(self, folder: Path, made: tuple[Path, Path], chip: Path, memory: int = 128) -> None:
        self._folder = folder
        dtb, initrd = made
        self._monitor = folder / "monitor"
        words = ["qemu-system-arm", "-M", "sabrelite", "-m", str(memory), "-display", "none", "-no-reboot"]
        words += ["-kernel", str(kernel() / "vmlinuz"), "-dtb", str(dtb), "-initrd", str(initrd)]
        words += ["-append", "console=ttymxc1,115200 quiet panic=1 PYTHONHASHSEED=0", "-serial", "null", "-serial", "stdio"]
        words += ["-nic", "user"]  # 10.0.2.2 is this machine's loopback
        words += ["-drive", f"if=mtd,format=raw,file={chip}", "-monitor", f"unix:{self._monitor},server,nowait"]
        self._words = words
        self.said: list[str] = []

    def __enter__(self) -> Self:
        self._monitor.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()
        return self

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.strip())

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(60)
        self._ear.join(60)

    def wait(self, word: str, patience: float = PATIENCE) -> None:
        """Until the board says this line."""
        end = time.monotonic() + patience
        while word not in self.said:
            assert self._process.poll() is None, f"the board ended: {self.said}"
            assert time.monotonic() < end, f"the board never said {word!r}: {self.said}"
            time.sleep(0.02)

    def cut(self) -> None:
        """Power goes, at once, in the middle of whatever the chip is told; what it had taken is in it."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._monitor))
            line.sendall(b"quit\n")
            self._process.wait(60)
