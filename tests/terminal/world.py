"""A whole terminal in memory for tests: a small board, a signed release, its update file, an agent, and a far end. Real core,
real signatures, real files; only the carrier is the toy."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

from neurath import delta
from neurath.carriers.memory import Memory, Shelf
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Model, simple_layout
from neurath.flash.native import Core, Nor, need, write_bank
from neurath.flash.trust import Birth
from neurath.ids import ModelName, TerminalId, Version, digest
from neurath.terminal.agent import Agent
from neurath.terminal.gate import Gate, Open
from neurath.terminal.heart import Heart
from neurath.terminal.install import SingleBank
from neurath.terminal.life import Life
from neurath.terminal.machine import Policy
from neurath.terminal.memory.reserve import Reserve
from neurath.terminal.memory.tenants import PHONE, Program, demo
from neurath.terminal.parts import Parts
from neurath.terminal.staging.durable import Folder
from neurath.terminal.staging.place import Ram
from neurath.terminal.staging.transfer import Transfer
from neurath.terminal.staging.trickle import Session
from neurath.terminal.trace import Trace
from neurath.wire import keys, manifest, ticket
from neurath.wire.offer import Kind, Offer

RELEASE = keys.from_seed(b"r" * 32)
TICKET = keys.from_seed(b"t" * 32)
DEVICE = b"d" * 32
RAM = 64 * 1024
MODEL = Model(ModelName("board"), simple_layout(24 * 1024, sector=1024, page=256, group=2048, leaf=1024), ram=RAM)
NAME = TerminalId("unit-1")


def image(seed: int, size: int = 20_000) -> bytes:
    """Firmware of a kind: words that repeat, so that a delta is smaller than the image."""
    rng = random.Random(seed)
    words = [rng.randbytes(16) for _ in range(200)]
    return b"".join(rng.choice(words) for _ in range(size // 16))


OLD = image(1)
NEW = OLD[:6000] + image(2, 4000) + OLD[7000:12000] + OLD[3000:4000] + OLD[13000:] + image(3, 800)


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    at: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def envelope_of(data: bytes, sequence: int) -> bytes:
    return manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version=f"{sequence}.0"), RELEASE)


def factory(nor: Nor, data: bytes = OLD, sequence: int = 1, root: bytes = b"") -> None:
    """What the factory does: birth record, image, state log. `root`: the digest of who may sign lists of keys."""
    write_bank(nor, data)
    core = Core(MODEL.layout, nor)
    core.write_birth(Birth(NAME, MODEL.name, MODEL.vendor, MODEL.klass, DEVICE, (RELEASE.public,), TICKET.public, root))
    envelope = manifest.verify(envelope_of(data, sequence), [RELEASE.public])
    core.provision(ImageRecord(envelope.image, envelope.image_size, envelope.digest[:16], sequence, 0))


@dataclass
class World:
    """One terminal, its server's shelf, and the hands of whoever tests it."""

    nor: Nor
    folder: Path | None = None
    far: Shelf = field(default_factory=Shelf)
    clock: Clock = field(default_factory=Clock)
    gate: Gate = field(default_factory=Open)
    policy: Policy = field(default_factory=Policy)
    ram: int = RAM
    period: float = 0.0  # of heartbeats that updates ride on; 0: none
    spare: int = 0  # RAM that no tenant wants, where they gather without a folder
    lists: Path | None = None  # where the last key list is kept

    def __post_init__(self) -> None:
        self.carrier = Memory(self.far)
        self.programs: dict[str, Program] = {}
        self.shown: list[dict[str, object]] = []
        self.agent = self.power()

    @classmethod
    def fresh(cls, **more: object) -> World:
        nor = Nor.memory(MODEL.layout)
        factory(nor)
        nor.forget()
        return cls(nor, **more)  # type: ignore[arg-type]  # fields by name

    def arena(self, running: bool) -> Reserve:
        if not running:
            return Reserve(self.ram + PHONE, (), {})
        self.programs = {tenant.name: Program(tenant) for tenant in demo(self.ram)}
        reserve = Reserve(self.ram + PHONE, demo(self.ram), self.programs)
        for program in self.programs.values():
            program.start(reserve.memory)
        return reserve

    def power(self, trace: Path | None = None) -> Agent:
        """A new life: nothing but the flash (and durable staging) survives."""
        self.bank = SingleBank(MODEL, self.nor, lists=self.lists)
        heart = self._heart()
        transfer = Transfer(self.arena(False), self.folder, piece=512, alone=not self.period)
        if heart is not None and self.folder is None:
            transfer.beside = heart.session.whole
        parts = Parts(
            installer=self.bank,
            carrier=self.carrier,
            transfer=transfer,
            arena=self.arena,
            gate=self.gate,
            trace=Trace(trace, lambda kind, fields: self.shown.append(fields)),
            lock=threading.RLock(),
            stage_room=1 << 20 if self.folder else 0,
            heart=heart,
        )
        self.agent = Agent([Life(parts, self.policy, self.clock)], clock=self.clock, sleep=self.clock.sleep)
        return self.agent

    def _heart(self) -> Heart | None:
        if not self.period or (self.folder is None and not self.spare):
            return None
        place = Ram(self.spare) if self.folder is None else Folder(self.folder, 1 << 20)
        return Heart(self.carrier, Session(place), self.period, watch=self.clock)

    def publish(
        self, data: bytes = NEW, sequence: int = 2, *, serial: int = 1, old: bytes = OLD, swapped: bytes = b""
    ) -> Offer:
        """The far end offers this release, as a delta from `old`, with a true ticket. `swapped`: a taken-over server puts
        the delta to another image in its place."""
        built = delta.build(old, swapped or data, MODEL.layout)
        check = self._identity()
        envelope = envelope_of(data, sequence)
        file = digest(built.data)
        signed = ticket.sign(
            ticket.Ticket(
                device=ticket.device_of(NAME),
                nonce=check,
                serial=serial,
                kind=ticket.DELTA,
                envelope=manifest.verify(envelope, [RELEASE.public]).digest[:16],
                file=file[:16],
                file_size=len(built.data),
                base=digest(old)[:16],
                blocks=digest(b"")[:16],
            ),
            TICKET,
        )
        ram = need(MODEL.layout, len(data), len(built.data), built.workspace, self.folder is None and not self.spare)
        offer = Offer(Kind.DELTA, file, len(built.data), ram, envelope, signed, Version(f"{sequence}.0"), action=str(serial))
        self.far.offer, self.far.files[file] = offer, built.data
        self.far.pinned.add(file)
        return offer

    def _identity(self) -> bytes:
        bank = SingleBank(MODEL, self.nor)
        bank.start()
        return ticket.nonce(DEVICE, bank.facts.installed.envelope, bank.facts.installs)

    def until_rest(self, most: int = 60) -> None:
        """Lets the agent work until it is idle with nothing due soon."""
        self.agent.power_up()
        for _ in range(most):
            self.agent.wait()
            if self.far.told and self.far.told[-1].verdict.value != "pending":
                return

    def holds(self, data: bytes) -> bool:
        """Read past everybody: what the bank holds."""
        got = b""
        for span in MODEL.layout.bank:
            got += self.nor.read_raw(span.base, span.length)
        return got[: len(data)] == data
