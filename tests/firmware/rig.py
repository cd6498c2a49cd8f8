"""Phones for the tests: the firmware as `make firmware` builds it, provisioned by a factory of this test's own keys."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.delta.build import full
from neurath.flash.bank import ImageRecord, Target
from neurath.flash.geometry import Model
from neurath.flash.native import Core, Nor
from neurath.flash.trust import Birth
from neurath.sim.nbd import Cut
from neurath.sim.phone import BOARDS, Factory, Phone, model_of
from neurath.wire import keys, manifest, package
from neurath.wire.keys import Alg
from tests.parts import need

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "firmware"
#: Bare terminals verify ES256.
KEY = keys.create(Alg.ES256)
TICKET = keys.create(Alg.ES256)
#: Applications that hang: at entry, once tenants work, in the main loop, in a wild jump, in an instruction that is none.
HANGS = (1, 2, 3, 4, 5)
#: One that hangs until it is tried again after it was given up, and a boot core that does so after seconds, not an hour.
AGAIN, HASTY = 6, "boot-hasty.bin"
PARTS = {board.name: board.emulator for board in BOARDS.values()}


@functools.cache
def built(board: str) -> Path:
    """The folder of a board's binaries, made anew where a source is newer. Needs the cross compilers and the emulator."""
    need(PARTS[board])
    need("riscv64-unknown-elf-gcc" if board == "virt-rv32" else "arm-none-eabi-gcc")
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes, one build
        done = subprocess.run(
            ["make", "-C", str(ROOT / "firmware"), f"BOARD={board}"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return OUT / board


@dataclass(frozen=True, slots=True)
class Kit:
    """One board with two releases of its application."""

    board: str
    model: Model
    boot: bytes
    images: dict[str, bytes]

    def envelope(self, version: str, sequence: int, key: keys.SigningKey = KEY) -> bytes:
        contents = manifest.contents_of(self.images[version], self.model, sequence=sequence, version=version)
        return manifest.sign(contents, key)

    def package(self, version: str, sequence: int, key: keys.SigningKey = KEY) -> bytes:
        return package.build(self.envelope(version, sequence, key), self.images[version], self.model.layout.leaf)

    def factory(self, version: str | None = "1.0", name: str = "phone-1") -> Factory:
        """A phone that runs a release, or, None, one whose bank is blank."""
        birth = Birth(
            name, self.model.name, self.model.vendor, self.model.klass, bytes(range(32)), (KEY.public,), TICKET.public
        )
        if version is None:
            return Factory(self.model, self.boot, birth)
        image = self.images[version]
        envelope = manifest.verify(self.envelope(version, 1), [KEY.public])
        record = ImageRecord(hashlib.sha256(image).digest(), len(image), envelope.digest[:16], 1, 0)
        return Factory(self.model, self.boot, birth, image, record)

    def updated(self, path: Path, version: str) -> bytes:
        """The flash at `path` after the host's core rewrote it to this release: a candidate that never ran."""
        model, image = self.model, self.images[version]
        envelope = manifest.verify(self.envelope(version, 2), [KEY.public])
        file = full(image, model.layout).data
        target = Target(
            image=envelope.image, image_size=len(image), leaves=envelope.leaves, file=hashlib.sha256(file).digest()[:16],
            file_size=len(file), envelope=envelope.digest[:16], sequence=2, serial=1,
        )  # fmt: skip
        nor = Nor.file(model.layout, path)
        try:
            core = Core(model.layout, nor)
            core.power_up()
            core.prove(file, target, model.ram)
            core.rewrite(file, target, model.ram)
        finally:
            nor.close()
        return path.read_bytes()[: model.layout.size]

    def sector(self) -> int:
        return self.model.layout.regions[0].size

    @contextmanager
    def on(self, flash: bytes, folder: Path, cut: Cut | None = None) -> Iterator[Phone]:
        """The phone with the power on."""
        phone = Phone(BOARDS[self.board], flash, folder, cut, sector=self.sector())
        try:
            yield phone
        finally:
            phone.off()


def kit(board: str, size: int = 300_000, app: str = "app", grown: int = 3000) -> Kit:
    """A board's kit; its images are the application and, behind it, stores of data that grew from one to the other by `grown`
    bytes that nobody can foretell. `app` is the application that fetches what it is offered, `beat` the one whose files come
    with its heartbeats."""
    folder = built(board)
    store = random.Random(7).randbytes(size)
    images = {}
    for number, version in enumerate(("1.0", "1.1")):
        code = (folder / f"{app}-{version}.bin").read_bytes()
        images[version] = code + bytes(-len(code) % 4096) + random.Random(number).randbytes(grown * number) + store
    for place in (*HANGS, AGAIN):
        images[f"hang-{place}"] = (folder / f"hang-{place}.bin").read_bytes() + store
    return Kit(board, model_of(ROOT / "firmware" / "models", board), (folder / "boot.bin").read_bytes(), images)
