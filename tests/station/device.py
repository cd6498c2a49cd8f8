"""A small terminal for the tests of the wire: the C responder on the C flash, without a line or over one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cbor2

from neurath.flash.bank import Fate, ImageRecord
from neurath.flash.geometry import Layout, Model, Region, Span, simple_layout
from neurath.flash.native import Core, Nor, PowerCut, write_bank
from neurath.flash.trust import Birth
from neurath.flash.wire import SmpServer
from neurath.ids import ModelName
from neurath.wire import keys, manifest, package, smp
from neurath.wire.smp import Deframer, Identity, Message

KEY = keys.from_seed(bytes(range(32)))
SMALL = Model(
    ModelName("phone"), simple_layout(4096, sector=1024, page=128, scratch_sectors=2, group=1024, leaf=512), ram=65536
)
#: Two bank spans with foreign flash between and behind them: settings that survive.
HOLED = Model(
    ModelName("holed"),
    Layout(
        regions=(Region(0, 512, 6), Region(0x1000, 1024, 8)),
        birth=Span(0, 512),
        log=(Span(512, 1024), Span(1536, 1024)),
        scratch=Span(0x1000, 1024),
        bank=(Span(0x1400, 2048), Span(0x2000, 2048)),
        page=128,
        group=1024,
        leaf=512,
    ),
    ram=65536,
)


def image_of(n: int, size: int) -> bytes:
    """An image that differs from every other everywhere."""
    return b"".join(hashlib.sha256(f"{n}.{i}".encode()).digest() for i in range(-(-size // 32)))[:size]


def envelope_of(image: bytes, model: Model, sequence: int, *, epoch: int = 0, key: keys.SigningKey = KEY) -> bytes:
    return manifest.sign(manifest.contents_of(image, model, sequence=sequence, epoch=epoch), key)


def package_of(image: bytes, model: Model, sequence: int, **more: object) -> bytes:
    return package.build(envelope_of(image, model, sequence, **more), image, model.layout.leaf)  # type: ignore[arg-type]


def named(raw: bytes) -> bytes:
    """What the state log calls an envelope: the first 16 bytes of its digest."""
    return manifest.verify(raw, [KEY.public]).digest[:16]


def birth_of(model: Model, name: str = "lab-07") -> Birth:
    return Birth(name, model.name, model.vendor, model.klass, bytes(range(32)), (KEY.public,), None)


class Refused(Exception):  # noqa: N818 (an answer, not a fault of ours)
    """The terminal answered with an error: its v2 number."""


@dataclass
class Device:
    """One terminal from provisioning on; `power_up` after every cut."""

    model: Model = field(default_factory=lambda: SMALL)
    ecc: bool = False
    buffer: int = 512
    name: str = "lab-07"
    old: bytes = b""
    #: Of its birth record; and RAM for lists of keys: None takes none, 0 that of the restoration.
    root: bytes = b""
    lists: int | None = None

    def __post_init__(self) -> None:
        self.old = self.old or image_of(1, self.model.layout.bank_size - 100)
        self.nor = Nor.memory(self.model.layout, ecc=self.ecc)
        core = Core(self.model.layout, self.nor)
        core.write_birth(replace(birth_of(self.model, self.name), root=self.root))
        write_bank(self.nor, self.old)
        raw = envelope_of(self.old, self.model, 5)
        core.provision(ImageRecord(hashlib.sha256(self.old).digest(), len(self.old), named(raw), 5, 0))
        self.nor.forget()
        self.heard: list[Message] = []
        self.deframer = Deframer()
        self.power_up()

    def power_up(self) -> Fate:
        """A new core on the same flash."""
        self.core = Core(self.model.layout, self.nor)
        self.fate = self.core.power_up()
        self.deframer = Deframer()
        self.server = SmpServer(self.core, self.core.birth(), self._hear, self.fate, buffer=self.buffer, lists=self.lists)
        return self.fate

    def break_it(self) -> None:
        """No bootable image any more: restoration state."""
        from neurath.flash.bank import Why

        self.core.give_up(Why.UNCONFIRMED)
        self.power_up()

    def _hear(self, data: bytes) -> None:
        self.heard += self.deframer.feed(data)

    def ask(
        self, op: int, group: int, command: int, body: dict[str, object] | None = None, *, version: int = 1
    ) -> dict[str, object]:
        """One request, one answer."""
        self.heard.clear()
        raw = smp.frame(Message(op, group, command, cbor2.dumps(body or {}), 7, version))
        self.server.feed(raw)
        assert len(self.heard) == 1, "one answer to one request"
        answer = self.heard[0]
        assert (answer.op, answer.group, answer.command, answer.sequence, answer.version) == (
            op + 1,
            group,
            command,
            7,
            version,
        )
        found = cbor2.loads(answer.body)
        assert isinstance(found, dict)
        return found

    def identity(self) -> Identity:
        found = self.ask(0, smp.GROUP, smp.IDENTIFY)["r"]
        assert isinstance(found, bytes)
        return smp.decode(found)

    def upload(self, data: bytes, piece: int = 300) -> Iterator[int]:
        """Sends a package as a stock tool does and yields the offsets answered; Refused on an error."""
        off, sha = 0, hashlib.sha256(data).digest()
        while True:
            body: dict[str, object] = {"off": off, "data": data[off : off + (piece if off else piece - 60)]}
            if off == 0:
                body |= {"len": len(data), "sha": sha, "image": 0, "upgrade": False}
            answer = self.ask(2, 1, 1, body)
            if "err" in answer:
                raise Refused(answer["err"])
            off = int(str(answer["off"]))
            yield off
            if off == len(data):
                return

    def restore(self, data: bytes, piece: int = 300) -> list[int]:
        return list(self.upload(data, piece))

    def bank(self, size: int) -> bytes:
        return self.core.bank_bytes(size)


__all__ = [
    "HOLED",
    "KEY",
    "SMALL",
    "Device",
    "PowerCut",
    "Refused",
    "birth_of",
    "envelope_of",
    "image_of",
    "named",
    "package_of",
]
